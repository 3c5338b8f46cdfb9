/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_GUARDED_H
#define VERITY_GUARDED_H
/*
 * Which class the signed policy gives a path. It asks nothing of files and knows no task.
 *
 * The table is searched where it is: sorted by the bytes of the path, zero padded. All entries that
 * begin a path begin the last entry that isn't behind it, too, and `parent` leads through these from
 * the longest to the shortest (ADR 29: the longest counts).
 *
 * Functions that aren't static are verified once for each program, and not once for each call.
 */
#include "maps.h"

#define PATH_WORDS (VERITY_CONFIG_PATH_SIZE / 8)
#define GUARDED_WORDS (VERITY_GUARDED_PATH_SIZE / 8)
#define GUARDED_HALVINGS 10 /* of VERITY_GUARDED entries, and one to see that none is left */

VERITY_SIZE_IS(path_key, sizeof(struct guarded_place));
_Static_assert(VERITY_GUARDED < 1 << GUARDED_HALVINGS, "the search comes to its end");

/* An entry of a table that begins with a path, as one: what is behind the path is never compared. */
#define AS_PATH(entry) ((const struct path_key *)(const void *)(entry))

/* Byte order of zero-padded paths, as far as entries go: below 0, 0, above 0. */
__noinline int compare_paths(const struct path_key *left, const struct path_key *right)
{
	if (!left || !right)
		return 0;
	for (__u32 i = 0; i < GUARDED_WORDS; i++)
		if (left->word[i] != right->word[i])
			return __builtin_bswap64(left->word[i]) < __builtin_bswap64(right->word[i])
				       ? -1
				       : 1;
	return 0;
}

/* Whether the first `len` bytes are those; `head` is zero padded. */
__noinline int begins_with(const struct path_key *path, const struct path_key *head, __u32 len)
{
	if (!path || !head)
		return 0;
	for (__u32 i = 0; i < GUARDED_WORDS; i++) {
		__u64 differs = path->word[i] ^ head->word[i];

		if (len <= i * 8)
			return 1;
		if (len < i * 8 + 8)
			differs <<= (8 - (len & 7)) * 8;
		if (differs)
			return 0;
	}
	return 1;
}

/* --- the last entry that isn't behind a path ---------------------------------------------- */

struct guarded_search {
	const struct path_key *path;
	__u32 low, high;
};

static long halve(__u32 unused, struct guarded_search *search)
{
	__u32 middle = (search->low + search->high) / 2;
	const struct guarded_place *place;

	if (search->low >= search->high)
		return 1;
	place = bpf_map_lookup_elem(&guarded, &middle);
	if (place && compare_paths(AS_PATH(place), search->path) <= 0)
		search->low = middle + 1;
	else
		search->high = middle;
	return 0;
}

/* How many entries aren't behind it. */
static __always_inline __u32 entries_up_to(const struct path_key *path)
{
	const struct gate_policy *named = THE(policy);
	struct guarded_search search = {.path = path, .high = named ? named->n_guarded : 0};

	bpf_loop(GUARDED_HALVINGS, halve, &search, 0);
	return search.low;
}

/* --- the class ---------------------------------------------------------------------------- */

struct guarded_climb {
	const struct path_key *path;
	__u32 candidate; /* its index and one */
	__u32 file_class;
	__u32 flags;
};

static __always_inline int stands_for(const struct guarded_place *place, const struct path_key *path)
{
	const __u8 *bytes = (const void *)path->word;
	__u32 len = place->len;
	__u8 next;

	if (!begins_with(path, AS_PATH(place), len))
		return 0;
	next = bytes[len & 255];
	/* The root is the only tree whose name ends with a slash. */
	return place->match == VERITY_MATCH_PREFIX || !next || next == '/' || len == 1;
}

static long climb(__u32 unused, struct guarded_climb *climb)
{
	__u32 index = climb->candidate - 1;
	const struct guarded_place *place = bpf_map_lookup_elem(&guarded, &index);

	if (!climb->candidate || !place)
		return 1;
	if (stands_for(place, climb->path)) {
		climb->file_class = place->file_class;
		climb->flags = place->flags;
		return 1;
	}
	climb->candidate = place->parent;
	return 0;
}

/* VERITY_CLASS_* of a path, 0: none. */
__noinline __u32 class_of(const struct path_key *path)
{
	struct guarded_climb search = {.path = path};

	if (!path)
		return VERITY_CLASS_SIGNED;
	search.candidate = entries_up_to(path);
	bpf_loop(VERITY_GUARDED, climb, &search, 0);
	return search.file_class;
}

/* Whether what grants put at a path must stay. */
__noinline __u32 is_required(const struct path_key *path)
{
	struct guarded_climb search = {.path = path};

	if (!path)
		return 1;
	search.candidate = entries_up_to(path);
	bpf_loop(VERITY_GUARDED, climb, &search, 0);
	return search.flags & VERITY_GUARDED_REQUIRED;
}

/* --- what leads there --------------------------------------------------------------------- */

struct guarded_descent {
	const struct path_key *path; /* ends with a slash */
	__u32 len;
	__u32 index;
	__u32 only; /* VERITY_GUARDED_* that it must have */
	__u32 found;
};

static long descend(__u32 unused, struct guarded_descent *descent)
{
	__u32 index = descent->index++;
	const struct guarded_place *place = bpf_map_lookup_elem(&guarded, &index);

	if (!place || !place->len ||
	    !begins_with(AS_PATH(place), descent->path, descent->len))
		return 1;
	descent->found = place->file_class == VERITY_CLASS_SIGNED &&
			 (place->flags & descent->only) == descent->only;
	return descent->found;
}

/* Whether an entry below the path is signed, and has these flags. `path` is as it was afterwards. */
static __always_inline __u32 leads_on(struct path_key *path, __u32 len, __u32 only)
{
	struct guarded_descent descent = {.path = path, .len = len + 1, .only = only};
	__u8 *bytes = (void *)path->word;
	__u32 end = len;

	/* What is longer than all entries leads to none. */
	if (len >= VERITY_GUARDED_PATH_SIZE - 1)
		return 0;
	/* Or the compiler leaves the mask out, which the verifier needs. */
	asm volatile("" : "+r"(end));
	bytes[end & 255] = '/';
	descent.index = entries_up_to(path);
	bpf_loop(VERITY_GUARDED, descend, &descent, 0);
	bytes[end & 255] = 0;
	return descent.found;
}

/*
 * The class of a place that isn't read itself but leads on: signed also where anything below it is.
 * `path` is as it was afterwards.
 */
__noinline __u32 class_of_way(struct path_key *path, __u32 len)
{
	__u32 file_class;

	if (!path)
		return VERITY_CLASS_SIGNED;
	file_class = class_of(path);
	/* Below the root are all of them. */
	if (file_class == VERITY_CLASS_SIGNED || len < 2)
		return file_class;
	return leads_on(path, len, 0) ? VERITY_CLASS_SIGNED : file_class;
}

/* Whether a directory must stay: what is required is there, or below it. Likewise. */
__noinline __u32 is_required_way(struct path_key *path, __u32 len)
{
	if (!path || is_required(path))
		return 1;
	return len > 1 && leads_on(path, len, VERITY_GUARDED_REQUIRED);
}

#endif
