/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_MANIFEST_LINE_H
#define VERITY_MANIFEST_LINE_H
/* One line of a manifest, read by itself: what it has to be without regard to other lines. */
#include <stddef.h>
#include <stdint.h>

#include "manifest.h"

struct verity_line {
	size_t escaped_len; /* of the path, from the start of the line */
	uint8_t path[VERITY_MAX_PATH + 1]; /* unescaped */
	size_t path_len;
	int directory;
};

/* 1 if the len bytes, without their LF, are a canonical line. */
int verity_line_read(const uint8_t *text, size_t len, struct verity_line *out);

#endif
