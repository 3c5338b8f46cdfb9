/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_HASH_PATH_H
#define VERITY_HASH_PATH_H
/*
 * A hash path: one way of computing many hashes of blocks of one size.
 *
 * Not to be confused with a path of a file. The work of one thread goes through a state of its
 * own; states of one path may work at the same time.
 */
#include <stddef.h>
#include <stdint.h>

#define VERITY_MAX_HASH 64
#define VERITY_MAX_PADDED_SALT 128

/* What the hashes depend on besides the contents. The salt is padded to the hash function's block. */
struct verity_hashing {
	uint32_t hash_alg;
	size_t hash_size;
	size_t block_size;
	const uint8_t *salt;
	size_t salt_len;
};

struct verity_path {
	const char *name;
	/* 1 if this host has it; the other functions are called only then. */
	int (*usable)(void);
	/* A state for these hashes, or NULL without memory. The salt has to stay. */
	void *(*start)(const struct verity_path *path, const struct verity_hashing *hashing);
	/* Hash count blocks, one behind the other, into out, likewise. 0 or -errno. */
	int (*blocks)(void *state, const uint8_t *data, size_t count, uint8_t *out);
	void (*end)(void *state);
	int lanes; /* of hash_lanes.c: which */
};

extern const struct verity_path verity_path_openssl;
/* The widest first. */
#define VERITY_LANE_PATHS 3
extern const struct verity_path verity_path_lanes[VERITY_LANE_PATHS];

/* 1 if a lane path is better for this algorithm than libcrypto; called only if it is usable. */
int verity_lanes_are_faster(const struct verity_path *path, uint32_t hash_alg);

/* The path to take for an algorithm, NULL if this host has none. */
const struct verity_path *verity_path_for(uint32_t hash_alg);

/* The size of a hash, or 0 for an unknown algorithm. */
size_t verity_hash_size(uint32_t hash_alg);

/* Whether these parameters are those of an fs-verity digest. */
int verity_hashing_valid(const struct verity_hashing *hashing);

/* SHA-256 of one long message, by libcrypto. */
struct verity_plain {
	union {
		uint8_t room[512];
		uint64_t align;
	} context;
};

/* All return 0, or -ENOSYS without libcrypto. */
int verity_plain_start(struct verity_plain *plain);
int verity_plain_add(struct verity_plain *plain, const uint8_t *data, size_t len);
int verity_plain_finish(struct verity_plain *plain, uint8_t *out);

#endif
