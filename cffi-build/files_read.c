/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are named by the checksum of their contents. Each small one is read once into a
 * gather: its checksum is taken there, and its fs-verity digest with those of the others.
 */
#include "files.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "digest_gather.h"
#include "digest_parts.h"
#include "hash.h"

#define DIGEST 32
#define BLOCK 4096
#define MAX_PREFIX 256
#define SMALL (VERITY_PIECE / 4) /* up to this size files are gathered */

struct reading {
	struct verity_task task;
	struct verity_gather gather;
	uint8_t prefix[MAX_PREFIX];
	size_t prefix_len, owner_at;
	struct verity_contents *contents;
};

static int has_name(struct reading *reading, const uint8_t *data, size_t len, const uint8_t *named)
{
	struct verity_plain plain;
	uint8_t found[DIGEST];

	return verity_plain_start(&plain) == 0 &&
	       verity_plain_add(&plain, reading->prefix, reading->prefix_len) == 0 &&
	       verity_plain_add(&plain, data, len) == 0 &&
	       verity_plain_finish(&plain, found) == 0 && memcmp(found, named, DIGEST) == 0;
}

static int read_small(struct reading *reading, size_t index, int fd, const struct stat *st,
		      const uint8_t *named)
{
	struct verity_gather *gather = &reading->gather;
	struct verity_contents *out = &reading->contents[index];
	size_t size = (size_t)st->st_size, count;
	const uint8_t *data;
	int result = 0;

	/* Never full, so that a file that doesn't have its name can still be dropped. */
	if (gather->fill + size + BLOCK > VERITY_PIECE || gather->count + 1 == VERITY_GATHERED)
		result = verity_gather_finish(gather);
	if (result)
		return result;
	data = gather->contents + gather->fill;
	count = gather->count;
	result = verity_gather_read(gather, index, fd, st);
	if (result || gather->count == count)
		return result;
	memcpy(out->head, data, size < sizeof(out->head) ? size : sizeof(out->head));
	if (!has_name(reading, data, size, named))
		verity_gather_drop(gather);
	return 0;
}

static int read_large(struct reading *reading, size_t index, int fd, const struct stat *st,
		      const uint8_t *named)
{
	struct verity_contents *out = &reading->contents[index];
	uint8_t root[VERITY_MAX_HASH], plain[DIGEST];
	/* From the same pass: a second one could read what was never hashed. */
	struct verity_head head = { out->head, sizeof(out->head), 0 };
	uint64_t size;

	if (verity_hash_file_head(fd, FS_VERITY_HASH_ALG_SHA256, NULL, 0, BLOCK,
				  (uint64_t)st->st_size, reading->prefix, reading->prefix_len,
				  &size, root, plain, &head) != 0 ||
	    size != (uint64_t)st->st_size || memcmp(plain, named, DIGEST) != 0 ||
	    !verity_unchanged(fd, st))
		return 0;
	return verity_gather_root(&reading->gather, index, size, root);
}

/* 0 or -errno, which is never the file's own. */
static int read_one(struct reading *reading, size_t index, int fd, const uint8_t *named,
		    uint64_t *budget)
{
	struct verity_contents *out = &reading->contents[index];
	uint32_t owner[3];
	struct stat st;

	if (verity_status(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size > *budget || flistxattr(fd, NULL, 0) != 0)
		return 0;
	*budget -= (uint64_t)st.st_size;
	out->uid = st.st_uid;
	out->gid = st.st_gid;
	out->mode = st.st_mode;
	out->size = (uint64_t)st.st_size;
	owner[0] = htobe32(st.st_uid);
	owner[1] = htobe32(st.st_gid);
	owner[2] = htobe32(st.st_mode);
	memcpy(reading->prefix + reading->owner_at, owner, sizeof(owner));
	return st.st_size <= SMALL ? read_small(reading, index, fd, &st, named) :
				     read_large(reading, index, fd, &st, named);
}

static void read_all(struct reading *reading, size_t count, const int *dirs, const char *names,
		     const uint8_t *named, uint64_t budget)
{
	int result = 0;
	size_t i;

	for (i = 0; i < count && !result; i++, names += strlen(names) + 1) {
		int fd = verity_open_below(dirs[i], names);

		if (fd < 0)
			continue;
		result = read_one(reading, i, fd, named + DIGEST * i, &budget);
		close(fd);
	}
	if (!result)
		verity_gather_finish(&reading->gather);
	for (i = 0; i < count; i++)
		memcpy(reading->contents[i].digest, reading->gather.digests + DIGEST * i, DIGEST);
}

int verity_read_files(size_t count, const int *dirs, const char *names, const uint8_t *named,
		      const uint8_t *prefix, size_t prefix_len, size_t owner_at, uint64_t budget,
		      struct verity_contents *contents, uint8_t *done)
{
	static const int never;
	struct reading *reading;
	uint8_t *digests;

	if (!dirs || !names || !named || !prefix || !contents || !done ||
	    prefix_len > MAX_PREFIX || owner_at > prefix_len ||
	    prefix_len - owner_at < 3 * sizeof(uint32_t))
		return -EINVAL;
	memset(done, 0, count);
	/* Without memory, or a hash path, all want a closer look. */
	reading = calloc(1, sizeof(*reading));
	digests = calloc(count ? count : 1, DIGEST);
	if (reading && digests &&
	    verity_task_start(&reading->task, FS_VERITY_HASH_ALG_SHA256, NULL, 0, BLOCK,
			      &never) == 0) {
		memcpy(reading->prefix, prefix, prefix_len);
		reading->prefix_len = prefix_len;
		reading->owner_at = owner_at;
		reading->contents = contents;
		if (verity_gather_start(&reading->gather, &reading->task, digests, done) == 0)
			read_all(reading, count, dirs, names, named, budget);
		verity_gather_end(&reading->gather);
	}
	free(digests);
	free(reading);
	return 0;
}
