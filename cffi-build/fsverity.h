/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_FSVERITY_H
#define VERITY_FSVERITY_H
/*
 * The ioctls of linux/fsverity.h, by file descriptor.
 *
 * Every function returns a value >= 0 or -errno, keeps no state, allocates nothing and
 * looks at its arguments before it calls the kernel.
 */
#include <stddef.h>
#include <stdint.h>
#include <linux/fsverity.h>

#ifndef FS_IOC_READ_VERITY_METADATA
#error "the kernel headers are too old: linux/fsverity.h of Linux 5.12 or later is needed"
#endif

/* Larger signatures get EMSGSIZE from the kernel (FS_VERITY_MAX_SIGNATURE_SIZE). */
#define VERITY_MAX_SIGNATURE 16128
#define VERITY_MAX_SALT 32
#define VERITY_MAX_DIGEST 64

int verity_enable(int fd, uint32_t hash_alg, uint32_t block_size, const uint8_t *salt,
		  uint32_t salt_len, const uint8_t *sig, uint32_t sig_len);

/*
 * Bytes of the digest; *alg is an FS_VERITY_HASH_ALG_ number. -ENOTTY, too, where it is not the
 * kernel that says it: FUSE asks the program behind the file system, and checks nothing.
 */
int verity_measure(int fd, uint32_t *alg, uint8_t *buf, size_t cap);

/* Whether the kernel checks what is read of files with fs-verity in this file system. */
int verity_is_checked(int fd);

/* As verity_measure, in a file system for which verity_is_checked. */
int verity_measure_checked(int fd, uint32_t *alg, uint8_t *buf, size_t cap);

/* Bytes read, 0 at the end. */
int64_t verity_read_metadata(int fd, uint64_t type, uint64_t offset, uint8_t *buf, size_t len);

#endif
