/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOL_H
#define TOOL_H
/*
 * What the attack tools share. Each does one act and prints one line: `ok`, or the step that failed
 * and its errno by name. Exit status: 0 the act succeeded, 1 it was refused, 2 own trouble, which a
 * test must never take for a refusal.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static inline int succeeded(void)
{
	puts("ok");
	return 0;
}

static inline int refused(const char *step)
{
	printf("%s: %s\n", step, strerrorname_np(errno));
	return 1;
}

__attribute__((noreturn)) static inline void trouble(const char *step)
{
	fprintf(stderr, "trouble: %s: %s\n", step, strerror(errno));
	exit(2);
}

/* The whole file; the caller never frees it, the process is short. */
static inline void *contents(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat about;
	char *bytes;
	size_t have = 0;

	if (fd < 0 || fstat(fd, &about) < 0)
		trouble(path);
	*size = about.st_size;
	bytes = malloc(*size + 1);
	if (!bytes)
		trouble("malloc");
	while (have < *size) {
		ssize_t got = read(fd, bytes + have, *size - have);

		if (got <= 0)
			trouble(path);
		have += got;
	}
	close(fd);
	return bytes;
}

static inline void write_all(int fd, const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size) {
		ssize_t put = write(fd, at, size);

		if (put <= 0)
			trouble("write");
		at += put;
		size -= put;
	}
}

#endif
