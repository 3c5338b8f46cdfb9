/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process as an auditor may meet one: MODE says what is odd about it. It says "ready PID" of the
 * process to look at, and then waits to be killed. VARIANT makes another file of it.
 */
#define _GNU_SOURCE
#include <linux/bpf.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

const char variant[] = VARIANT;

static void check(int good)
{
	if (!good) {
		perror("specimen");
		exit(1);
	}
}

static void map(int prot, int flags)
{
	check(mmap(NULL, PAGE, prot, flags | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

/* Its own code, written over with what was there: the page is no longer the file's. */
static void alter(void)
{
	volatile unsigned char *page = (void *)((unsigned long)&alter & -(unsigned long)PAGE);

	check(mprotect((void *)page, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
	page[0] = page[0];
	check(mprotect((void *)page, 2 * PAGE, PROT_READ | PROT_EXEC) == 0);
}

static void writable_file(const char *path)
{
	FILE *file = fopen(path, "r");

	check(file != NULL);
	check(mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, fileno(file), 0) !=
	      MAP_FAILED);
}

/* r0 = 0; exit: a program that would watch, attached to nothing, and held as long as this runs. */
static void load_program(void)
{
	static const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_TRACEPOINT;
	attr.insns = (unsigned long)nothing;
	attr.insn_cnt = 2;
	attr.license = (unsigned long)"GPL";
	strcpy(attr.prog_name, "specimen_15byte");
	check(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)) >= 0);
}

static void *wait_in_a_thread(void *nothing)
{
	pause();
	return nothing;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "wait";
	pthread_t thread;
	pid_t pid = getpid();

	if (!strcmp(mode, "anonymous"))
		map(PROT_READ | PROT_EXEC, MAP_PRIVATE);
	else if (!strcmp(mode, "writable"))
		map(PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE);
	else if (!strcmp(mode, "shared"))
		map(PROT_READ | PROT_EXEC, MAP_SHARED);
	else if (!strcmp(mode, "writable-file"))
		writable_file(argv[0]);
	else if (!strcmp(mode, "altered"))
		alter();
	else if (!strcmp(mode, "program"))
		load_program();
	else if (!strcmp(mode, "deleted"))
		check(unlink(argv[0]) == 0);
	else if (!strcmp(mode, "named"))
		check(prctl(PR_SET_NAME, "[kworker/0:1]") == 0);
	else if (!strcmp(mode, "thread")) {
		/* One thread gives privilege up, the other keeps it. */
		check(pthread_create(&thread, NULL, wait_in_a_thread, NULL) == 0);
		check(syscall(SYS_setresuid, 65534, 65534, 65534) == 0);
		map(PROT_READ | PROT_EXEC, MAP_PRIVATE);
	} else if (!strcmp(mode, "traced")) {
		pid = fork();
		if (pid == 0) {
			check(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
			raise(SIGSTOP);
			pause();
		}
		check(waitpid(pid, NULL, WUNTRACED) == pid);
	}
	printf("ready %d\n", pid);
	fflush(stdout);
	/* Whoever started it is gone when its input ends, and so is this. */
	while (getchar() != EOF)
		;
	if (pid != getpid())
		kill(pid, SIGKILL);
	return 0;
}
