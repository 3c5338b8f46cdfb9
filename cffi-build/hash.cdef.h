/* SPDX-License-Identifier: Apache-2.0 */
/* What Python sees of hash.h. */

#define VERITY_MAX_BLOCK ...

int verity_hash_available(void);
const char *verity_hash_path(unsigned int number);
const char *verity_hash_chosen(uint32_t hash_alg);
int verity_hash_use(const char *name);
int verity_hash_blocks(uint32_t hash_alg, const uint8_t *salt, size_t salt_len,
		       const uint8_t *data, size_t len, size_t block_size, uint8_t *out,
		       size_t out_len);
int verity_hash_file(int fd, uint32_t hash_alg, const uint8_t *salt, size_t salt_len,
		     size_t block_size, uint64_t limit, const uint8_t *prefix, size_t prefix_len,
		     uint64_t *size, uint8_t *root, uint8_t *plain);
