/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_POLICY_H
#define VERITY_POLICY_H
/*
 * What a signed policy says beside mode and streams: what is only observed, how long an unlock may
 * last, and the guarded paths. Read strictly in the staging area, then kept.
 *
 * The guarded paths are asked by guarded.h.
 */
#include "grants.h"
#include "guarded.h"

struct guarded_walk {
	__u64 base; /* where the table begins in the staging area */
	int refusal;
	__u32 requires;
};

static __always_inline __u64 guarded_base(const struct verity_policy_header *header)
{
	return sizeof(*header) + (__u64)header->n_streams * sizeof(struct verity_policy_stream);
}

static __always_inline int check_reactions(const struct verity_policy_header *header)
{
	if (header->observed_reasons & ~VERITY_OBSERVABLE ||
	    header->observed_acts & ~VERITY_OBSERVED_ALL)
		return VERITY_REFUSED_FLAGS;
	if (header->zero1)
		return VERITY_REFUSED_HEADER;
	for (int scope = 0; scope < VERITY_SCOPES; scope++) {
		__u32 seconds = header->unlock_seconds[scope], owners = header->unlock_owners[scope];

		if (scope < (int)VERITY_UNLOCK_DIGEST || scope > (int)VERITY_UNLOCK_OFF
			    ? seconds || owners
			    : seconds > VERITY_UNLOCK_LONGEST || owners > VERITY_OWNERS ||
				      (owners && !seconds))
			return VERITY_REFUSED_HEADER;
	}
	return 0;
}

static long check_guarded(__u32 index, struct guarded_walk *walk)
{
	__u64 at = walk->base + (__u64)index * sizeof(struct verity_guarded_entry);
	struct verity_guarded_entry *entry = staged_at(at), *previous;

	if (!entry) {
		walk->refusal = VERITY_REFUSED_HEADER;
		return 1;
	}
	walk->refusal = VERITY_REFUSED_ENTRY;
	if (entry->path[0] != '/' || entry->path[VERITY_GUARDED_PATH_SIZE - 1] ||
	    entry->file_class < VERITY_CLASS_SIGNED || entry->file_class > VERITY_CLASS_IGNORED ||
	    entry->match < VERITY_MATCH_TREE || entry->match > VERITY_MATCH_PREFIX ||
	    entry->flags & ~VERITY_GUARDED_REQUIRED ||
	    (entry->flags && entry->file_class != VERITY_CLASS_SIGNED))
		return 1;
	for (int i = 0; i < (int)sizeof(entry->zero); i++)
		if (entry->zero[i])
			return 1;
	if (!is_padded(at, GUARDED_WORDS))
		return 1;
	walk->refusal = VERITY_REFUSED_UNSORTED;
	if (index) {
		previous = staged_at(at - sizeof(*entry));
		if (!previous || compare_paths(AS_PATH(previous), AS_PATH(entry)) >= 0)
			return 1;
	}
	walk->refusal = 0;
	return 0;
}

struct guarded_family {
	struct guarded_place *child;
	__u32 candidate; /* its index and one */
};

/* Entries are sorted, so all that begin this one's path are ancestors of the one before it. */
static long find_parent(__u32 unused, struct guarded_family *family)
{
	__u32 index = family->candidate - 1;
	struct guarded_place *place = bpf_map_lookup_elem(&guarded, &index);

	if (!family->candidate || !place)
		return 1;
	if (begins_with(AS_PATH(family->child), AS_PATH(place), place->len))
		return 1;
	family->candidate = place->parent;
	return 0;
}

static long take_guarded(__u32 index, struct guarded_walk *walk)
{
	struct verity_guarded_entry *entry =
		staged_at(walk->base + (__u64)index * sizeof(struct verity_guarded_entry));
	struct guarded_place *place = bpf_map_lookup_elem(&guarded, &index);
	struct guarded_family family = {.child = place, .candidate = index};
	long size;

	if (!entry || !place)
		return 1;
	/* Behind the NUL there are zeroes: the place was never used before. */
	size = bpf_probe_read_kernel_str(place->path, sizeof(place->path), entry->path);
	place->len = size > 0 ? size - 1 : 0;
	place->file_class = entry->file_class;
	place->match = entry->match;
	place->flags = entry->flags;
	walk->requires |= entry->flags & VERITY_GUARDED_REQUIRED;
	bpf_loop(VERITY_GUARDED, find_parent, &family, 0);
	place->parent = family.candidate;
	return 0;
}

static __always_inline void take_reactions(struct gate_policy *current,
					   const struct verity_policy_header *header)
{
	current->observed_reasons = header->observed_reasons;
	current->observed_acts = header->observed_acts;
	current->n_guarded = header->n_guarded;
	__builtin_memcpy(current->unlock_seconds, header->unlock_seconds,
			 sizeof(current->unlock_seconds));
	__builtin_memcpy(current->unlock_owners, header->unlock_owners,
			 sizeof(current->unlock_owners));
}

#endif
