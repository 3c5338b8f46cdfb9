/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_DIGEST_H
#define VERITY_DIGEST_H
/*
 * fs-verity digests by several threads: of one large file, or of many files in one call.
 *
 * The salt is as it is in the descriptor, without padding. Memory is flat: about 2.5 MiB a thread.
 * Between pieces of a MiB every thread looks at *stop, which another thread may set.
 */
#include <stddef.h>
#include <stdint.h>

/*
 * The regular file of size bytes behind fd, whose position stays where it is. Holes are not read.
 * *read is less than size if the file ended before; digest is then the digest of nothing. That the
 * file stayed as it was is for the caller to check.
 * Returns 0 or -errno: -ECANCELED after *stop, -ENOSYS without a hash path, -EINVAL.
 */
int verity_digest_fd(int fd, uint32_t hash_alg, const uint8_t *salt, size_t salt_len,
		     size_t block_size, uint64_t size, unsigned int threads, const int *stop,
		     uint64_t *read, uint8_t *digest);

/*
 * Many files: names are count strings, one behind the other with their NULs. A file is opened
 * read-only, without following a symlink, and only if it is regular. digests holds count digests;
 * done[i] is 1 where the file was read and stayed as it was. 0 says nothing about the file but
 * that it wants a closer look, by calls that can name what is wrong.
 * Returns 0 or -errno as above.
 */
int verity_digest_files(size_t count, const char *names, uint32_t hash_alg, const uint8_t *salt,
			size_t salt_len, size_t block_size, unsigned int threads,
			const int *stop, uint8_t *digests, uint8_t *done);

#endif
