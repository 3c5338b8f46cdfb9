/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share WHO GIVES MAPS FILE: a privileged task gives up what makes it so, and makes code of FILE (see
 * mapper.c) executable in memory that others have, too. Prints `ran` if that code ran, and as whom.
 *
 * WHO gives up, and who calls the code:
 *   thread    a thread; the first one, still privileged, calls
 *   process   a process made with CLONE_VM alone; its parent calls
 *   vfork     likewise with CLONE_VFORK, and the parent is asleep meanwhile
 *   further   a thread makes such a process after it gave up, and that one maps; the first one calls
 *   forked    likewise with memory of its own, and it calls by itself
 *   alone     the only one, by itself
 *   later     likewise, and then makes a thread that maps and calls
 *   left      a thread whose process has no other any more, by itself
 * GIVES:
 *   uid       root's ids
 *   group     the group disk as its saved one, which is all it had
 *   groups    the group disk in its list, likewise: in a user namespace, where it may
 *   caps      capabilities, which are all it had, by capset(2); or by entering a user namespace:
 *   unshare, setns, clone (WHO must be made with clone)
 *   nothing   nothing, so whoever starts this
 * MAPS:
 *   anonymous, protect, implies, rx    as mapper.c
 *   exec      executes FILE instead
 */
#include "tool.h"
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define USER 1000u
#define DISK 6u
#define STACK (256 * 1024)
#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

static const char *who, *gives, *maps, *path;
static char *bytes;
static size_t size;
static int namespace_fd;
/* What the one that maps leaves to the one that calls. */
static int (*volatile code)(void);
static const char *volatile failed;
static volatile int failed_errno;

static int is(const char *word, const char *wanted)
{
	return !strcmp(word, wanted);
}

/* Of this task alone: glibc's functions would change all threads. */
static void become_user(int n_groups, gid_t saved)
{
	gid_t groups[] = { DISK };

	if (syscall(SYS_setgroups, n_groups, groups) < 0 ||
	    syscall(SYS_setresgid, USER, USER, saved) < 0 ||
	    syscall(SYS_setresuid, USER, USER, USER) < 0)
		trouble("becoming a user");
}

static void set_caps(unsigned int caps)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .permitted = caps, .effective = caps } };

	if (syscall(SYS_capset, &header, data) < 0)
		trouble("capset");
}

static int other_namespace(void)
{
	char name[64], byte;
	int ready[2], fd;
	pid_t child;

	if (pipe(ready) || (child = fork()) < 0)
		trouble("fork");
	if (!child) {
		if (unshare(CLONE_NEWUSER) || write(ready[1], "", 1) != 1)
			_exit(2);
		pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		trouble("another user namespace");
	snprintf(name, sizeof(name), "/proc/%d/ns/user", child);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || kill(child, SIGKILL) || waitpid(child, NULL, 0) < 0)
		trouble(name);
	return fd;
}

/* A user namespace of its own, with a map that root wrote: so setgroups(2) is allowed in it. */
static void enter_mapped_namespace(void)
{
	char name[64], byte;
	int ready[2], done[2], fd;
	pid_t helper;

	if (pipe(ready) || pipe(done) || (helper = fork()) < 0)
		trouble("fork");
	if (!helper) {
		snprintf(name, sizeof(name), "/proc/%d/gid_map", getppid());
		if (read(ready[0], &byte, 1) != 1 || (fd = open(name, O_WRONLY)) < 0 ||
		    write(fd, "0 1000 1", 8) != 8 || write(done[1], "", 1) != 1)
			trouble(name);
		_exit(0);
	}
	close(done[1]);
	become_user(1, USER);
	if (prctl(PR_SET_DUMPABLE, 1) || unshare(CLONE_NEWUSER) || write(ready[1], "", 1) != 1 ||
	    read(done[0], &byte, 1) != 1)
		trouble("a user namespace");
}

/* What it has to give up, and nothing else. */
static void prepare(void)
{
	if (is(gives, "uid") || is(gives, "nothing"))
		return;
	if (is(gives, "setns"))
		namespace_fd = other_namespace();
	if (is(gives, "group")) {
		become_user(0, DISK);
		return;
	}
	if (is(gives, "groups")) {
		enter_mapped_namespace();
		return;
	}
	if (prctl(PR_SET_KEEPCAPS, 1) < 0)
		trouble("keepcaps");
	become_user(0, USER);
	set_caps(1u << CAP_SYS_ADMIN);
}

static void give_up(void)
{
	int result = 0;

	if (is(gives, "uid"))
		become_user(0, USER);
	else if (is(gives, "group"))
		result = syscall(SYS_setresgid, USER, USER, USER);
	else if (is(gives, "groups"))
		result = syscall(SYS_setgroups, 0, NULL);
	else if (is(gives, "caps"))
		set_caps(0);
	else if (is(gives, "unshare"))
		result = unshare(CLONE_NEWUSER);
	else if (is(gives, "setns"))
		result = setns(namespace_fd, CLONE_NEWUSER);
	if (result < 0)
		trouble(gives);
}

static void fail(const char *step)
{
	failed_errno = errno;
	failed = step;
}

static void map(void)
{
	char *found = memmem(bytes, size, "ANSWER42", 8), *base;
	int fd = open(path, O_RDONLY);

	if (is(maps, "exec")) {
		execl(path, path, NULL);
		fail("execve");
		return;
	}
	if (!found || fd < 0)
		trouble("no ANSWER42");
	if (is(maps, "implies") && personality(READ_IMPLIES_EXEC) < 0)
		trouble("personality");
	if (is(maps, "rx") || is(maps, "implies"))
		base = mmap(NULL, size, PROT_READ | (is(maps, "rx") ? PROT_EXEC : 0), MAP_PRIVATE,
			    fd, 0);
	else
		base = mmap(NULL, size, is(maps, "protect") ? RWX & ~PROT_EXEC : RWX,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED) {
		fail("mmap");
		return;
	}
	if (is(maps, "anonymous") || is(maps, "protect"))
		memcpy(base, bytes, size);
	if (is(maps, "protect") && mprotect(base, size, PROT_READ | PROT_EXEC)) {
		fail("mprotect");
		return;
	}
	code = (int (*)(void))(base + (found - bytes) + 8);
}

static int call(void)
{
	errno = failed_errno;
	if (failed)
		return refused(failed);
	if (!code)
		return 1; /* whoever should have mapped it was killed */
	if (code() != 42)
		trouble("the wrong answer");
	printf("ran uid=%u\n", getuid());
	fflush(stdout); /* a task of clone(2) ends without it */
	return 0;
}

static int made(int flags, int (*task)(void *))
{
	char *stack = malloc(STACK);
	int status;
	pid_t child = clone(task, stack + STACK, flags | SIGCHLD, NULL);

	if (child < 0 || waitpid(child, &status, 0) < 0)
		trouble("clone");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int map_task(void *unused)
{
	(void)unused;
	map();
	return 0;
}

static int map_and_call_task(void *unused)
{
	return map_task(unused), call();
}

static int give_up_and_map_task(void *unused)
{
	give_up();
	return map_task(unused);
}

static void *map_and_call_thread(void *unused)
{
	exit(map_and_call_task(unused));
}

static void *thread(void *first)
{
	give_up();
	if (is(who, "further")) {
		made(CLONE_VM, map_task);
	} else if (is(who, "forked")) {
		exit(made(0, map_and_call_task));
	} else if (is(who, "left")) {
		/* Until the first one has let go of the memory, which is some time after this. */
		pthread_join(*(pthread_t *)first, NULL);
		sleep(1);
		exit(map_and_call_task(NULL));
	} else {
		map();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static pthread_t first, second;
	int clone_flags = CLONE_VM;

	if (argc != 5)
		trouble("usage");
	who = argv[1], gives = argv[2], maps = argv[3], path = argv[4];
	bytes = contents(path, &size);
	prepare();
	if (is(who, "alone")) {
		give_up();
		return map_and_call_task(NULL);
	}
	if (is(who, "process") || is(who, "vfork")) {
		clone_flags |= is(who, "vfork") ? CLONE_VFORK : 0;
		clone_flags |= is(gives, "clone") ? CLONE_NEWUSER : 0;
		if (made(clone_flags, give_up_and_map_task) == 2)
			return 2;
		return is(maps, "exec") ? 0 : call();
	}
	first = pthread_self();
	if (is(who, "later")) {
		give_up();
		if (pthread_create(&second, NULL, map_and_call_thread, NULL))
			trouble("pthread_create");
		pause();
	}
	if (pthread_create(&second, NULL, thread, &first))
		trouble("pthread_create");
	if (is(who, "left"))
		pthread_exit(NULL);
	pthread_join(second, NULL);
	return call();
}
