/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_POLICY_H
#define VERITY_POLICY_H
/*
 * What a signed policy says beside mode and streams: what is only observed, how long an unlock may
 * last, and the guarded paths. Read strictly in the staging area, then kept.
 *
 * The guarded paths are kept and not yet used: no hook asks for a path.
 */
#include "grants.h"

struct guarded_walk {
	__u64 base; /* where the table begins in the staging area */
	int refusal;
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
	int ended = 0, order = -1;

	if (!entry) {
		walk->refusal = VERITY_REFUSED_HEADER;
		return 1;
	}
	walk->refusal = VERITY_REFUSED_ENTRY;
	if (entry->path[0] != '/' || entry->path[VERITY_GUARDED_PATH_SIZE - 1] ||
	    entry->file_class < VERITY_CLASS_SIGNED || entry->file_class > VERITY_CLASS_IGNORED ||
	    entry->match < VERITY_MATCH_TREE || entry->match > VERITY_MATCH_PREFIX)
		return 1;
	for (int i = 0; i < (int)sizeof(entry->zero); i++)
		if (entry->zero[i])
			return 1;
	for (int i = 0; i < VERITY_GUARDED_PATH_SIZE; i++) {
		if (!entry->path[i])
			ended = 1;
		else if (ended)
			return 1;
	}
	walk->refusal = VERITY_REFUSED_UNSORTED;
	if (index) {
		previous = staged_at(at - sizeof(*entry));
		if (!previous)
			return 1;
		order = 0;
		for (int i = 0; i < VERITY_GUARDED_PATH_SIZE; i++) {
			order = (int)previous->path[i] - (int)entry->path[i];
			if (order)
				break;
		}
	}
	if (order >= 0)
		return 1;
	walk->refusal = 0;
	return 0;
}

static long take_guarded(__u32 index, struct guarded_walk *walk)
{
	struct verity_guarded_entry *entry =
		staged_at(walk->base + (__u64)index * sizeof(struct verity_guarded_entry));
	struct verity_guarded_entry *place = bpf_map_lookup_elem(&guarded, &index);

	if (!entry || !place)
		return 1;
	__builtin_memcpy(place, entry, sizeof(*place));
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
