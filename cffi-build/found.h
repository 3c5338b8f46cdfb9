/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_FOUND_H
#define VERITY_FOUND_H
/* The line of a manifest that a file would have as it is found. */
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "manifest.h"

struct verity_found {
	/* The longest line, and one number more than fits in. */
	uint8_t text[VERITY_MAX_LINE + 64];
	size_t len;
	int failed; /* it is too long for a manifest */
};

void verity_found_start(struct verity_found *found);

/* Bytes as they are, and bytes in the escaped form. */
void verity_found_bytes(struct verity_found *found, const void *data, size_t len);
void verity_found_escaped(struct verity_found *found, const uint8_t *data, size_t len);

/*
 * Behind the escaped path: the fields of st. target is of a symlink, digest (32 bytes) of a regular
 * file; else they are NULL.
 */
void verity_found_status(struct verity_found *found, const struct stat *st, const uint8_t *target,
			 size_t target_len, const uint8_t *digest);

/*
 * Behind that the xattrs, of fd or, where that is -1, of the path, which is not followed; and the
 * LF. 0, or -1 if they could not be read or are more than usual.
 */
int verity_found_xattrs(struct verity_found *found, int fd, const char *path);

#endif
