/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* mincore, syscall */
#include "cached.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From linux/mman.h of Linux 6.5: the headers may be older than the kernel. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
struct range {
	uint64_t offset, length; /* 0: to the end of all pages */
};
struct numbers {
	uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

#define WINDOW ((uint64_t)64 << 20)

static int64_t by_mincore(int fd)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), size, at, i;
	unsigned char resident[WINDOW / 4096];
	int64_t found = 0;
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -errno;
	size = (uint64_t)st.st_size;
	for (at = 0; at < size; at += WINDOW) {
		uint64_t length = size - at < WINDOW ? size - at : WINDOW;
		void *map = mmap(NULL, length, PROT_NONE, MAP_SHARED, fd, (off_t)at);
		int failed;

		if (map == MAP_FAILED)
			return -errno;
		failed = mincore(map, length, resident) == 0 ? 0 : errno;
		munmap(map, length);
		if (failed)
			return -failed;
		for (i = 0; i < (length + page - 1) / page; i++)
			found += resident[i] & 1;
	}
	return found;
}

int64_t verity_cached(int fd)
{
	struct range all = { .offset = 0, .length = 0 };
	struct numbers numbers;

	if (fd < 0)
		return -EBADF;
	memset(&numbers, 0, sizeof(numbers));
	if (syscall(SYS_cachestat, fd, &all, &numbers, 0U) == 0)
		return (int64_t)numbers.cached;
	if (errno == ENOSYS || errno == EPERM) /* older than 6.5, or a sandbox */
		return by_mincore(fd);
	return -errno;
}
