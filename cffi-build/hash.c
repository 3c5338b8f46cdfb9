/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* pread */
#include "hash.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/fsverity.h>

/* SHA256_CTX has 112 bytes and SHA512_CTX 216; both are plain data and may be copied. */
union context {
	uint8_t room[512];
	uint64_t align;
};

struct functions {
	int (*init)(void *);
	int (*update)(void *, const void *, size_t);
	int (*final)(uint8_t *, void *);
	size_t size;
};

static struct functions sha256, sha512;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ISO C has no conversion from void * to a function: copy the bytes, as POSIX promises works. */
static int find(void *library, const char *name, void *function)
{
	void *symbol = dlsym(library, name);

	memcpy(function, &symbol, sizeof(symbol));
	return symbol != NULL;
}

static void load(void)
{
	void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return;
	if (find(library, "SHA256_Init", &sha256.init) &&
	    find(library, "SHA256_Update", &sha256.update) &&
	    find(library, "SHA256_Final", &sha256.final))
		sha256.size = 32;
	if (find(library, "SHA512_Init", &sha512.init) &&
	    find(library, "SHA512_Update", &sha512.update) &&
	    find(library, "SHA512_Final", &sha512.final))
		sha512.size = 64;
}

int verity_hash_available(void)
{
	pthread_once(&once, load);
	return sha256.size && sha512.size;
}

static const struct functions *algorithm(uint32_t hash_alg)
{
	if (hash_alg == FS_VERITY_HASH_ALG_SHA256)
		return &sha256;
	if (hash_alg == FS_VERITY_HASH_ALG_SHA512)
		return &sha512;
	return NULL;
}

int verity_hash_blocks(uint32_t hash_alg, const uint8_t *salt, size_t salt_len,
		       const uint8_t *data, size_t len, size_t block_size, uint8_t *out,
		       size_t out_len)
{
	const struct functions *f;
	union context salted, context;
	size_t at;

	if (!verity_hash_available())
		return -ENOSYS;
	f = algorithm(hash_alg);
	if (!f || !data || !out || !block_size || len % block_size || (salt_len && !salt) ||
	    out_len / f->size != len / block_size || out_len % f->size)
		return -EINVAL;
	if (!f->init(&salted) || (salt_len && !f->update(&salted, salt, salt_len)))
		return -EINVAL;
	for (at = 0; at < len; at += block_size, out += f->size) {
		context = salted;
		if (!f->update(&context, data + at, block_size) || !f->final(out, &context))
			return -EINVAL;
	}
	return 0;
}

/* 2^64 bytes in blocks of 512 with hashes of 64 need 20 levels; the first is the contents. */
#define LEVELS 24
#define MAX_BLOCK 65536
#define PIECE (4 * MAX_BLOCK)

struct level {
	uint8_t *block; /* being filled; allocated when first needed */
	size_t fill;
	uint64_t blocks; /* hashed so far */
};

struct tree {
	const struct functions *f;
	union context salted;
	size_t block_size;
	struct level levels[LEVELS];
};

static int add(struct tree *tree, unsigned int number, const uint8_t *data, size_t len);

/* Hash one whole block of a level into the level above. */
static int hash_block(struct tree *tree, unsigned int number, const uint8_t *block)
{
	union context context = tree->salted;
	uint8_t digest[64];

	if (!tree->f->update(&context, block, tree->block_size) ||
	    !tree->f->final(digest, &context))
		return -EINVAL;
	tree->levels[number].blocks++;
	return add(tree, number + 1, digest, tree->f->size);
}

/* Add contents to a level; the depth of the recursion is that of the tree. */
static int add(struct tree *tree, unsigned int number, const uint8_t *data, size_t len)
{
	struct level *level;
	int result = 0;

	if (number >= LEVELS)
		return -EFBIG;
	level = &tree->levels[number];
	while (len && !result) {
		size_t room = tree->block_size - level->fill;

		if (!level->fill && len >= tree->block_size) {
			result = hash_block(tree, number, data);
			data += tree->block_size;
			len -= tree->block_size;
			continue;
		}
		if (!level->block) {
			level->block = malloc(tree->block_size);
			if (!level->block)
				return -ENOMEM;
		}
		if (room > len)
			room = len;
		memcpy(level->block + level->fill, data, room);
		level->fill += room;
		data += room;
		len -= room;
		if (level->fill == tree->block_size) {
			level->fill = 0;
			result = hash_block(tree, number, level->block);
		}
	}
	return result;
}

/* Pad and hash the last block of every level, up to the one that is a single block. */
static int finish(struct tree *tree, uint8_t *root)
{
	unsigned int number;
	int result;

	for (number = 0; number + 1 < LEVELS; number++) {
		struct level *level = &tree->levels[number];

		if (level->fill) {
			memset(level->block + level->fill, 0, tree->block_size - level->fill);
			level->fill = 0;
			result = hash_block(tree, number, level->block);
			if (result)
				return result;
		}
		if (level->blocks == 1) {
			memcpy(root, tree->levels[number + 1].block, tree->f->size);
			return 0;
		}
	}
	return -EFBIG;
}

static int hash_all(int fd, struct tree *tree, uint64_t limit, uint8_t *room, uint64_t *size,
		    union context *plain)
{
	uint64_t done = 0;

	while (done <= limit) {
		ssize_t count = pread(fd, room, PIECE, (off_t)done);
		int result;

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (!count)
			break;
		if (plain && !sha256.update(plain, room, (size_t)count))
			return -EINVAL;
		result = add(tree, 0, room, (size_t)count);
		if (result)
			return result;
		done += (uint64_t)count;
	}
	*size = done;
	return 0;
}

int verity_hash_file(int fd, uint32_t hash_alg, const uint8_t *salt, size_t salt_len,
		     size_t block_size, uint64_t limit, const uint8_t *prefix, size_t prefix_len,
		     uint64_t *size, uint8_t *root, uint8_t *plain)
{
	struct tree tree = { .block_size = block_size };
	union context whole;
	uint8_t *room;
	unsigned int number;
	int result;

	if (!verity_hash_available())
		return -ENOSYS;
	tree.f = algorithm(hash_alg);
	if (!tree.f || block_size < 2 * tree.f->size || block_size > MAX_BLOCK ||
	    block_size & (block_size - 1) || (salt_len && !salt) || (prefix_len && !prefix) ||
	    !size || !root)
		return -EINVAL;
	if (!tree.f->init(&tree.salted) ||
	    (salt_len && !tree.f->update(&tree.salted, salt, salt_len)))
		return -EINVAL;
	if (plain && (!sha256.init(&whole) || !sha256.update(&whole, prefix, prefix_len)))
		return -EINVAL;
	room = malloc(PIECE);
	if (!room)
		return -ENOMEM;
	result = hash_all(fd, &tree, limit, room, size, plain ? &whole : NULL);
	if (!result && !*size)
		memset(root, 0, tree.f->size);
	else if (!result)
		result = finish(&tree, root);
	if (!result && plain && !sha256.final(plain, &whole))
		result = -EINVAL;
	for (number = 0; number < LEVELS; number++)
		free(tree.levels[number].block);
	free(room);
	return result;
}
