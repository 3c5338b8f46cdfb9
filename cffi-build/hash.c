/* SPDX-License-Identifier: Apache-2.0 */
#include "hash.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <linux/fsverity.h>

#include "digest_parts.h"
#include "hash_path.h"
#include "tree.h"

#define PIECE 262144

static _Atomic(const struct verity_path *) wanted;

static const struct verity_path *usable_path(unsigned int number)
{
	unsigned int i;

	for (i = 0; i <= VERITY_LANE_PATHS; i++) {
		const struct verity_path *path =
			i < VERITY_LANE_PATHS ? &verity_path_lanes[i] : &verity_path_openssl;

		if (path->usable() && !number--)
			return path;
	}
	return NULL;
}

const char *verity_hash_path(unsigned int number)
{
	const struct verity_path *path = usable_path(number);

	return path ? path->name : NULL;
}

int verity_hash_use(const char *name)
{
	const struct verity_path *path = NULL;
	unsigned int i;

	for (i = 0; name && (path = usable_path(i)) && strcmp(path->name, name) != 0; i++)
		;
	if (name && !path)
		return -ENOENT;
	atomic_store(&wanted, path);
	return 0;
}

/* By the processor's flags, which the lane paths look at. */
const struct verity_path *verity_path_for(uint32_t hash_alg)
{
	const struct verity_path *path = atomic_load(&wanted);
	unsigned int i;

	if (path)
		return path;
	for (i = 0; (path = usable_path(i)); i++)
		if (path == &verity_path_openssl || verity_lanes_are_faster(path, hash_alg))
			return path;
	return usable_path(0);
}

const char *verity_hash_chosen(uint32_t hash_alg)
{
	const struct verity_path *path = verity_path_for(hash_alg);

	return path ? path->name : NULL;
}

size_t verity_hash_size(uint32_t hash_alg)
{
	return hash_alg == FS_VERITY_HASH_ALG_SHA256 ? 32 :
	       hash_alg == FS_VERITY_HASH_ALG_SHA512 ? 64 :
						       0;
}

int verity_hashing_valid(const struct verity_hashing *hashing)
{
	/* With less than two hashes in a block a tree has no end. */
	return hashing->hash_size && hashing->block_size >= 2 * hashing->hash_size &&
	       hashing->block_size <= VERITY_MAX_BLOCK &&
	       !(hashing->block_size & (hashing->block_size - 1)) &&
	       hashing->salt_len <= VERITY_MAX_PADDED_SALT &&
	       (!hashing->salt_len || hashing->salt);
}

int verity_hash_available(void)
{
	return usable_path(0) != NULL;
}

int verity_hash_blocks(uint32_t hash_alg, const uint8_t *salt, size_t salt_len,
		       const uint8_t *data, size_t len, size_t block_size, uint8_t *out,
		       size_t out_len)
{
	const struct verity_hashing hashing = { hash_alg, verity_hash_size(hash_alg), block_size,
						salt, salt_len };
	const struct verity_path *path = verity_path_for(hash_alg);
	void *state;
	int result;

	if (!path)
		return -ENOSYS;
	if (!verity_hashing_valid(&hashing) || !data || !out || len % block_size ||
	    out_len / hashing.hash_size != len / block_size || out_len % hashing.hash_size)
		return -EINVAL;
	state = path->start(path, &hashing);
	if (!state)
		return -ENOMEM;
	result = path->blocks(state, data, len / block_size, out);
	path->end(state);
	return result;
}

static int hash_all(int fd, struct verity_tree *tree, uint64_t limit, uint8_t *room,
		    uint64_t *size, struct verity_plain *plain, struct verity_head *head)
{
	uint64_t done = 0;

	while (done <= limit) {
		int64_t count = verity_read_at(fd, room, PIECE, done);
		int result;

		if (count < 0)
			return (int)count;
		if (head && !done) {
			head->found = (size_t)count < head->len ? (size_t)count : head->len;
			memcpy(head->bytes, room, head->found);
		}
		result = plain ? verity_plain_add(plain, room, (size_t)count) : 0;
		if (!result)
			result = verity_tree_contents(tree, room, (size_t)count);
		if (result)
			return result;
		done += (uint64_t)count;
		if (count < PIECE)
			break;
	}
	*size = done;
	return 0;
}

int verity_hash_file(int fd, uint32_t hash_alg, const uint8_t *salt, size_t salt_len,
		     size_t block_size, uint64_t limit, const uint8_t *prefix, size_t prefix_len,
		     uint64_t *size, uint8_t *root, uint8_t *plain)
{
	return verity_hash_file_head(fd, hash_alg, salt, salt_len, block_size, limit, prefix,
				     prefix_len, size, root, plain, NULL);
}

int verity_hash_file_head(int fd, uint32_t hash_alg, const uint8_t *salt, size_t salt_len,
			  size_t block_size, uint64_t limit, const uint8_t *prefix,
			  size_t prefix_len, uint64_t *size, uint8_t *root, uint8_t *plain,
			  struct verity_head *head)
{
	const struct verity_hashing hashing = { hash_alg, verity_hash_size(hash_alg), block_size,
						salt, salt_len };
	struct verity_plain whole;
	struct verity_tree tree;
	uint8_t *room;
	int result;

	if (!verity_hashing_valid(&hashing) || (prefix_len && !prefix) || !size || !root)
		return -EINVAL;
	if (plain) {
		result = verity_plain_start(&whole);
		if (!result && prefix_len)
			result = verity_plain_add(&whole, prefix, prefix_len);
		if (result)
			return result;
	}
	room = malloc(PIECE);
	if (!room)
		return -ENOMEM;
	result = verity_tree_start(&tree, verity_path_for(hash_alg), &hashing);
	if (!result)
		result = hash_all(fd, &tree, limit, room, size, plain ? &whole : NULL, head);
	if (!result)
		result = verity_tree_finish(&tree, root);
	if (!result && plain)
		result = verity_plain_finish(&whole, plain);
	verity_tree_end(&tree);
	free(room);
	return result;
}
