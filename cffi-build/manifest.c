/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "manifest_line.h"

#define MAX_SIZE ((size_t)256 << 20)
#define MAX_LINES ((size_t)1 << 20)
#define DIRECTORY 1
#define HAS_CHILDREN 2

struct slot {
	uint32_t line; /* plus one; 0 is free */
	uint32_t hash;
};

struct verity_manifest {
	const uint8_t *data;
	uint32_t lines;
	uint32_t *starts, *paths; /* of each line, and the length of its escaped path */
	uint8_t *flags;
	struct slot *slots;
	uint32_t mask;
};
_Static_assert(MAX_SIZE < UINT32_MAX, "a place in a manifest fits");

static uint32_t hash(const uint8_t *path, size_t len)
{
	uint64_t value = 0xcbf29ce484222325;
	size_t i;

	for (i = 0; i < len; i++)
		value = (value ^ path[i]) * 0x100000001b3;
	return (uint32_t)(value ^ value >> 32);
}

/* The slot of a path: its own, or the free one where it would be. */
static struct slot *slot_of(const struct verity_manifest *manifest, const uint8_t *path,
			    size_t len, uint32_t hashed)
{
	uint32_t at = hashed & manifest->mask;

	for (;; at = (at + 1) & manifest->mask) {
		struct slot *slot = &manifest->slots[at];
		uint32_t line = slot->line - 1;

		if (!slot->line ||
		    (slot->hash == hashed && manifest->paths[line] == len &&
		     memcmp(manifest->data + manifest->starts[line], path, len) == 0))
			return slot;
	}
}

uint32_t verity_manifest_find(const struct verity_manifest *manifest, const uint8_t *path,
			      size_t len)
{
	return slot_of(manifest, path, len, hash(path, len))->line - 1;
}

/* The line's parent is a directory above it. */
static int below_directory(struct verity_manifest *manifest, const uint8_t *path, size_t len,
			   uint32_t *parent, size_t *parent_len)
{
	size_t up = len - 1;

	while (path[up] != '/')
		up--;
	if (!up)
		up = 1;
	/* Siblings mostly follow each other. */
	if (*parent == VERITY_NO_LINE || up != *parent_len ||
	    memcmp(manifest->data + manifest->starts[*parent], path, up) != 0)
		*parent = verity_manifest_find(manifest, path, up);
	*parent_len = up;
	if (*parent == VERITY_NO_LINE || !(manifest->flags[*parent] & DIRECTORY))
		return 0;
	manifest->flags[*parent] |= HAS_CHILDREN;
	return 1;
}

static int in_order(const struct verity_line *before, const struct verity_line *now)
{
	size_t shorter = before->path_len < now->path_len ? before->path_len : now->path_len;
	int order = memcmp(before->path, now->path, shorter);

	return order < 0 || (order == 0 && before->path_len < now->path_len);
}

static int read_lines(struct verity_manifest *manifest, size_t size, struct verity_line *two)
{
	const uint8_t *at = manifest->data, *end = at + size;
	uint32_t number, parent = VERITY_NO_LINE;
	size_t parent_len = 0;

	for (number = 0; number < manifest->lines; number++) {
		const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
		struct verity_line *now = &two[number & 1], *before = &two[!(number & 1)];
		uint32_t hashed;

		if (!newline || !verity_line_read(at, (size_t)(newline - at), now))
			return 0;
		if (!number ? now->path_len != 1 || !now->directory :
			      !in_order(before, now) ||
				      !below_directory(manifest, at, now->escaped_len, &parent,
						       &parent_len))
			return 0;
		manifest->starts[number] = (uint32_t)(at - manifest->data);
		manifest->paths[number] = (uint32_t)now->escaped_len;
		manifest->flags[number] = now->directory ? DIRECTORY : 0;
		hashed = hash(at, now->escaped_len);
		*slot_of(manifest, at, now->escaped_len, hashed) =
			(struct slot){ .line = number + 1, .hash = hashed };
		at = newline + 1;
	}
	manifest->starts[number] = (uint32_t)size;
	return at == end;
}

static int allocate(struct verity_manifest *manifest)
{
	size_t lines = manifest->lines, slots = 2;

	while (slots < 2 * lines)
		slots *= 2;
	manifest->mask = (uint32_t)(slots - 1);
	manifest->starts = calloc(lines + 1, sizeof(*manifest->starts));
	manifest->paths = calloc(lines, sizeof(*manifest->paths));
	manifest->flags = calloc(lines, 1);
	manifest->slots = calloc(slots, sizeof(*manifest->slots));
	return manifest->starts && manifest->paths && manifest->flags && manifest->slots;
}

int verity_manifest_open(const uint8_t *data, size_t len, struct verity_manifest **out)
{
	struct verity_manifest *manifest;
	struct verity_line *two;
	const uint8_t *at = data;
	size_t lines = 0;
	int result = -ENOMEM;

	if (!data || !out)
		return -EFAULT;
	if (!len || len > MAX_SIZE || data[len - 1] != '\n')
		return -EBADMSG;
	while (at < data + len) { /* the last byte is a newline */
		at = (const uint8_t *)memchr(at, '\n', (size_t)(data + len - at)) + 1;
		lines++;
	}
	if (lines > MAX_LINES)
		return -EBADMSG;
	manifest = calloc(1, sizeof(*manifest));
	two = calloc(2, sizeof(*two));
	if (manifest && two) {
		manifest->data = data;
		manifest->lines = (uint32_t)lines;
		if (allocate(manifest))
			result = read_lines(manifest, len, two) ? 0 : -EBADMSG;
	}
	free(two);
	if (result)
		verity_manifest_close(manifest);
	else
		*out = manifest;
	return result;
}

void verity_manifest_close(struct verity_manifest *manifest)
{
	if (!manifest)
		return;
	free(manifest->starts);
	free(manifest->paths);
	free(manifest->flags);
	free(manifest->slots);
	free(manifest);
}

uint32_t verity_manifest_lines(const struct verity_manifest *manifest)
{
	return manifest->lines;
}

uint64_t verity_manifest_start(const struct verity_manifest *manifest, uint32_t line)
{
	return line <= manifest->lines ? manifest->starts[line] : 0;
}

int verity_manifest_has_children(const struct verity_manifest *manifest, uint32_t line)
{
	return manifest->flags[line] & HAS_CHILDREN;
}

const uint8_t *verity_manifest_line(const struct verity_manifest *manifest, uint32_t line,
				    size_t *len)
{
	*len = manifest->starts[line + 1] - manifest->starts[line];
	return manifest->data + manifest->starts[line];
}
