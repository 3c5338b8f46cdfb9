/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an audit must ask the kernel of each file, and nothing else: open, fstat, the fs-verity
 * digest, the list of xattrs, close; by two threads, of paths on standard input that end in NUL.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fsverity.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MOST 1000000
#define THREADS 2

static char *paths[MOST];
static size_t count;

static void *ask(void *first)
{
	union {
		struct fsverity_digest head;
		uint8_t room[sizeof(struct fsverity_digest) + 64];
	} digest;
	char names[4096];
	struct stat st;

	for (size_t i = (size_t)(uintptr_t)first; i < count; i += THREADS) {
		int fd = open(paths[i], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

		digest.head.digest_size = 64;
		if (fd < 0 || fstat(fd, &st) != 0 ||
		    ioctl(fd, FS_IOC_MEASURE_VERITY, &digest) != 0 ||
		    flistxattr(fd, names, sizeof(names)) < 0) {
			perror(paths[i]);
			exit(1);
		}
		close(fd);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS];
	char *path = NULL;
	size_t size = 0;

	while (count < MOST && getdelim(&path, &size, '\0', stdin) > 0)
		paths[count++] = strdup(path);
	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, ask, (void *)i) != 0)
			return 1;
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
