/* SPDX-License-Identifier: Apache-2.0 */
/* What Python sees of files.h. */

#define VERITY_TURNED_ON ...
#define VERITY_WAS_ON ...

int verity_open_below(int dir, const char *name);
int verity_enable_files(size_t count, const int *dirs, const char *names, const uint8_t *checked,
			const uint8_t *expected, uint64_t budget, const uint8_t *stop,
			uint64_t *devices, uint64_t *inodes, uint8_t *done);
int verity_measure_files(size_t count, const int *dirs, const char *names,
			 const uint64_t *devices, const uint64_t *inodes, uint8_t *digests,
			 uint8_t *done);

struct verity_contents {
	uint32_t uid, gid, mode;
	uint64_t size;
	uint8_t digest[32];
	uint8_t head[64];
};

int verity_read_files(size_t count, const int *dirs, const char *names, const uint8_t *named,
		      const uint8_t *prefix, size_t prefix_len, size_t owner_at, uint64_t budget,
		      struct verity_contents *contents, uint8_t *done);
