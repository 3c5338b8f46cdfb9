/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TOGETHER 64 /* blocks in one call to the hash path: bounds the stack */

static int add(struct verity_tree *tree, unsigned int number, const uint8_t *data, size_t len);

/* Hash whole blocks of a level into the level above. */
static int hash_blocks(struct verity_tree *tree, unsigned int number, const uint8_t *blocks,
		       size_t count)
{
	uint8_t hashes[TOGETHER * VERITY_MAX_HASH];
	size_t size = tree->hashing.block_size;
	int result = 0;

	while (count && !result) {
		size_t some = count < TOGETHER ? count : TOGETHER;

		result = tree->path->blocks(tree->state, blocks, some, hashes);
		if (result)
			break;
		tree->levels[number].blocks += some;
		result = add(tree, number + 1, hashes, some * tree->hashing.hash_size);
		blocks += some * size;
		count -= some;
	}
	return result;
}

/* Add contents to a level; the depth of the recursion is that of the tree. */
static int add(struct verity_tree *tree, unsigned int number, const uint8_t *data, size_t len)
{
	size_t size = tree->hashing.block_size;
	struct verity_tree_level *level;
	int result = 0;

	if (number >= VERITY_TREE_LEVELS)
		return -EFBIG;
	level = &tree->levels[number];
	while (len && !result) {
		size_t room = size - level->fill;

		if (!level->fill && len >= size) {
			size_t whole = len / size;

			result = hash_blocks(tree, number, data, whole);
			data += whole * size;
			len -= whole * size;
			continue;
		}
		if (!level->block) {
			level->block = malloc(size);
			if (!level->block)
				return -ENOMEM;
		}
		if (room > len)
			room = len;
		memcpy(level->block + level->fill, data, room);
		level->fill += room;
		data += room;
		len -= room;
		if (level->fill == size) {
			level->fill = 0;
			result = hash_blocks(tree, number, level->block, 1);
		}
	}
	return result;
}

/* The hash of a block that has only zeros below it, at this level. */
static int know_zeros(struct verity_tree *tree, unsigned int number)
{
	size_t size = tree->hashing.block_size, hash = tree->hashing.hash_size;
	uint8_t *block;
	int result = 0;

	if (number >= VERITY_TREE_LEVELS)
		return -EFBIG;
	if (number < tree->zeros_known)
		return 0;
	block = calloc(1, size);
	if (!block)
		return -ENOMEM;
	for (; tree->zeros_known <= number && !result; tree->zeros_known++) {
		unsigned int known = tree->zeros_known;
		size_t at;

		for (at = 0; known && at < size; at += hash)
			memcpy(block + at, tree->zeros[known - 1], hash);
		result = tree->path->blocks(tree->state, block, 1, tree->zeros[known]);
	}
	free(block);
	return result;
}

/* Add hashes of subtrees of zeros, `count` times that of level `number`, to the level above. */
static int add_zeros(struct verity_tree *tree, unsigned int number, uint64_t count)
{
	uint64_t each = tree->hashing.block_size / tree->hashing.hash_size;
	struct verity_tree_level *level;
	int result = know_zeros(tree, number);

	if (result || number + 1 >= VERITY_TREE_LEVELS)
		return result ? result : -EFBIG;
	tree->levels[number].blocks += count;
	level = &tree->levels[number + 1];
	while (count && !result) {
		if (!level->fill && count >= each) {
			result = add_zeros(tree, number + 1, count / each);
			count %= each;
			continue;
		}
		result = add(tree, number + 1, tree->zeros[number], tree->hashing.hash_size);
		count--;
	}
	return result;
}

int verity_tree_start(struct verity_tree *tree, const struct verity_path *path,
		      const struct verity_hashing *hashing)
{
	memset(tree, 0, sizeof(*tree));
	if (!path)
		return -ENOSYS;
	tree->hashing = *hashing;
	tree->path = path;
	tree->state = path->start(path, &tree->hashing);
	return tree->state ? 0 : -ENOMEM;
}

int verity_tree_contents(struct verity_tree *tree, const uint8_t *data, size_t len)
{
	return add(tree, 0, data, len);
}

int verity_tree_hashes(struct verity_tree *tree, const uint8_t *hashes, size_t count)
{
	tree->levels[0].blocks += count;
	return add(tree, 1, hashes, count * tree->hashing.hash_size);
}

int verity_tree_zeros(struct verity_tree *tree, uint64_t count)
{
	return add_zeros(tree, 0, count);
}

int verity_tree_finish(struct verity_tree *tree, uint8_t *root)
{
	size_t size = tree->hashing.block_size;
	unsigned int number;
	int result;

	if (!tree->levels[0].blocks && !tree->levels[0].fill) {
		memset(root, 0, tree->hashing.hash_size);
		return 0;
	}
	/* Pad and hash the last block of every level, up to the one that is a single block. */
	for (number = 0; number + 1 < VERITY_TREE_LEVELS; number++) {
		struct verity_tree_level *level = &tree->levels[number];

		if (level->fill) {
			memset(level->block + level->fill, 0, size - level->fill);
			level->fill = 0;
			result = hash_blocks(tree, number, level->block, 1);
			if (result)
				return result;
		}
		if (level->blocks == 1) {
			memcpy(root, tree->levels[number + 1].block, tree->hashing.hash_size);
			return 0;
		}
	}
	return -EFBIG;
}

void verity_tree_end(struct verity_tree *tree)
{
	unsigned int number;

	for (number = 0; number < VERITY_TREE_LEVELS; number++)
		free(tree->levels[number].block);
	if (tree->state)
		tree->path->end(tree->state);
}
