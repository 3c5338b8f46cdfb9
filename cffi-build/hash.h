/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_HASH_H
#define VERITY_HASH_H
/*
 * The inner loop of an fs-verity digest: many blocks, one hash each, by one of several hash paths
 * (hash_path.h).
 *
 * Their libraries are looked for when first needed (dlopen), so that neither building nor importing
 * wants them: libcrypto, and libipsec-mb where its header was there when this was built. Without
 * either nothing here works but to say so.
 */
#include <stddef.h>
#include <stdint.h>

/* The largest block that is hashed here. */
#define VERITY_MAX_BLOCK (1 << 20)

/* 1 if there is a hash path, else 0. */
int verity_hash_available(void);

/* The names of the hash paths that this host has, the widest first; NULL behind the last. */
const char *verity_hash_path(unsigned int number);

/* The name of the hash path that is taken for this algorithm, NULL if there is none. */
const char *verity_hash_chosen(uint32_t hash_alg);

/* From now on take this hash path for everything, for tests and benchmarks; NULL: choose again.
 * 0, or -ENOENT if this host does not have it. */
int verity_hash_use(const char *name);

/*
 * Hash each block of data, after the salt, into out: len / block_size digests, one behind the
 * other. len is a multiple of block_size; salt is padded to the hash function's own block.
 * Returns 0 or -errno: -ENOSYS without a hash path.
 */
int verity_hash_blocks(uint32_t hash_alg, const uint8_t *salt, size_t salt_len,
		       const uint8_t *data, size_t len, size_t block_size, uint8_t *out,
		       size_t out_len);

/*
 * Read a file from its start to its end and hash it in one pass: the root hash of its Merkle
 * tree into root (as many bytes as the algorithm has), and, unless plain is NULL, the SHA-256
 * of prefix followed by the contents into plain (32 bytes). Reads no further than one byte
 * beyond limit; *size is what was read. The root hash of an empty file is all zeros.
 * Returns 0 or -errno; -ENOSYS without a hash path, and for plain without libcrypto.
 */
int verity_hash_file(int fd, uint32_t hash_alg, const uint8_t *salt, size_t salt_len,
		     size_t block_size, uint64_t limit, const uint8_t *prefix, size_t prefix_len,
		     uint64_t *size, uint8_t *root, uint8_t *plain);

/* Room for the first bytes of a file, at most len, and how many there were. */
struct verity_head {
	uint8_t *bytes;
	size_t len, found;
};

/* The same, and the first bytes that were hashed, unless head is NULL. */
int verity_hash_file_head(int fd, uint32_t hash_alg, const uint8_t *salt, size_t salt_len,
			  size_t block_size, uint64_t limit, const uint8_t *prefix,
			  size_t prefix_len, uint64_t *size, uint8_t *root, uint8_t *plain,
			  struct verity_head *head);

#endif
