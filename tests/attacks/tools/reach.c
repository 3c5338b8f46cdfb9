/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reach HOW [PROGRAM]: reaches into another task with the caller's rights, a child of its own; or
 * into itself.
 *
 *   attach   ptrace(2)                      write    process_vm_writev
 *   getfd    pidfd_getfd                    memory   /proc/PID/mem opened for writing
 *   asked    the child asks to be traced    own      /proc/self/mem opened for writing
 *   program  PR_SET_MM_EXE_FILE: the caller says that it runs PROGRAM; more: with bits in the number of
 *            the call that the kernel doesn't look at
 *   shared-attach, shared-memory, shared-asked: the same into a child that has given up root and has
 *            the caller's memory; the second by an ordinary user
 *   title    PR_SET_MM_ARG_START: another title for the caller, as systemd does it
 *   raised   the child gives up root, is traced by root, and executes PROGRAM
 */
#include "tool.h"
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define USER 1000u

static volatile long target;

static int memory_of(const char *pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -1 : 0;
}

static pid_t child_that_waits(void)
{
	pid_t pid = fork();

	if (pid < 0)
		trouble("fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static int into_child(const char *how)
{
	pid_t pid = child_that_waits();
	char number[16];
	long done = -1, value = 1;
	struct iovec mine = { &value, sizeof(value) };
	struct iovec theirs = { (void *)&target, sizeof(target) };

	snprintf(number, sizeof(number), "%d", pid);
	if (!strcmp(how, "attach")) {
		done = ptrace(PTRACE_ATTACH, pid, 0, 0);
	} else if (!strcmp(how, "write")) {
		done = process_vm_writev(pid, &mine, 1, &theirs, 1, 0);
	} else if (!strcmp(how, "memory")) {
		done = memory_of(number);
	} else {
		int pidfd = syscall(SYS_pidfd_open, pid, 0);

		if (pidfd < 0)
			trouble("pidfd_open");
		done = syscall(SYS_pidfd_getfd, pidfd, 0, 0);
	}
	if (done < 0)
		refused(how);
	else
		succeeded();
	kill(pid, SIGKILL);
	return done < 0;
}

static int as_asked(void)
{
	return ptrace(PTRACE_TRACEME, 0, 0, 0) < 0 ? refused("asked") : succeeded();
}

static int raised(char **program)
{
	int status, told[2];
	char byte = 0;
	pid_t pid;

	if (pipe(told) < 0)
		trouble("pipe");
	pid = fork();
	if (pid < 0)
		trouble("fork");
	if (!pid) {
		if (setgid(USER) < 0 || setuid(USER) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
			trouble("setuid");
		if (write(told[1], &byte, 1) != 1)
			trouble("write");
		/* Seized meanwhile: what execve gives then depends on what the tracer may. */
		raise(SIGSTOP);
		execv(program[0], program);
		_exit(refused("execve"));
	}
	if (read(told[0], &byte, 1) != 1 || waitpid(pid, &status, WUNTRACED) != pid)
		trouble("waiting");
	if (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0)
		trouble("seize");
	kill(pid, SIGCONT);
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status))
		ptrace(PTRACE_CONT, pid, 0, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int asks_to_be_traced;
static int ready[2];

/* Has the memory of who started it, and nobody's rights. */
static int given_up(void *unused)
{
	char answer = 'y';

	(void)unused;
	/* By system calls: the C library would change what it takes for threads of the caller, too. */
	if (syscall(SYS_setresgid, USER, USER, USER) < 0 ||
	    syscall(SYS_setresuid, USER, USER, USER) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
		answer = 't';
	else if (asks_to_be_traced && ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
		answer = 'n';
	if (write(ready[1], &answer, 1) != 1)
		_exit(2);
	for (;;)
		pause();
}

static int into_shared(const char *how)
{
	char *stack = malloc(65536), answer = 0, number[16];
	int status = 0;
	pid_t pid, other;

	asks_to_be_traced = !strcmp(how, "asked");
	if (!stack || pipe(ready) < 0)
		trouble("pipe");
	pid = clone(given_up, stack + 65536, CLONE_VM | SIGCHLD, NULL);
	if (pid < 0 || read(ready[0], &answer, 1) != 1 || answer == 't')
		trouble("clone");
	if (asks_to_be_traced) {
		errno = EPERM;
		status = answer == 'n' ? refused(how) : succeeded();
	} else {
		other = fork();
		if (other < 0)
			trouble("fork");
		if (!other && !strcmp(how, "attach"))
			_exit(ptrace(PTRACE_ATTACH, pid, 0, 0) < 0 ? refused(how) : succeeded());
		if (!other) {
			if (setgid(USER) < 0 || setuid(USER) < 0)
				trouble("setuid");
			snprintf(number, sizeof(number), "%d", pid);
			_exit(memory_of(number) < 0 ? refused(how) : succeeded());
		}
		waitpid(other, &status, 0);
		status = WIFEXITED(status) ? WEXITSTATUS(status) : 2;
	}
	kill(pid, SIGKILL);
	return status;
}

/* A program may say that it runs another one once none of its own is mapped any more. */
static int says_it_runs(const char *path, unsigned long more)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		trouble(path);
	if (prctl(PR_SET_MM, PR_SET_MM_EXE_FILE | more, fd, 0, 0) == 0)
		return succeeded();
	/* Its own file is mapped, and the kernel says so once it asks nobody any more. */
	return errno == EBUSY ? succeeded() : refused("prctl");
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "usage";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(how, "own"))
		return memory_of("self") < 0 ? refused(how) : succeeded();
	if (!strcmp(how, "asked"))
		return as_asked();
	if (!strcmp(how, "program") && argc > 2)
		return says_it_runs(argv[2], 0);
	if (!strcmp(how, "more") && argc > 2)
		return says_it_runs(argv[2], 1ul << 32);
	if (!strncmp(how, "shared-", 7))
		return into_shared(how + 7);
	if (!strcmp(how, "title"))
		return prctl(PR_SET_MM, PR_SET_MM_ARG_START, (unsigned long)argv[0], 0, 0) ?
			       refused(how) :
			       succeeded();
	if (!strcmp(how, "raised") && argc > 2)
		return raised(argv + 2);
	return into_child(how);
}
