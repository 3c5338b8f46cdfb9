/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The record of floors in a boot bundle (docs/formats.md section 12): the lowest serial of each
 * stream that this host may take.
 *
 * Nobody signed it. That is sound because a floor can only refuse: who forges one has no more than who
 * deletes the bundle. It must be well-formed all the same, or something else was meant.
 */
#include "load.h"

#include <string.h>

#define HINT_FLOORS "the floors are damaged or of another version: make the bundle anew"

/* 1 to 63 of a-z 0-9 . _ -, zero padded. */
static int is_name(const uint8_t name[VERITY_STREAM_SIZE])
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
	const uint8_t *end = memchr(name, '\0', VERITY_STREAM_SIZE), *at;

	if (!end || end == name)
		return 0;
	for (at = name; at < name + VERITY_STREAM_SIZE; at++)
		if (at < end ? !strchr(allowed, *at) : *at)
			return 0;
	return 1;
}

void floor_at(const struct floors *floors, uint32_t index, struct verity_floor *out)
{
	memcpy(out, floors->data + (size_t)index * sizeof(*out), sizeof(*out)); /* unaligned */
}

int floors_parse(const struct blob *blob, const char *name, struct floors *out, struct failure *f)
{
	struct verity_floor floor, previous;
	uint32_t i;

	if (!blob->len || blob->len % sizeof(floor) || blob->len / sizeof(floor) > VERITY_FLOORS)
		return refuse(f, HINT_FLOORS, "%s: %u bytes, expected 1 to %d times %zu", name,
			      blob->len, VERITY_FLOORS, sizeof(floor));
	out->data = blob->data;
	out->count = blob->len / sizeof(floor);
	for (i = 0; i < out->count; i++) {
		floor_at(out, i, &floor);
		if (!is_name(floor.stream))
			return refuse(f, HINT_FLOORS, "%s: floor %u is of no stream's name", name,
				      i + 1);
		if (!floor.serial || floor.serial >= 1ull << 53)
			return refuse(f, HINT_FLOORS,
				      "%s: the floor of %s is %llu, expected 1 to 2^53 - 1", name,
				      (const char *)floor.stream,
				      (unsigned long long)floor.serial);
		if (i && memcmp(previous.stream, floor.stream, sizeof(floor.stream)) >= 0)
			return refuse(f, HINT_FLOORS,
				      "%s: the floor of %s is not sorted behind the one before",
				      name, (const char *)floor.stream);
		previous = floor;
	}
	return 0;
}
