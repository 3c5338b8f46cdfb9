/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel entry costs: nanoseconds of the monotonic clock for one of many repetitions, as the
 * cheapest of some batches has it, since what else runs on the processor counts, too. Where QEMU
 * counts instructions (-icount shift=0) a nanosecond is an instruction.
 *
 *   gate_cost exec N | map N FILE | open N FILE | nothing        (N: repetitions in a batch)
 *   gate_cost once COMMAND...     what processors work for anybody, from a command's start to its end;
 *                                 its output away. The disk's time isn't in it.
 *   gate_dlopen dlopen N FILE     the same source with -DWITH_DLOPEN, and not static
 */
#define _GNU_SOURCE
#ifdef WITH_DLOPEN
#include <dlfcn.h>
#endif
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what)
{
	fprintf(stderr, "gate_cost: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void once_exec(void)
{
	char *argv[] = {"gate_cost", "nothing", NULL};
	pid_t child;
	int status;

	errno = posix_spawn(&child, "/proc/self/exe", NULL, NULL, argv, environ);
	if (errno)
		fail("exec");
	if (waitpid(child, &status, 0) != child || status)
		fail("the program that was started");
}

static void once_map(int fd)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

	if (at == MAP_FAILED)
		fail("mmap");
	munmap(at, 4096);
}

static void once_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail(path);
	close(fd);
}

static void once_dlopen(const char *path)
{
#ifdef WITH_DLOPEN
	void *library = dlopen(path, RTLD_NOW);

	if (library) {
		dlclose(library);
		return;
	}
	fprintf(stderr, "gate_cost: %s\n", dlerror());
#else
	fprintf(stderr, "gate_cost: %s: built without dlopen\n", path);
#endif
	exit(1);
}

static double since(const struct timespec *from)
{
	struct timespec to;

	clock_gettime(CLOCK_MONOTONIC, &to);
	return (to.tv_sec - from->tv_sec) * 1e9 + (to.tv_nsec - from->tv_nsec);
}

/* Nanoseconds in which processors weren't idle: the seventh figure of each (Documentation/scheduler). */
static double worked(void)
{
	double all = 0, one;
	char line[512];
	FILE *file;

	/* What this process has worked counts from its next rest on. */
	usleep(1);
	file = fopen("/proc/schedstat", "re");
	if (!file)
		fail("/proc/schedstat");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "cpu%*u %*u %*u %*u %*u %*u %*u %lf", &one) == 1)
			all += one;
	fclose(file);
	return all;
}

static double once(char **command)
{
	posix_spawn_file_actions_t actions;
	double from, taken;
	pid_t child;
	int status;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	from = worked();
	errno = posix_spawnp(&child, command[0], &actions, NULL, command, environ);
	if (errno)
		fail(command[0]);
	if (waitpid(child, &status, 0) != child)
		fail("waitpid");
	taken = worked() - from;
	if (status) {
		fprintf(stderr, "gate_cost: %s: status %#x\n", command[0], status);
		exit(1);
	}
	return taken;
}

#define BATCHES 20

static double batch(const char *what, long times, int fd, const char *path)
{
	struct timespec from;
	long i;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (i = 0; i < times; i++) {
		if (!strcmp(what, "exec"))
			once_exec();
		else if (!strcmp(what, "map"))
			once_map(fd);
		else if (!strcmp(what, "dlopen"))
			once_dlopen(path);
		else
			once_open(path);
	}
	return since(&from) / times;
}

int main(int argc, char **argv)
{
	double least = 0, taken;
	long times;
	int fd = -1, i;

	if (argc == 2 && !strcmp(argv[1], "nothing"))
		return 0;
	if (argc > 2 && !strcmp(argv[1], "once")) {
		printf("%.1f\n", once(argv + 2));
		return 0;
	}
	if (argc < 3 || (strcmp(argv[1], "exec") != 0 && argc != 4))
		return 2;
	times = atol(argv[2]);
	if (!strcmp(argv[1], "map")) {
		fd = open(argv[3], O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			fail(argv[3]);
	}
	for (i = 0; i < BATCHES; i++) {
		taken = batch(argv[1], times, fd, argv[3]);
		if (!i || taken < least)
			least = taken;
	}
	printf("%.1f\n", least);
	return 0;
}
