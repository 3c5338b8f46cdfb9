/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_GRANTS_H
#define VERITY_GRANTS_H
/*
 * A signed grants blob becomes what is granted, all of it or nothing.
 *
 * 1. Places that nothing uses any more are given back.
 * 2. Everything is checked and counted; nothing is changed yet.
 * 3. The half of the stream's cells that isn't active is filled.
 * 4. One store makes it the active half; a new generation tells the inodes.
 * 5. The other half is cleared.
 *
 * One import at a time: the caller holds the staging area.
 */
#include "guarded_grants.h"
#include "staged.h"

#define EXTENSION_FLAGS (VERITY_CODE_EXEC | VERITY_CODE_LIBRARY | VERITY_CODE_SCRIPT)

/* Byte order, as in memcmp(3): below 0, 0, above 0. */
__noinline int compare_words(const struct digest *left, const struct digest *right)
{
	const __u64 *a = (const void *)left, *b = (const void *)right;

	if (!left || !right)
		return 0;
	for (int i = 0; i < 4; i++) {
		__u64 x = __builtin_bswap64(a[i]), y = __builtin_bswap64(b[i]);

		if (x != y)
			return x < y ? -1 : 1;
	}
	return 0;
}

static __always_inline int compare_digests(const __u8 *left, const __u8 *right)
{
	return compare_words((const struct digest *)(const void *)left,
			     (const struct digest *)(const void *)right);
}

/* Names of streams, likewise. */
static __always_inline int compare_names(const __u8 *left, const __u8 *right)
{
	int order = compare_digests(left, right);

	return order ? order : compare_digests(left + 32, right + 32);
}

/* --- 1. places that nothing uses ---------------------------------------------------------- */

static long reclaim_code(void *map, struct digest *digest, struct cells *cells, void *unused)
{
	struct control *all = THE(control);

	for (int i = 0; i < VERITY_CELLS; i++)
		if (cells->cell[i])
			return 0;
	if (all && !bpf_map_delete_elem(&code, digest))
		__sync_fetch_and_add(&all->code_entries, -1);
	return 0;
}

static long reclaim_elevate(void *map, struct digest *digest, struct tuples *tuples, void *unused)
{
	struct control *all = THE(control);

	for (int i = 0; i < VERITY_TUPLES; i++)
		if (tuples->tuple[i].cell)
			return 0;
	if (all && !bpf_map_delete_elem(&elevate, digest))
		__sync_fetch_and_add(&all->elevate_entries, -1);
	return 0;
}

/* --- 2. checked and counted --------------------------------------------------------------- */

static long check_code(__u32 index, struct import *import)
{
	__u64 at = import->base + (__u64)index * sizeof(struct verity_code_entry);
	struct verity_code_entry *entry = staged_at(at), *previous;
	struct cells *cells;

	if (!entry)
		return stop(import, VERITY_REFUSED_HEADER);
	if (entry->zero)
		return stop(import, VERITY_REFUSED_ENTRY);
	if (!entry->flags || entry->flags & ~import->mask)
		return stop(import, VERITY_REFUSED_FLAGS);
	if (index) {
		previous = staged_at(at - sizeof(*entry));
		if (!previous || compare_digests(previous->digest, entry->digest) >= 0)
			return stop(import, VERITY_REFUSED_UNSORTED);
	}
	import->flags |= entry->flags;
	cells = bpf_map_lookup_elem(&code, entry->digest);
	if (!cells) {
		import->added++;
		return 0;
	}
	for (int i = 0; i < VERITY_CELLS; i++)
		if (!cells->cell[i] || CELL_SLOT(cells->cell[i]) == import->slot)
			return 0;
	return stop(import, VERITY_REFUSED_FIFTH_STREAM);
}

/* 1 for 0, else 0, without a branch: the verifier would follow each outcome of each place. */
static __always_inline __u32 is_zero(__u32 number)
{
	__u32 sign = number | (0 - number);

	asm volatile("" : "+r"(sign));
	return (sign >> 31) ^ 1;
}

static __always_inline int is_tuple(const struct tuple *tuple, __u32 slot,
				    const struct verity_elevate_entry *entry)
{
	return (tuple->cell & CELL_USED) && CELL_SLOT(tuple->cell) == slot &&
	       tuple->bits == entry->bits && tuple->uid == entry->uid &&
	       tuple->gid == entry->gid && tuple->caps == entry->caps;
}

/* Whether `entry` comes after `previous`, both of one digest. */
static __always_inline int is_later(const struct verity_elevate_entry *previous,
				    const struct verity_elevate_entry *entry)
{
	if (previous->bits != entry->bits)
		return previous->bits < entry->bits;
	if (previous->uid != entry->uid)
		return previous->uid < entry->uid;
	if (previous->gid != entry->gid)
		return previous->gid < entry->gid;
	return previous->caps < entry->caps;
}

static long check_elevate(__u32 index, struct import *import)
{
	__u64 at = import->base + (__u64)index * sizeof(struct verity_elevate_entry);
	struct verity_elevate_entry *entry = staged_at(at), *previous;
	struct tuples *tuples;
	__u32 room = 0;
	int order = -1;

	if (!entry)
		return stop(import, VERITY_REFUSED_HEADER);
	if (entry->zero0 || entry->zero1 || entry->zero2 || entry->bits & ~(S_ISUID | S_ISGID) ||
	    !(entry->bits || entry->caps))
		return stop(import, VERITY_REFUSED_ENTRY);
	if (index) {
		previous = staged_at(at - sizeof(*entry));
		if (!previous)
			return stop(import, VERITY_REFUSED_HEADER);
		order = compare_digests(previous->digest, entry->digest);
		if (order > 0 || (!order && !is_later(previous, entry)))
			return stop(import, VERITY_REFUSED_UNSORTED);
	}
	if (order)
		import->wanted = 0;
	tuples = bpf_map_lookup_elem(&elevate, entry->digest);
	if (!tuples) {
		import->added += order ? 1 : 0;
		return ++import->wanted > VERITY_TUPLES ? stop(import, VERITY_REFUSED_TUPLES) : 0;
	}
	for (int i = 0; i < VERITY_TUPLES; i++)
		if (is_tuple(&tuples->tuple[i], import->slot, entry))
			return 0;
	for (int i = 0; i < VERITY_TUPLES; i++)
		room += is_zero(tuples->tuple[i].cell);
	return ++import->wanted > room ? stop(import, VERITY_REFUSED_TUPLES) : 0;
}

/* --- 3. filled ---------------------------------------------------------------------------- */

static long fill_code(__u32 index, struct import *import)
{
	struct verity_code_entry *entry =
		staged_at(import->base + (__u64)index * sizeof(struct verity_code_entry));
	struct control *all = THE(control);
	struct cells fresh = {}, *cells;

	if (!entry || !all)
		return stop(import, VERITY_REFUSED_NO_ROOM);
	cells = bpf_map_lookup_elem(&code, entry->digest);
	if (!cells) {
		fresh.cell[0] = with_flags(0, import, entry->flags);
		if (bpf_map_update_elem(&code, entry->digest, &fresh, BPF_NOEXIST))
			return stop(import, VERITY_REFUSED_NO_ROOM);
		__sync_fetch_and_add(&all->code_entries, 1);
		return 0;
	}
	for (int i = 0; i < VERITY_CELLS; i++) {
		__u32 cell = cells->cell[i];

		if ((cell & CELL_USED) && CELL_SLOT(cell) == import->slot) {
			cells->cell[i] = with_flags(cell, import, entry->flags);
			return 0;
		}
	}
	for (int i = 0; i < VERITY_CELLS; i++)
		if (!cells->cell[i]) {
			cells->cell[i] = with_flags(0, import, entry->flags);
			return 0;
		}
	return stop(import, VERITY_REFUSED_NO_ROOM);
}

static __always_inline void put_tuple(struct tuple *tuple, const struct import *import,
				      const struct verity_elevate_entry *entry)
{
	tuple->bits = entry->bits;
	tuple->uid = entry->uid;
	tuple->gid = entry->gid;
	tuple->caps = entry->caps;
	tuple->cell = with_flags(tuple->cell, import, 1);
}

static const struct tuples no_tuples; /* too large for the stack */

static long fill_elevate(__u32 index, struct import *import)
{
	struct verity_elevate_entry *entry =
		staged_at(import->base + (__u64)index * sizeof(struct verity_elevate_entry));
	struct control *all = THE(control);
	struct tuples *tuples;

	if (!entry || !all)
		return stop(import, VERITY_REFUSED_NO_ROOM);
	tuples = bpf_map_lookup_elem(&elevate, entry->digest);
	if (!tuples) {
		if (bpf_map_update_elem(&elevate, entry->digest, &no_tuples, BPF_NOEXIST))
			return stop(import, VERITY_REFUSED_NO_ROOM);
		__sync_fetch_and_add(&all->elevate_entries, 1);
		tuples = bpf_map_lookup_elem(&elevate, entry->digest);
		if (!tuples)
			return stop(import, VERITY_REFUSED_NO_ROOM);
	}
	for (int i = 0; i < VERITY_TUPLES; i++)
		if (is_tuple(&tuples->tuple[i], import->slot, entry)) {
			put_tuple(&tuples->tuple[i], import, entry);
			return 0;
		}
	for (int i = 0; i < VERITY_TUPLES; i++)
		if (!tuples->tuple[i].cell) {
			put_tuple(&tuples->tuple[i], import, entry);
			return 0;
		}
	return stop(import, VERITY_REFUSED_NO_ROOM);
}

/* --- 5. the other half is cleared --------------------------------------------------------- */

static long sweep_code(void *map, struct digest *digest, struct cells *cells, struct sweep *sweep)
{
	for (int i = 0; i < VERITY_CELLS; i++)
		cells->cell[i] = without_half(cells->cell[i], sweep);
	return 0;
}

static long sweep_elevate(void *map, struct digest *digest, struct tuples *tuples,
			  struct sweep *sweep)
{
	for (int i = 0; i < VERITY_TUPLES; i++)
		tuples->tuple[i].cell = without_half(tuples->tuple[i].cell, sweep);
	return 0;
}

static __always_inline void clear_half(__u32 slot, __u32 half)
{
	struct sweep sweep = {.slot = slot, .half = half};

	bpf_for_each_map_elem(&code, sweep_code, &sweep, 0);
	bpf_for_each_map_elem(&elevate, sweep_elevate, &sweep, 0);
	bpf_for_each_map_elem(&config_grants, sweep_config, &sweep, 0);
}

/* --- the import --------------------------------------------------------------------------- */

/* The slot of a stream by its name, VERITY_STREAMS if the policy names none. */
__noinline __u32 find_slot(const struct stream_name *name)
{
	const __u64 *wanted = (const void *)name;

	if (!name)
		return VERITY_STREAMS;
	for (__u32 i = 0; i < VERITY_STREAMS; i++) {
		__u32 number = i;
		struct slot *slot = bpf_map_lookup_elem(&slots, &number);
		const __u64 *found;
		__u64 differs = 0;

		if (!slot || !slot->name[0])
			break;
		found = (const void *)slot->name;
		for (int j = 0; j < VERITY_STREAM_SIZE / 8; j++)
			differs |= found[j] ^ wanted[j];
		if (!differs)
			return i;
	}
	return VERITY_STREAMS;
}

static __always_inline int import_tables(const struct verity_grants_header *header,
					 struct import *import)
{
	struct control *all = THE(control);
	__u64 elevate_base = sizeof(*header) + (__u64)header->n_code * sizeof(struct verity_code_entry);
	__u64 config_base =
		elevate_base + (__u64)header->n_elevate * sizeof(struct verity_elevate_entry);

	if (!all)
		return VERITY_REFUSED_NO_ROOM;
	/* 1. */
	bpf_for_each_map_elem(&code, reclaim_code, NULL, 0);
	bpf_for_each_map_elem(&elevate, reclaim_elevate, NULL, 0);
	bpf_for_each_map_elem(&config_grants, reclaim_config, NULL, 0);
	/* 2. */
	import->base = sizeof(*header);
	bpf_loop(header->n_code, check_code, import, 0);
	if (import->refusal)
		return import->refusal;
	if (import->flags != header->flags_used)
		return VERITY_REFUSED_FLAGS;
	if (all->code_entries + import->added > VERITY_CODE_CAPACITY)
		return VERITY_REFUSED_FULL;
	import->base = elevate_base;
	import->added = 0;
	bpf_loop(header->n_elevate, check_elevate, import, 0);
	if (import->refusal)
		return import->refusal;
	if (all->elevate_entries + import->added > VERITY_ELEVATE_CAPACITY)
		return VERITY_REFUSED_FULL;
	import->base = config_base;
	import->added = 0;
	bpf_loop(header->n_config, check_config, import, 0);
	if (import->refusal)
		return import->refusal;
	if (all->config_entries + import->added > VERITY_CONFIG_CAPACITY)
		return VERITY_REFUSED_PATHS;
	/* 3. */
	bpf_loop(header->n_config, fill_config, import, 0);
	import->base = elevate_base;
	if (!import->refusal)
		bpf_loop(header->n_elevate, fill_elevate, import, 0);
	import->base = sizeof(*header);
	if (!import->refusal)
		bpf_loop(header->n_code, fill_code, import, 0);
	if (import->refusal)
		clear_half(import->slot, import->half);
	return import->refusal;
}

static __always_inline int switch_slot(struct slot *slot, const struct verity_grants_header *header,
				       const struct import *import, const struct signers *signers)
{
	struct control *all = THE(control);

	if (!all)
		return VERITY_REFUSED_NO_ROOM;
	/* 4. Inodes keep flags with the generation: the tables change first. */
	slot->active = import->half;
	slot->serial = header->serial;
	__builtin_memcpy(slot->manifest, header->manifest, sizeof(slot->manifest));
	slot->signers = *signers;
	/* Alive last: what was dead is never seen with the old half. */
	asm volatile("" ::: "memory");
	slot->dead = 0;
	__sync_fetch_and_add(&all->generation, 1);
	/* 5. */
	clear_half(import->slot, !import->half);
	return 0;
}

#endif
