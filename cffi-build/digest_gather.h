/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_DIGEST_GATHER_H
#define VERITY_DIGEST_GATHER_H
/*
 * Small files whose trees are hashed together: the lanes of a hash path are filled by the blocks of
 * several files. Contents are gathered until a piece is full; then each level of all their trees
 * is hashed at once, and their descriptors after that.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "digest_parts.h"

#define VERITY_GATHERED 256 /* files, whose descriptors fit into a piece, too */

struct verity_gathered {
	size_t index;
	uint64_t size;
	size_t first, blocks; /* on the level that is next; no blocks: the root is known */
	uint8_t root[VERITY_MAX_HASH];
};

struct verity_gather {
	const struct verity_task *task;
	struct verity_hashing descriptor_hashing;
	void *state, *descriptors;
	uint8_t *contents, *hashes;
	size_t fill; /* whole blocks in contents */
	size_t count;
	struct verity_gathered files[VERITY_GATHERED];
	uint8_t *digests, *done; /* of all files, by their index */
};

/* gather is zeroed before; 0 or -ENOMEM, and verity_gather_end is called after both. */
int verity_gather_start(struct verity_gather *gather, const struct verity_task *task,
			uint8_t *digests, uint8_t *done);
void verity_gather_end(struct verity_gather *gather);

/*
 * Read a file of this status, for which there is room. A file that couldn't be read whole, or
 * didn't stay as it was, is passed by. 0 or -errno, which is never the file's own.
 */
int verity_gather_read(struct verity_gather *gather, size_t index, int fd,
		       const struct stat *st);

/* Forget the file that was read last, unless verity_gather_read has finished with it. */
void verity_gather_drop(struct verity_gather *gather);

/* A root that was computed elsewhere becomes a digest with the others. 0 or -errno. */
int verity_gather_root(struct verity_gather *gather, size_t index, uint64_t size,
		       const uint8_t *root);

/* Finish what was gathered; contents is free after that. 0 or -errno. */
int verity_gather_finish(struct verity_gather *gather);

/* fstat, and whether it says the same as before. */
int verity_status(int fd, struct stat *st);
int verity_unchanged(int fd, const struct stat *before);

#endif
