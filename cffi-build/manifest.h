/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_MANIFEST_H
#define VERITY_MANIFEST_H
/*
 * A manifest (docs/formats.md section 2) by its lines: is it canonical, and which line has a path?
 *
 * The rules are those of verity/formats/dump.py, which names what is wrong with a manifest; here
 * one is as it has to be, or it isn't. Nothing is copied but the places of the lines.
 */
#include <stddef.h>
#include <stdint.h>

#define VERITY_NO_LINE UINT32_MAX
#define VERITY_MAX_LINE ((size_t)64 << 10)
#define VERITY_MAX_PATH 4095

struct verity_manifest;

/*
 * Read a manifest of len bytes, which have to stay where they are and as they are. Returns 0;
 * -EBADMSG if dump.parse would refuse it; -ENOMEM. Where it is 0, verity_manifest_close frees *out.
 */
int verity_manifest_open(const uint8_t *data, size_t len, struct verity_manifest **out);
void verity_manifest_close(struct verity_manifest *manifest);

uint32_t verity_manifest_lines(const struct verity_manifest *manifest);

/* Where a line begins; that of the number of lines is the end of the last. */
uint64_t verity_manifest_start(const struct verity_manifest *manifest, uint32_t line);

/* The line of an escaped path, or VERITY_NO_LINE. */
uint32_t verity_manifest_find(const struct verity_manifest *manifest, const uint8_t *path,
			      size_t len);

/* Whether there is a line below this one, which is one of a directory. */
int verity_manifest_has_children(const struct verity_manifest *manifest, uint32_t line);

/* The bytes of a line, its LF among them. */
const uint8_t *verity_manifest_line(const struct verity_manifest *manifest, uint32_t line,
				    size_t *len);

/* Whether an xattr of this name stands in a manifest. */
int verity_counts_for_security(const uint8_t *name, size_t len);

/* Whether a byte stands for itself in a manifest's field. */
static inline int verity_is_plain(uint8_t byte)
{
	return byte >= 0x21 && byte <= 0x7e && byte != '\\';
}

#endif
