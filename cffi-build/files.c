/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* O_NOFOLLOW, posix_fadvise, syscall */
#include "files.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/openat2.h>

#include "cached.h"
#include "fsverity.h"
#include "hash.h"
#include "inode.h"

#define DIGEST 32
#define BLOCK 4096
#define LOG_BLOCK 12

int verity_open_below(int dir, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	if (!name)
		return -EFAULT;
	if (dir == AT_FDCWD) /* the caller's own path: only its last name must be no link */
		how.resolve = 0;
	fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

/* A descriptor of a regular file, its status in *st; or -1. */
static int open_regular(int dir, const char *name, struct stat *st)
{
	int fd = verity_open_below(dir, name);

	if (fd < 0)
		return -1;
	if (fstat(fd, st) == 0 && S_ISREG(st->st_mode))
		return fd;
	close(fd);
	return -1;
}

int verity_usual_digest(int fd, const struct stat *before, uint8_t *out)
{
	struct fsverity_descriptor descriptor;
	struct stat after;
	uint64_t size;

	memset(&descriptor, 0, sizeof(descriptor));
	if (verity_hash_file(fd, FS_VERITY_HASH_ALG_SHA256, NULL, 0, BLOCK,
			     (uint64_t)before->st_size, NULL, 0, &size, descriptor.root_hash,
			     NULL) != 0)
		return -1;
	if (fstat(fd, &after) != 0 || size != (uint64_t)before->st_size ||
	    after.st_size != before->st_size || after.st_mtim.tv_sec != before->st_mtim.tv_sec ||
	    after.st_mtim.tv_nsec != before->st_mtim.tv_nsec)
		return -1;
	descriptor.version = 1;
	descriptor.hash_algorithm = FS_VERITY_HASH_ALG_SHA256;
	descriptor.log_blocksize = LOG_BLOCK;
	descriptor.data_size = htole64(size);
	return verity_hash_blocks(FS_VERITY_HASH_ALG_SHA256, NULL, 0, (const uint8_t *)&descriptor,
				  sizeof(descriptor), sizeof(descriptor), out, DIGEST);
}

/* Whether the file was enabled with the parameters that this file is for. */
static int is_usual(int fd)
{
	struct fsverity_descriptor descriptor;

	return verity_read_metadata(fd, FS_VERITY_METADATA_TYPE_DESCRIPTOR, 0,
				    (uint8_t *)&descriptor,
				    sizeof(descriptor)) == sizeof(descriptor) &&
	       descriptor.version == 1 &&
	       descriptor.hash_algorithm == FS_VERITY_HASH_ALG_SHA256 &&
	       descriptor.log_blocksize == LOG_BLOCK && descriptor.salt_size == 0;
}

static int enable(int fd, const struct stat *st, const uint8_t *expected, uint64_t *budget)
{
	uint64_t attributes, mask;
	uint8_t found[DIGEST];

	if (verity_statx(fd, &attributes, &mask) != 0)
		return 0;
	if (attributes & STATX_ATTR_VERITY) /* what is expected is held against it later */
		return expected || is_usual(fd) ? VERITY_WAS_ON : 0;
	if (expected) {
		if ((uint64_t)st->st_size > *budget)
			return 0;
		*budget -= (uint64_t)st->st_size;
		if (verity_usual_digest(fd, st, found) != 0 || memcmp(found, expected, DIGEST) != 0)
			return 0;
	}
	return verity_enable(fd, FS_VERITY_HASH_ALG_SHA256, BLOCK, NULL, 0, NULL, 0) == 0 ?
		       VERITY_TURNED_ON :
		       0;
}

int verity_enable_files(size_t count, const int *dirs, const char *names, const uint8_t *checked,
			const uint8_t *expected, uint64_t budget, const uint8_t *stop,
			uint64_t *devices, uint64_t *inodes, uint8_t *done)
{
	size_t i;

	if (!dirs || !names || !checked || !expected || !stop || !devices || !inodes || !done)
		return -EINVAL;
	memset(done, 0, count);
	for (i = 0; i < count && !*(const volatile uint8_t *)stop;
	     i++, names += strlen(names) + 1) {
		struct stat st;
		int fd = open_regular(dirs[i], names, &st);

		if (fd < 0)
			continue;
		devices[i] = st.st_dev;
		inodes[i] = st.st_ino;
		done[i] = (uint8_t)enable(fd, &st, checked[i] ? expected + DIGEST * i : NULL,
					  &budget);
		close(fd);
	}
	return 0;
}

/* The name opened anew, if it is that inode and no page of it stayed cached; or -1. Closes fd. */
static int open_evicted(int fd, int dir, const char *name, uint64_t device, uint64_t inode)
{
	int failed = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	struct stat st;

	close(fd);
	fd = failed ? -1 : open_regular(dir, name, &st);
	if (fd < 0)
		return -1;
	if (st.st_dev == device && st.st_ino == inode && verity_cached(fd) == 0)
		return fd;
	close(fd);
	return -1;
}

int verity_measure_files(size_t count, const int *dirs, const char *names,
			 const uint64_t *devices, const uint64_t *inodes, uint8_t *digests,
			 uint8_t *done)
{
	size_t i;

	if (!dirs || !names || !devices != !inodes || !digests || !done)
		return -EINVAL;
	for (i = 0; i < count; i++, names += strlen(names) + 1) {
		struct stat st;
		uint32_t algorithm;
		int fd = open_regular(dirs[i], names, &st);

		done[i] = 0;
		if (fd >= 0 && inodes)
			fd = open_evicted(fd, dirs[i], names, devices[i], inodes[i]);
		if (fd < 0)
			continue;
		done[i] = verity_measure(fd, &algorithm, digests + DIGEST * i, DIGEST) == DIGEST &&
			  algorithm == FS_VERITY_HASH_ALG_SHA256;
		close(fd);
	}
	return 0;
}
