/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_CACHED_H
#define VERITY_CACHED_H
/*
 * Which of a file's pages are in the page cache: cachestat(2) of Linux 6.5, else mincore(2).
 *
 * fs-verity checks a page when it is read from the disk; one that was cached before is served as
 * it is. cachestat sees all pages, also those of the Merkle tree behind the end of the file;
 * mincore only those below that. Without write permission on the file mincore calls every page
 * cached, and newer kernels refuse cachestat.
 */
#include <stdint.h>

/* The number of cached pages, or -errno. */
int64_t verity_cached(int fd);

#endif
