/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * --try ROOT: what was staged gets so many boots to come up, then the host goes back to what it booted
 * from before. Whether it came up, a unit of the host says by removing the count (verity-confirm).
 *
 * 1. No count, or one that is none: nothing to do. It is no secret and nobody signs it: whoever writes
 *    it chooses between two signed deployments.
 * 2. Above zero it becomes one less, durably, before this boot goes on.
 * 3. At zero the entries of boot loaders are taken back, then the bundle, then the count goes. The
 *    entries were kept in /boot, where nobody writes while the gate is sealed: so they need no signature.
 *    After a power cut all of it is done once more.
 */
#define _GNU_SOURCE /* O_PATH */
#include "load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE "var/lib/verity"
#define COUNT STATE "/tries"
#define DEEPEST 6

static int write_count(int root, unsigned int count)
{
	char text[8];
	int fd, result = 0, len = snprintf(text, sizeof(text), "%u\n", count % 100);

	fd = openat(root, COUNT ".new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	if (write(fd, text, (size_t)len) != len || fsync(fd) != 0)
		result = errno ? -errno : -EIO;
	close(fd);
	if (!result && renameat(root, COUNT ".new", root, COUNT) != 0)
		result = -errno;
	return result ? result : folder_sync(root, STATE);
}

int tries_begin(int root)
{
	return write_count(root, BOOT_TRIES);
}

/* -1: there is none. */
static int read_count(int root)
{
	char text[8] = "", *end;
	int fd = openat(root, COUNT, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	unsigned long count;
	ssize_t len;

	if (fd < 0)
		return -1;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len < 2 || text[0] < '0' || text[0] > '9')
		return -1;
	count = strtoul(text, &end, 10);
	return *end == '\n' && count <= BOOT_TRIES ? (int)count : -1;
}

/* Every NAME.verity-old below a folder becomes NAME. */
static int take_back(int parent, const char *name, int depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), result = 0;
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!folder)
		return fd < 0 && errno == ENOENT ? 0 : -errno;
	while (!result && depth < DEEPEST && (entry = readdir(folder))) {
		size_t len = strlen(entry->d_name), end = strlen(KEPT);
		char to[256];

		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			result = take_back(fd, entry->d_name, depth + 1);
		if (entry->d_type != DT_REG || len <= end ||
		    strcmp(entry->d_name + len - end, KEPT) != 0)
			continue;
		snprintf(to, sizeof(to), "%.*s", (int)(len - end), entry->d_name);
		if (renameat(fd, entry->d_name, fd, to) != 0 || fsync(fd) != 0)
			result = -errno;
	}
	closedir(folder);
	return result;
}

/* 3. */
static int fall_back(int root)
{
	int result = take_back(root, "boot", 0);

	if (!result && renameat(root, STATE "/previous/boot.bundle", root, STATE "/boot.bundle") != 0 &&
	    errno != ENOENT)
		result = -errno;
	if (!result)
		result = folder_sync(root, STATE);
	if (!result && unlinkat(root, COUNT, 0) != 0)
		result = -errno;
	return result ? result : folder_sync(root, STATE);
}

int try_boot(const char *path, const char **what, struct failure *f)
{
	static char said[32];
	int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), count, result;

	if (root < 0)
		return cannot(f, errno, "name where the root file system is mounted", "--try %s", path);
	count = read_count(root);
	snprintf(said, sizeof(said), count < 0 ? "tries none" : "tries %d", count - 1);
	*what = count ? said : "fell-back";
	result = count < 0 ? 0 : count ? write_count(root, (unsigned int)count - 1) : fall_back(root);
	close(root);
	return result ? cannot(f, -result, "look at the disk", "the count of boots in %s", path) : 0;
}
