/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reuse ADDRESS LOADER ARGUMENT...: runs the loader, and has it tell the gate that each of its keys
 * is at ADDRESS. That is what the gate knows once a key has been freed and another one was given
 * its serial: the serial is one of the gate's own, and the key that it means now is elsewhere. At
 * 0, which is what the loader says itself, nothing is changed.
 *
 * Serials are 31 random bits, so a freed one can't be had again within a test.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noreturn)) static void trouble(const char *step)
{
	fprintf(stderr, "trouble: %s: %s\n", step, strerror(errno));
	exit(2);
}

static unsigned long peek(pid_t pid, unsigned long at)
{
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, pid, at, NULL);
	if (errno)
		trouble("peek");
	return (unsigned long)word;
}

/* At the entry of a system call; the only element that must not exist yet is a key's. */
static int replace(pid_t pid, unsigned long address)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs))
		trouble("registers");
	if (regs.orig_rax != SYS_bpf || regs.rdi != BPF_MAP_UPDATE_ELEM ||
	    peek(pid, regs.rsi + 24) != BPF_NOEXIST)
		return 0;
	if (ptrace(PTRACE_POKEDATA, pid, peek(pid, regs.rsi + 16), address))
		trouble("poke");
	return 1;
}

int main(int argc, char **argv)
{
	int status, entry = 1, keys = 0;
	pid_t pid;

	if (argc < 3)
		trouble("usage");
	pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execv(argv[2], argv + 2);
		trouble(argv[2]);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		trouble("start");
	while (WIFSTOPPED(status)) {
		int signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);

		if (ptrace(PTRACE_SYSCALL, pid, NULL, signal) || waitpid(pid, &status, 0) < 0)
			trouble("go on");
		if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP) {
			if (entry)
				keys += replace(pid, strtoul(argv[1], NULL, 0));
			entry = !entry;
		}
	}
	if (!keys)
		trouble("no key was told to the gate");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}
