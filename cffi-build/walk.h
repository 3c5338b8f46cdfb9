/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_WALK_H
#define VERITY_WALK_H
/*
 * A tree held against its manifest, by several threads: each file that is found becomes the line
 * that it would have, and is as signed if the manifest has that very line.
 *
 * Anything else, whatever it is, becomes a record that only says which path wants a closer look, by
 * calls that can name what is wrong. Memory doesn't grow with the files, but with the directories
 * that wait to be read, and with the manifest. Directories are opened below the root without
 * following symlinks; a name in one of them is opened in it and never followed.
 */
#include <stddef.h>
#include <stdint.h>

#include "manifest.h"

/* What is known of a line of the manifest; 0 until something of its name was seen. */
#define VERITY_SEEN 1 /* there is a record of it */
#define VERITY_AS_SIGNED 2 /* no regular file */
#define VERITY_BY_KERNEL 3 /* a regular file, by the kernel's digest */
#define VERITY_GRANTED 4 /* the same, and its digest is one of those given */
#define VERITY_BY_HASH 5 /* as signed, but without fs-verity; there is a record of it */
#define VERITY_PASSED 6 /* a directory of state that is a file system of its own */

/* Why there is a record. */
#define VERITY_CLOSER 1 /* a path that wants a closer look */
#define VERITY_NO_VERITY 2 /* as signed, without fs-verity */
#define VERITY_STAYS 3 /* as signed, but pages of it stay in the page cache */
#define VERITY_MOUNT 4 /* a directory of another file system, not walked */
#define VERITY_UNOPENED 5 /* a directory that could not be opened, nor judged */
#define VERITY_UNLISTED 6 /* a directory that could not be read to its end */

/* Followed by length bytes of the path, unescaped, and padded to a multiple of four bytes. */
struct verity_remark {
	uint32_t line; /* or VERITY_NO_LINE */
	uint16_t length;
	uint8_t what;
	uint8_t error; /* of the last two */
};

struct verity_walk;

/*
 * root stays open until verity_walk_end. state are paths of directories, one behind the other with
 * their NULs, below which a file without a line is passed by. granted are digests of 32 bytes, in
 * order. states has a byte for each line of the manifest, all 0. With deep every file that has
 * fs-verity is evicted and read from the disk, by which the kernel checks it. Returns 0, -EINVAL or -ENOMEM.
 */
int verity_walk_start(const struct verity_manifest *manifest, int root, const char *state,
		      size_t state_count, const uint8_t *granted, size_t granted_count, int deep,
		      unsigned int threads, uint8_t *states, struct verity_walk **out);

/*
 * Go on for about budget names, until records of about room bytes are written, or to the end.
 * Returns 1 if there is more to do, 0 at the end, -EINVAL or -ENOMEM.
 */
int verity_walk_step(struct verity_walk *walk, uint64_t budget, uint8_t *records, size_t room,
		     size_t *used);

/* How many names without a line were passed by, below the directories of state. */
uint64_t verity_walk_passed(const struct verity_walk *walk);

void verity_walk_end(struct verity_walk *walk);

#endif
