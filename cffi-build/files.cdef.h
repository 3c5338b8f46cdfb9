/* SPDX-License-Identifier: Apache-2.0 */
/* What Python sees of files.h. */

int verity_enable_files(size_t count, const int *dirs, const char *names, const uint8_t *checked,
			const uint8_t *expected, uint64_t budget, uint64_t *devices,
			uint8_t *done);
int verity_measure_files(size_t count, const int *dirs, const char *names, int evict,
			 uint8_t *digests, uint8_t *done);
