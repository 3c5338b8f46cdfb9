/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_FILES_H
#define VERITY_FILES_H
/*
 * Many files in one call, by the functions of the other headers, for the usual case only: SHA-256
 * in blocks of 4096 without a salt, and nothing amiss.
 *
 * names are count strings, one behind the other with their NULs, each below its descriptor in
 * dirs, where it is opened by verity_open_below; only regular files count.
 * done[i] is not 0 where all went as it should. 0 says nothing about the file but that it wants a
 * closer look, by calls that can name what is wrong; the others are gone on with.
 *
 * All but the first two return 0 or -EINVAL.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/*
 * A read-only descriptor, or -errno. Below a descriptor no symlink is followed and nothing leads
 * out; with AT_FDCWD only the last name must be no symlink. Opening blocks on nothing.
 */
int verity_open_below(int dir, const char *name);

/* The fs-verity digest (32 bytes) of what is read now; 0 only if the file was one and the same
 * throughout. */
int verity_usual_digest(int fd, const struct stat *before, uint8_t *out);

#define VERITY_TURNED_ON 1
#define VERITY_WAS_ON 2

/*
 * Turn fs-verity on for files that do not have it: done[i] is VERITY_TURNED_ON, or VERITY_WAS_ON
 * for a file that has it with the usual parameters (or, where checked[i], with any: measure it and
 * compare). Where checked[i], the contents are hashed before, and unless that gives
 * expected + 32 * i and the file stayed as it was meanwhile, it is left alone. devices[i] and
 * inodes[i] say which file it is. Not durable before syncfs. At most about budget bytes are hashed;
 * files beyond that are not done, nor are those that come after another thread set *stop.
 */
int verity_enable_files(size_t count, const int *dirs, const char *names, const uint8_t *checked,
			const uint8_t *expected, uint64_t budget, const uint8_t *stop,
			uint64_t *devices, uint64_t *inodes, uint8_t *done);

/*
 * Ask the kernel for the digest of each file, into digests + 32 * i. With devices and inodes, which
 * are NULL together, drop the pages that are cached before, open the file anew, and ask only if it
 * is that inode and none of its pages is cached: what is read from then on is checked.
 */
int verity_measure_files(size_t count, const int *dirs, const char *names,
			 const uint64_t *devices, const uint64_t *inodes, uint8_t *digests,
			 uint8_t *done);

/* What reading one file gave. */
struct verity_contents {
	uint32_t uid, gid, mode;
	uint64_t size;
	uint8_t digest[32];
	uint8_t head[64]; /* the first bytes, zeros behind a shorter file */
};

/*
 * Read files whose name is a checksum: the SHA-256, named + 32 * i, of prefix and contents, where
 * the file's owner, group and mode stand in prefix as three big-endian numbers of 32 bits from
 * owner_at on. Done only where that is so, the file stayed as it was meanwhile, and has no xattr,
 * as prefix says. At most about budget bytes are hashed; files beyond that are not done.
 */
int verity_read_files(size_t count, const int *dirs, const char *names, const uint8_t *named,
		      const uint8_t *prefix, size_t prefix_len, size_t owner_at, uint64_t budget,
		      struct verity_contents *contents, uint8_t *done);

#endif
