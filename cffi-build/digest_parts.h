/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_DIGEST_PARTS_H
#define VERITY_DIGEST_PARTS_H
/* What digest.c, digest_large.c and digest_files.c share. */
#include <stddef.h>
#include <stdint.h>
#include <linux/fsverity.h>

#include "hash.h"
#include "hash_path.h"

/* Read at once by a thread: a block of any size fits, all lanes are filled with the usual ones,
 * and what was read is still in the processor's second cache when it is hashed. */
#define VERITY_PIECE (1U << 20)
_Static_assert(VERITY_PIECE >= VERITY_MAX_BLOCK, "a piece is one block at least");

#define VERITY_RAW_SALT 32

/* A digest's parameters. The salt that hashing points to is here, so it stays where it is. */
struct verity_task {
	struct verity_hashing hashing;
	const struct verity_path *path;
	uint8_t padded[VERITY_MAX_PADDED_SALT];
	uint8_t raw_salt_len;
	const volatile int *stop;
};

/* 0, -EINVAL, -ENOSYS. */
int verity_task_start(struct verity_task *task, uint32_t hash_alg, const uint8_t *salt,
		      size_t salt_len, size_t block_size, const int *stop);

/* The descriptor of a file; the hash of its 256 bytes, unsalted, is the digest. */
void verity_descriptor(const struct verity_task *task, uint64_t size, const uint8_t *root,
		       struct fsverity_descriptor *out);

/* What hashes descriptors. */
struct verity_hashing verity_descriptor_hashing(const struct verity_task *task);

/* Read len bytes at an offset; less only at the end of the file. Returns the count or -errno. */
int64_t verity_read_at(int fd, uint8_t *out, size_t len, uint64_t at);

/* The root hash of one file, by threads of its own. As verity_digest_fd. */
int verity_large_root(const struct verity_task *task, int fd, uint64_t size,
		      unsigned int threads, uint64_t *read, uint8_t *root);

/* Start body(argument) in up to count threads with all signals blocked, and wait for all; the
 * caller's thread is one of them. size is that of an argument. */
void verity_in_threads(unsigned int count, void *(*body)(void *), void *arguments, size_t size);

#endif
