/* SPDX-License-Identifier: Apache-2.0 */
/* What Python sees of digest.h. */

int verity_digest_fd(int fd, uint32_t hash_alg, const uint8_t *salt, size_t salt_len,
		     size_t block_size, uint64_t size, unsigned int threads, const int *stop,
		     uint64_t *read, uint8_t *digest);
int verity_digest_files(size_t count, const char *names, uint32_t hash_alg, const uint8_t *salt,
			size_t salt_len, size_t block_size, unsigned int threads,
			const int *stop, uint8_t *digests, uint8_t *done);
