/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_REVOKE_TABLES_H
#define VERITY_REVOKE_TABLES_H
/*
 * The tables of a `revoke` blob: checked and counted without changing anything, then added to what is
 * revoked. Who signed it and what it may say is revocations.h's business.
 *
 * The caller holds the staging area.
 */
#include "documents.h"

struct revoke_walk {
	__u64 base;   /* of the table in the staging area */
	__u32 scopes; /* that the blob holds for */
	__u32 added;  /* entries that need room */
	__u32 news;   /* entries that change anything */
	__u32 share;  /* quarters of each table that its signer may fill */
	int refusal;
};

/* --- checked and counted ------------------------------------------------------------------ */

static __always_inline long stop_walk(struct revoke_walk *walk, int refusal)
{
	walk->refusal = refusal;
	return 1;
}

static __always_inline void count_entry(struct revoke_walk *walk, const __u32 *scopes)
{
	if (!scopes)
		walk->added++;
	if (!scopes || (*scopes & walk->scopes) != walk->scopes)
		walk->news++;
}

/* The entry of a table of 32 bytes each, or NULL with the refusal filled in. */
static __always_inline __u8 *sorted_entry(__u32 index, struct revoke_walk *walk)
{
	__u64 at = walk->base + (__u64)index * VERITY_SHA256_SIZE;
	__u8 *entry = staged_at(at), *previous;

	if (!entry) {
		walk->refusal = VERITY_REFUSED_HEADER;
		return NULL;
	}
	if (index) {
		previous = staged_at(at - VERITY_SHA256_SIZE);
		if (!previous || compare_digests(previous, entry) >= 0) {
			walk->refusal = VERITY_REFUSED_UNSORTED;
			return NULL;
		}
	}
	return entry;
}

/* How signatures name the key with this id: docs/formats.md section 7. */
static __always_inline void name_key(const __u8 *key_id, struct signer *signer)
{
	__builtin_memcpy(signer, key_id, sizeof(*signer));
	*(__u8 *)signer &= 0x7f;
}

static long check_revoked_key(__u32 index, struct revoke_walk *walk)
{
	__u8 *key_id = sorted_entry(index, walk);
	struct signer signer;

	if (!key_id)
		return 1;
	name_key(key_id, &signer);
	count_entry(walk, bpf_map_lookup_elem(&revoked_keys, &signer));
	return 0;
}

static long check_revoked_digest(__u32 index, struct revoke_walk *walk)
{
	__u8 *digest = sorted_entry(index, walk);

	if (!digest)
		return 1;
	count_entry(walk, bpf_map_lookup_elem(&revoked_digests, digest));
	return 0;
}

static __always_inline struct verity_revoke_stream *revoked_stream(__u32 index,
								   const struct revoke_walk *walk)
{
	return staged_at(walk->base + (__u64)index * sizeof(struct verity_revoke_stream));
}

/* The slot whose serials this entry revokes, or NULL. */
static __always_inline struct slot *slot_of(const struct verity_revoke_stream *stream,
					    const struct revoke_walk *walk)
{
	__u32 number = find_slot(AS_NAME(stream->name));
	struct slot *slot = bpf_map_lookup_elem(&slots, &number);

	if (!slot || !(walk->scopes & SCOPE(slot->party, slot->role)) ||
	    slot->lowest >= stream->lowest)
		return NULL;
	return slot;
}

static long check_revoked_stream(__u32 index, struct revoke_walk *walk)
{
	struct verity_revoke_stream *stream = revoked_stream(index, walk), *previous;
	int order = -1;

	if (!stream)
		return stop_walk(walk, VERITY_REFUSED_HEADER);
	if (!is_name(AS_NAME(stream->name)) || stream->lowest < 2 || stream->lowest >= 1ull << 53)
		return stop_walk(walk, VERITY_REFUSED_ENTRY);
	if (index) {
		previous = revoked_stream(index - 1, walk);
		if (!previous)
			return stop_walk(walk, VERITY_REFUSED_HEADER);
		order = compare_names(previous->name, stream->name);
	}
	if (order >= 0)
		return stop_walk(walk, VERITY_REFUSED_UNSORTED);
	if (slot_of(stream, walk))
		walk->news++;
	return 0;
}

static __always_inline int check_tables(const struct verity_revoke_header *header,
					struct revoke_walk *walk)
{
	struct control *all = THE(control);

	if (!all)
		return VERITY_REFUSED_NO_ROOM;
	walk->base = sizeof(*header);
	bpf_loop(header->n_keys, check_revoked_key, walk, 0);
	if (!walk->refusal && all->revoked_keys + walk->added > VERITY_REVOKED_KEYS / 4 * walk->share)
		walk->refusal = VERITY_REFUSED_FULL;
	if (walk->refusal)
		return walk->refusal;
	walk->added = 0;
	walk->base += (__u64)header->n_keys * VERITY_SHA256_SIZE;
	bpf_loop(header->n_digests, check_revoked_digest, walk, 0);
	if (!walk->refusal && all->revoked_digests + walk->added > VERITY_REVOKED_DIGESTS / 4 * walk->share)
		walk->refusal = VERITY_REFUSED_FULL;
	if (walk->refusal)
		return walk->refusal;
	walk->base += (__u64)header->n_digests * VERITY_SHA256_SIZE;
	bpf_loop(header->n_streams, check_revoked_stream, walk, 0);
	return walk->refusal;
}

/* --- added -------------------------------------------------------------------------------- */

static long add_key(__u32 index, struct revoke_walk *walk)
{
	__u8 *key_id = staged_at(walk->base + (__u64)index * VERITY_SHA256_SIZE);
	struct control *all = THE(control);
	struct signer signer;
	__u32 *scopes;

	if (!key_id || !all)
		return stop_walk(walk, VERITY_REFUSED_NO_ROOM);
	name_key(key_id, &signer);
	scopes = bpf_map_lookup_elem(&revoked_keys, &signer);
	if (scopes) {
		*scopes |= walk->scopes;
		return 0;
	}
	if (bpf_map_update_elem(&revoked_keys, &signer, &walk->scopes, BPF_NOEXIST))
		return stop_walk(walk, VERITY_REFUSED_NO_ROOM);
	__sync_fetch_and_add(&all->revoked_keys, 1);
	return 0;
}

static long add_digest(__u32 index, struct revoke_walk *walk)
{
	__u8 *digest = staged_at(walk->base + (__u64)index * VERITY_SHA256_SIZE);
	struct control *all = THE(control);
	__u32 *scopes;

	if (!digest || !all)
		return stop_walk(walk, VERITY_REFUSED_NO_ROOM);
	scopes = bpf_map_lookup_elem(&revoked_digests, digest);
	if (scopes) {
		*scopes |= walk->scopes;
		return 0;
	}
	if (bpf_map_update_elem(&revoked_digests, digest, &walk->scopes, BPF_NOEXIST))
		return stop_walk(walk, VERITY_REFUSED_NO_ROOM);
	__sync_fetch_and_add(&all->revoked_digests, 1);
	return 0;
}

static long add_stream(__u32 index, struct revoke_walk *walk)
{
	struct verity_revoke_stream *stream = revoked_stream(index, walk);
	struct slot *slot;

	if (!stream)
		return stop_walk(walk, VERITY_REFUSED_NO_ROOM);
	slot = slot_of(stream, walk);
	if (slot)
		slot->lowest = stream->lowest;
	return 0;
}

/* Grants whose serial or whose signers count no more are dead from now on. */
static long bury(__u32 index, void *unused)
{
	struct slot *slot = bpf_map_lookup_elem(&slots, &index);
	__u32 party, role;

	if (!slot || !slot->name[0])
		return 1;
	party = slot->party;
	role = slot->role;
	if (slot->serial && (slot->serial < slot->lowest ||
			     standing(&slot->signers, SCOPE(party, role)) < threshold_of(party, role)))
		slot->dead = 1;
	return 0;
}

static __always_inline int add_tables(const struct verity_revoke_header *header,
				      struct revoke_walk *walk)
{
	struct control *all = THE(control);

	walk->base = sizeof(*header);
	bpf_loop(header->n_keys, add_key, walk, 0);
	walk->base += (__u64)header->n_keys * VERITY_SHA256_SIZE;
	bpf_loop(header->n_digests, add_digest, walk, 0);
	walk->base += (__u64)header->n_digests * VERITY_SHA256_SIZE;
	bpf_loop(header->n_streams, add_stream, walk, 0);
	bpf_loop(VERITY_STREAMS, bury, NULL, 0);
	/* Inodes keep flags with the generation: the tables change first. */
	if (all)
		__sync_fetch_and_add(&all->generation, 1);
	return walk->refusal;
}

#endif
