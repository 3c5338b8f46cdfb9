/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * --enter ROOT: the last look before the root is entered, while the emergency shell is still at hand.
 *
 * 1. Each process but this one, the first and those that this one was started by is either of the
 *    initial root, and then it is counted and named: its trust ends with the initramfs. Or all that it
 *    may execute is granted. The gate says so: the file is mapped by this program as it was by that
 *    one. What only maps memory without a file is of the initial root or was granted that already.
 * 2. The root's init would start: else the root would be entered and nothing be left to run.
 * 3. The gate is told that this was looked at.
 *
 * It ends no process: who makes the initramfs says which of them may go on.
 */
#define _GNU_SOURCE /* O_PATH */
#include "load.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <linux/openat2.h>

#define HINT_SIGN "sign it into a stream of the boot bundle, or start it later"
#define PARENTS_MAX 64

struct look {
	dev_t initial;
	pid_t parents[PARENTS_MAX]; /* of this process, itself first; 0 behind the last */
	uint32_t survivors;
};

static void find_parents(struct look *look)
{
	char path[64], text[512];
	pid_t pid = getpid();
	size_t n;

	for (n = 0; n < PARENTS_MAX && pid > 0; n++) {
		const char *behind;

		look->parents[n] = pid;
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		if (read_text(path, text, sizeof(text)) < 0)
			return;
		/* The name before it may hold anything. */
		behind = strrchr(text, ')');
		if (!behind || sscanf(behind, ") %*c %d", &pid) != 1)
			return;
	}
}

static int is_parent(const struct look *look, pid_t pid)
{
	size_t n;

	for (n = 0; n < PARENTS_MAX && look->parents[n]; n++)
		if (look->parents[n] == pid)
			return 1;
	return 0;
}

/* What the gate says to executing this: 0, or -errno. */
static int may_execute(int fd)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	munmap(at, 4096);
	return 0;
}

/* A line of its maps: 1 if it is executable memory of the initial root. */
static int look_at_mapping(const struct look *look, pid_t pid, const char *line, struct failure *f)
{
	unsigned int major_number, minor_number;
	unsigned long start, end, inode;
	char mode[8], path[128];
	int fd, result;

	if (sscanf(line, "%lx-%lx %7s %*x %x:%x %lu", &start, &end, mode, &major_number,
		   &minor_number, &inode) != 6 || mode[2] != 'x' || !inode)
		return 0;
	if (makedev(major_number, minor_number) == look->initial)
		return 1;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", (int)pid, start, end);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		/* It is gone, and with it what it could do. */
		return errno == ENOENT || errno == ESRCH ? 0 :
		       cannot(f, errno, HINT_LOG, "%s can't be opened", path);
	result = may_execute(fd);
	close(fd);
	if (!result)
		return 0;
	return refuse(f, HINT_SIGN, "process %d runs what isn't granted: %.*s", (int)pid,
		      (int)strcspn(strchr(line, '/') ? strchr(line, '/') : line, "\n"),
		      strchr(line, '/') ? strchr(line, '/') : line);
}

static void tell_survivor(pid_t pid)
{
	char path[64], name[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (read_text(path, name, sizeof(name)) < 0)
		return;
	fprintf(stderr, "verity-load: warning: process %d (%.*s) is of the initramfs and still "
		"runs\n  hint: have the initramfs end it, or let it be ended when the root is "
		"entered\n", (int)pid, (int)strcspn(name, "\n"), name);
}

static int look_at_process(struct look *look, pid_t pid, struct failure *f)
{
	char path[64], *line = NULL;
	int of_initial = 0, result = 0;
	size_t size = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	if (!maps)
		return errno == ENOENT || errno == ESRCH ? 0 :
		       cannot(f, errno, "run it as root", "%s can't be read", path);
	while (result >= 0 && getline(&line, &size, maps) > 0) {
		result = look_at_mapping(look, pid, line, f);
		of_initial |= result > 0;
	}
	free(line);
	fclose(maps);
	if (result < 0)
		return result;
	if (of_initial && pid != 1 && !is_parent(look, pid)) {
		look->survivors++;
		tell_survivor(pid);
	}
	return 0;
}

/* 1. */
static int look_at_all(struct look *look, struct failure *f)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int result = 0;

	if (!proc)
		return cannot(f, errno, "mount /proc", "processes can't be listed");
	while (!result && (entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			result = look_at_process(look, (pid_t)atoi(entry->d_name), f);
	closedir(proc);
	return result;
}

/* 2. */
static int look_at_init(const struct options *options, struct failure *f)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int root = open(options->enter, O_PATH | O_DIRECTORY | O_CLOEXEC), fd, result;
	char head[2] = "";

	if (root < 0)
		return cannot(f, errno, "name where the root file system is mounted",
			      "--enter %s can't be opened", options->enter);
	fd = (int)syscall(SYS_openat2, root, options->init, &how, sizeof(how));
	result = fd < 0 ? -errno : 0;
	close(root);
	if (result)
		return cannot(f, -result, "name the init of this root with --init",
			      "%s%s can't be opened", options->enter, options->init);
	/* A script is started by its interpreter, and nobody maps it. */
	if (pread(fd, head, sizeof(head), 0) == sizeof(head) && memcmp(head, "#!", 2) != 0)
		result = may_execute(fd);
	close(fd);
	return result ? refuse(f, "boot the last deployment that came up, or unlock",
			       "%s%s isn't granted: nothing would run in this root",
			       options->enter, options->init) : 0;
}

int enter(const struct options *options, struct failure *f)
{
	struct look look = { 0 };
	struct stat st;
	int result = gate_answers();

	if (result <= 0)
		return cannot(f, -result, "load it first, with --boot", "no gate is loaded");
	if (stat("/", &st) != 0)
		return cannot(f, errno, HINT_LOG, "the initial root can't be told");
	look.initial = st.st_dev;
	find_parents(&look);
	result = look_at_all(&look, f);
	if (!result)
		result = look_at_init(options, f);
	return result ? result : gate_enter(look.survivors, f);
}
