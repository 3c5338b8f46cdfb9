/* SPDX-License-Identifier: Apache-2.0 */
/* What Python sees of manifest.h. */

#define VERITY_NO_LINE ...

struct verity_manifest;

int verity_manifest_open(const uint8_t *data, size_t len, struct verity_manifest **out);
void verity_manifest_close(struct verity_manifest *manifest);
uint32_t verity_manifest_lines(const struct verity_manifest *manifest);
uint64_t verity_manifest_start(const struct verity_manifest *manifest, uint32_t line);
uint32_t verity_manifest_find(const struct verity_manifest *manifest, const uint8_t *path,
			      size_t len);
