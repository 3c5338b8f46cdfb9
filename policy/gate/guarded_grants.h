/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_GUARDED_GRANTS_H
#define VERITY_GUARDED_GRANTS_H
/*
 * The configuration table of a grants blob: which contents a path may have, or which target a symlink.
 *
 * Part of an import (grants.h, whose steps these are); the caller holds the staging area. What a
 * place holds is compared as bytes, a digest zero padded like a target: the kind tells them apart.
 */
#include "guarded.h"
#include "staged.h"

#define CONTENT_WORDS (VERITY_CONFIG_TARGET_SIZE / 8)
#define DIGEST_WORDS (VERITY_SHA256_SIZE / 8)

/* As compare_paths, with the last word, which no entry of a policy has. */
static __always_inline int is_behind(const struct path_key *path, const struct path_key *other)
{
	int order = compare_paths(path, other);

	return order ? order > 0
		     : __builtin_bswap64(path->word[PATH_WORDS - 1]) >
			       __builtin_bswap64(other->word[PATH_WORDS - 1]);
}

/* --- 1. places that nothing uses ---------------------------------------------------------- */

static long reclaim_config(void *map, struct path_key *path, struct config_cells *cells, void *unused)
{
	struct control *all = THE(control);

	for (int i = 0; i < VERITY_CONFIG_CELLS; i++)
		if (cells->of[i].cell)
			return 0;
	if (all && !bpf_map_delete_elem(&config_grants, path))
		__sync_fetch_and_add(&all->config_entries, -1);
	return 0;
}

/* --- 2. checked and counted --------------------------------------------------------------- */

struct padding {
	__u64 at; /* of the text in the staging area */
	__u64 ended; /* all bits once a NUL was seen */
	__u64 wrong;
};

/* A word of a text that must be zero behind its first NUL. */
static long check_padding(__u32 index, struct padding *padding)
{
	__u64 *word = staged_at(padding->at + (__u64)index * 8), found, nul;

	if (!word) {
		padding->wrong = 1;
		return 1;
	}
	found = *word;
	padding->wrong |= found & padding->ended;
	/* The highest bit of each NUL, right up to the first. */
	nul = (found - 0x0101010101010101ull) & ~found & 0x8080808080808080ull;
	if (nul) {
		padding->ended = ~0ull;
		/* Behind the first NUL. */
		padding->wrong |= found & ~((nul & (0 - nul)) - 1);
	}
	return 0;
}

__noinline int is_padded(__u64 at, __u32 words)
{
	struct padding padding = {.at = at};

	bpf_loop(words, check_padding, &padding, 0);
	return padding.ended && !padding.wrong;
}

static __always_inline int is_content(const struct verity_config_entry *entry)
{
	const __u64 *digest = (const void *)entry->digest, *target = (const void *)entry->target;
	__u64 in_digest = 0, in_target = 0;

	for (int i = 0; i < DIGEST_WORDS; i++)
		in_digest |= digest[i];
	for (int i = 0; i < CONTENT_WORDS; i++)
		in_target |= target[i];
	if (entry->kind == VERITY_CONFIG_FILE)
		return in_digest && !in_target;
	return entry->kind == VERITY_CONFIG_SYMLINK && !in_digest && entry->target[0];
}

static long check_config(__u32 index, struct import *import)
{
	__u64 at = import->base + (__u64)index * sizeof(struct verity_config_entry);
	struct verity_config_entry *entry = staged_at(at), *previous;
	struct config_cells *cells;

	if (!entry)
		return stop(import, VERITY_REFUSED_HEADER);
	if (entry->zero || entry->path[0] != '/' || !is_content(entry) ||
	    !is_padded(at, PATH_WORDS) ||
	    !is_padded(at + __builtin_offsetof(struct verity_config_entry, target), CONTENT_WORDS))
		return stop(import, VERITY_REFUSED_ENTRY);
	if (index) {
		previous = staged_at(at - sizeof(*entry));
		if (!previous || !is_behind(AS_PATH(entry), AS_PATH(previous)))
			return stop(import, VERITY_REFUSED_UNSORTED);
	}
	cells = bpf_map_lookup_elem(&config_grants, entry->path);
	if (!cells) {
		import->added++;
		return 0;
	}
	for (int i = 0; i < VERITY_CONFIG_CELLS; i++)
		if (!cells->of[i].cell || CELL_SLOT(cells->of[i].cell) == import->slot)
			return 0;
	return stop(import, VERITY_REFUSED_THIRD_STREAM);
}

/* --- 3. filled ---------------------------------------------------------------------------- */

static const struct config_cells no_config; /* too large for the stack */

/* The contents first: who reads finds the kind of this half only with them. */
static __always_inline void put_config(struct config_cell *place, const struct import *import,
				       const struct verity_config_entry *entry)
{
	struct config_content *content = &place->half[import->half & 1];

	if (entry->kind == VERITY_CONFIG_FILE) {
		__builtin_memset(content, 0, sizeof(*content));
		__builtin_memcpy(content, entry->digest, sizeof(entry->digest));
	} else {
		__builtin_memcpy(content, entry->target, sizeof(*content));
	}
	asm volatile("" ::: "memory");
	place->cell = with_flags(place->cell, import, entry->kind & 3);
}

static long fill_config(__u32 index, struct import *import)
{
	struct verity_config_entry *entry =
		staged_at(import->base + (__u64)index * sizeof(struct verity_config_entry));
	struct control *all = THE(control);
	struct config_cells *cells;

	if (!entry || !all)
		return stop(import, VERITY_REFUSED_NO_ROOM);
	cells = bpf_map_lookup_elem(&config_grants, entry->path);
	if (!cells) {
		if (bpf_map_update_elem(&config_grants, entry->path, &no_config, BPF_NOEXIST))
			return stop(import, VERITY_REFUSED_NO_ROOM);
		__sync_fetch_and_add(&all->config_entries, 1);
		cells = bpf_map_lookup_elem(&config_grants, entry->path);
		if (!cells)
			return stop(import, VERITY_REFUSED_NO_ROOM);
	}
	for (int i = 0; i < VERITY_CONFIG_CELLS; i++)
		if (cells->of[i].cell && CELL_SLOT(cells->of[i].cell) == import->slot) {
			put_config(&cells->of[i], import, entry);
			return 0;
		}
	for (int i = 0; i < VERITY_CONFIG_CELLS; i++)
		if (!cells->of[i].cell) {
			put_config(&cells->of[i], import, entry);
			return 0;
		}
	return stop(import, VERITY_REFUSED_NO_ROOM);
}

/* --- 5. the other half is cleared --------------------------------------------------------- */

static long sweep_config(void *map, struct path_key *path, struct config_cells *cells,
			 struct sweep *sweep)
{
	for (int i = 0; i < VERITY_CONFIG_CELLS; i++)
		cells->of[i].cell = without_half(cells->of[i].cell, sweep);
	return 0;
}

#endif
