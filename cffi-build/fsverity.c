/* SPDX-License-Identifier: Apache-2.0 */
#include "fsverity.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <linux/magic.h>

_Static_assert(sizeof(struct fsverity_enable_arg) == 128, "FS_IOC_ENABLE_VERITY argument");
_Static_assert(sizeof(struct fsverity_read_metadata_arg) == 40, "read metadata argument");
_Static_assert(sizeof(struct fsverity_descriptor) == 256, "descriptor");

int verity_enable(int fd, uint32_t hash_alg, uint32_t block_size, const uint8_t *salt,
		  uint32_t salt_len, const uint8_t *sig, uint32_t sig_len)
{
	struct fsverity_enable_arg arg;

	if (fd < 0)
		return -EBADF;
	if ((salt_len && !salt) || (sig_len && !sig))
		return -EFAULT;
	if (salt_len > VERITY_MAX_SALT || sig_len > VERITY_MAX_SIGNATURE)
		return -EMSGSIZE;
	if (block_size == 0 || (block_size & (block_size - 1)))
		return -EINVAL;

	memset(&arg, 0, sizeof(arg));
	arg.version = 1;
	arg.hash_algorithm = hash_alg;
	arg.block_size = block_size;
	arg.salt_size = salt_len;
	arg.salt_ptr = salt_len ? (uintptr_t)salt : 0;
	arg.sig_size = sig_len;
	arg.sig_ptr = sig_len ? (uintptr_t)sig : 0;
	if (ioctl(fd, FS_IOC_ENABLE_VERITY, &arg) != 0)
		return -errno;
	return 0;
}

int verity_is_checked(int fd)
{
	struct statfs of;

	/* Those that have fs-verity themselves; any other one may only pass the question on. */
	return fstatfs(fd, &of) == 0 &&
	       (of.f_type == EXT4_SUPER_MAGIC || of.f_type == F2FS_SUPER_MAGIC ||
		of.f_type == BTRFS_SUPER_MAGIC);
}

int verity_measure(int fd, uint32_t *alg, uint8_t *buf, size_t cap)
{
	int result = verity_measure_checked(fd, alg, buf, cap);

	return result < 0 || verity_is_checked(fd) ? result : -ENOTTY;
}

int verity_measure_checked(int fd, uint32_t *alg, uint8_t *buf, size_t cap)
{
	/* The ioctl's struct ends in a flexible array: room for the largest digest behind it. */
	union {
		struct fsverity_digest head;
		uint8_t room[sizeof(struct fsverity_digest) + VERITY_MAX_DIGEST];
	} d;

	if (fd < 0)
		return -EBADF;
	if (!alg || !buf)
		return -EFAULT;

	memset(&d, 0, sizeof(d));
	d.head.digest_size = cap < VERITY_MAX_DIGEST ? (uint16_t)cap : VERITY_MAX_DIGEST;
	if (ioctl(fd, FS_IOC_MEASURE_VERITY, &d) != 0)
		return -errno;
	if (d.head.digest_size > cap || d.head.digest_size > VERITY_MAX_DIGEST)
		return -EOVERFLOW;
	*alg = d.head.digest_algorithm;
	memcpy(buf, d.room + sizeof(struct fsverity_digest), d.head.digest_size);
	return d.head.digest_size;
}

int64_t verity_read_metadata(int fd, uint64_t type, uint64_t offset, uint8_t *buf, size_t len)
{
	struct fsverity_read_metadata_arg arg;
	int n;

	if (fd < 0)
		return -EBADF;
	if (!buf)
		return -EFAULT;
	if (type < FS_VERITY_METADATA_TYPE_MERKLE_TREE || type > FS_VERITY_METADATA_TYPE_SIGNATURE)
		return -EINVAL;
	if (len == 0 || len > INT32_MAX)
		return -EINVAL;

	memset(&arg, 0, sizeof(arg));
	arg.metadata_type = type;
	arg.offset = offset;
	arg.length = len;
	arg.buf_ptr = (uintptr_t)buf;
	n = ioctl(fd, FS_IOC_READ_VERITY_METADATA, &arg);
	if (n < 0)
		return -errno;
	/* More than was asked for would mean that the kernel wrote past the buffer. */
	if ((size_t)n > len)
		return -EOVERFLOW;
	return n;
}
