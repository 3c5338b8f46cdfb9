/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_TREE_H
#define VERITY_TREE_H
/*
 * A Merkle tree that is built in order and in flat memory: one unfinished block for each level.
 *
 * Contents come as bytes, as hashes of their blocks that others computed, or as blocks of zeros,
 * which cost nothing: a whole subtree of zeros has one hash. All return 0 or -errno.
 */
#include <stddef.h>
#include <stdint.h>

#include "hash_path.h"

/* The smallest block holds two hashes: no level is more than half of the one below. */
#define VERITY_TREE_LEVELS 64

struct verity_tree_level {
	uint8_t *block; /* being filled; allocated when first needed */
	size_t fill;
	uint64_t blocks; /* hashed so far */
};

struct verity_tree {
	struct verity_hashing hashing;
	const struct verity_path *path;
	void *state;
	struct verity_tree_level levels[VERITY_TREE_LEVELS];
	/* The hash of a block of zeros, of a block of those hashes, and so on. */
	uint8_t zeros[VERITY_TREE_LEVELS][VERITY_MAX_HASH];
	unsigned int zeros_known;
};

/* The salt of hashing has to stay. After a failure too, verity_tree_end is called. */
int verity_tree_start(struct verity_tree *tree, const struct verity_path *path,
		      const struct verity_hashing *hashing);

int verity_tree_contents(struct verity_tree *tree, const uint8_t *data, size_t len);

/* Hashes of whole blocks of contents. */
int verity_tree_hashes(struct verity_tree *tree, const uint8_t *hashes, size_t count);

/* Whole blocks of zeros. */
int verity_tree_zeros(struct verity_tree *tree, uint64_t count);

/* The root hash, hash_size bytes; all zeros without contents. */
int verity_tree_finish(struct verity_tree *tree, uint8_t *root);

void verity_tree_end(struct verity_tree *tree);

#endif
