/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded by test_kernel_abi.py: says what the fs-verity ioctls were given and answers as a
 * file system with fs-verity does, or with the errno in SHIM_ERRNO. SHIM_CACHED is the number of
 * pages that cachestat(2) finds, 0 without it, or "none" for a kernel that has no such call.
 * SHIM_FS is the file system's number, in hex; that of ext4 without it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <linux/magic.h>

#define TREE 150000u

static void hex(uint64_t at, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		printf("%02x", ((const uint8_t *)(uintptr_t)at)[i]);
	printf(" ");
}

static int enable(const struct fsverity_enable_arg *a)
{
	printf("enable %u %u %u %u %u ", a->version, a->hash_algorithm, a->block_size,
	       a->salt_size, a->sig_size);
	hex(a->salt_ptr, a->salt_size);
	hex(a->sig_ptr, a->sig_size);
	for (int i = 0; i < 11; i++)
		if (a->__reserved2[i])
			printf("reserved ");
	printf("%u\n", a->__reserved1);
	return 0;
}

static int measure(struct fsverity_digest *d)
{
	printf("measure %u\n", d->digest_size);
	d->digest_algorithm = FS_VERITY_HASH_ALG_SHA256;
	d->digest_size = 32;
	for (int i = 0; i < 32; i++)
		d->digest[i] = (uint8_t)i;
	return 0;
}

static int metadata(const struct fsverity_read_metadata_arg *a)
{
	uint64_t n = a->offset < TREE ? TREE - a->offset : 0;

	if (n > a->length)
		n = a->length;
	printf("metadata %llu %llu %llu %llu\n", (unsigned long long)a->metadata_type,
	       (unsigned long long)a->offset, (unsigned long long)a->length,
	       (unsigned long long)a->__reserved);
	for (uint64_t i = 0; i < n; i++)
		((uint8_t *)(uintptr_t)a->buf_ptr)[i] = (uint8_t)((a->offset + i) % 251);
	return (int)n;
}

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

long syscall(long number, ...)
{
	long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	const char *cached = getenv("SHIM_CACHED");
	long given[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		given[i] = va_arg(list, long);
	va_end(list);
	if (number != SYS_cachestat)
		return real(number, given[0], given[1], given[2], given[3], given[4], given[5]);
	if (cached && !strcmp(cached, "none")) {
		errno = ENOSYS;
		return -1;
	}
	*(uint64_t *)given[2] = cached ? strtoull(cached, NULL, 10) : 0;
	return 0;
}

int fstatfs(int fd, struct statfs *of)
{
	const char *number = getenv("SHIM_FS");

	memset(of, 0, sizeof(*of));
	of->f_type = number ? (long)strtoul(number, NULL, 16) : EXT4_SUPER_MAGIC;
	return fd < 0 ? -1 : 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	void *arg;
	const char *refuse = getenv("SHIM_ERRNO");
	int result;

	va_start(list, request);
	arg = va_arg(list, void *);
	va_end(list);
	if (request != FS_IOC_ENABLE_VERITY && request != FS_IOC_MEASURE_VERITY &&
	    request != FS_IOC_READ_VERITY_METADATA && request != FS_IOC_GETFLAGS)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	if (refuse) {
		errno = atoi(refuse);
		return -1;
	}
	if (request == FS_IOC_ENABLE_VERITY)
		result = enable(arg);
	else if (request == FS_IOC_MEASURE_VERITY)
		result = measure(arg);
	else if (request == FS_IOC_READ_VERITY_METADATA)
		result = metadata(arg);
	else
		result = (*(int *)arg = FS_VERITY_FL | FS_APPEND_FL, 0);
	fflush(stdout);
	return result;
}
