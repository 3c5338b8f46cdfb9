/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_DOCUMENTS_H
#define VERITY_DOCUMENTS_H
/*
 * Signed keys and the signed policy: read strictly, verified, and taken as a whole or not at all.
 *
 * What is here is read in the staging area, by a caller that holds it.
 */
#include "grants.h"
#include "policy.h"
#include "signature.h"

#define NS_PER_S 1000000000ull
#define DAY_S 86400
/* A clock before this was never set: verity/trust/clock.py has the same. */
#define VERITY_RELEASED 1793491200ull

/* --- what is in a blob -------------------------------------------------------------------- */

static __always_inline int is_kind(const __u8 *found, const char *kind)
{
	for (int i = 0; i < VERITY_KIND_SIZE; i++)
		if (found[i] != (__u8)kind[i])
			return 0;
	return 1;
}

static __always_inline int is_serial(__u64 serial)
{
	return serial >= 1 && serial < 1ull << 53;
}

/* The pin's, which is there before any keys. */
static __always_inline __u32 root_threshold(const struct verity_config *configured, __u32 party)
{
	return configured->root_threshold[(party & 3) < VERITY_PARTIES ? party & 3 : 0];
}

static __always_inline __u32 threshold_of(__u32 party, __u32 role)
{
	struct party *found = bpf_map_lookup_elem(&parties, &party);

	return found ? found->thresholds[role & (VERITY_ROLES - 1)] : 0;
}

/*
 * Expiry blocks what comes after the seal, by the latest of the clock and what was accepted; it
 * never stops a boot, which has no clock worth trusting.
 */
static __always_inline int is_expired(__u64 expires)
{
	struct control *all = THE(control);
	__u64 now = bpf_ktime_get_tai_ns() / NS_PER_S;

	if (gate_state() < VERITY_STATE_SEALED)
		return 0;
	if (all && all->newest_issued > now)
		now = all->newest_issued;
	return expires <= now;
}

/* Nothing that is a day ahead of a clock that was set moves the time: one of both is wrong. */
static __always_inline void accept_issued(__u64 issued)
{
	__u64 now = bpf_ktime_get_tai_ns() / NS_PER_S;
	struct control *all = THE(control);

	if (now >= VERITY_RELEASED && issued > now + DAY_S)
		return;
	if (all && issued > all->newest_issued)
		all->newest_issued = issued;
}

static __always_inline int may_hold(__u32 party, __u32 role)
{
	if (role == VERITY_ROLE_ROOT)
		return 1;
	if (party == VERITY_PARTY_VENDOR)
		return role == VERITY_ROLE_OS;
	return role == VERITY_ROLE_ETC || role == VERITY_ROLE_EXTENSION ||
	       role == VERITY_ROLE_POLICY || role == VERITY_ROLE_UNLOCK;
}

static __always_inline int may_grant(__u32 party, __u32 role)
{
	return (party == VERITY_PARTY_VENDOR && role == VERITY_ROLE_OS) ||
	       (party == VERITY_PARTY_USER &&
		(role == VERITY_ROLE_ETC || role == VERITY_ROLE_EXTENSION));
}

/* --- keys --------------------------------------------------------------------------------- */

struct key_walk {
	__u32 party;
	__u32 roles; /* a bit for each that has a key */
	int refusal;
};

static long check_key(__u32 index, struct key_walk *walk)
{
	__u64 at = sizeof(struct verity_keys_header) + (__u64)index * sizeof(struct verity_key_entry);
	struct verity_key_entry *entry = staged_at(at), *previous;

	if (!entry) {
		walk->refusal = VERITY_REFUSED_HEADER;
		return 1;
	}
	if (entry->zero0[0] || entry->zero0[1] || entry->zero1 || entry->owner >= VERITY_OWNERS ||
	    !may_hold(walk->party, entry->role)) {
		walk->refusal = VERITY_REFUSED_ENTRY;
		return 1;
	}
	if (index) {
		previous = staged_at(at - sizeof(*entry));
		if (!previous || compare_digests(previous->key_id, entry->key_id) >= 0) {
			walk->refusal = VERITY_REFUSED_UNSORTED;
			return 1;
		}
	}
	walk->roles |= 1u << (entry->role & (VERITY_ROLES - 1));
	return 0;
}

/*
 * 1. Only before the seal: rotation reaches the gate at the next boot.
 * 2. Well-formed, and of a party that the host has a pin for.
 * 3. Signed by the root threshold of the pin.
 * 4. The thresholds count from now on; the loader fills the keyrings from these bytes.
 */
__noinline int take_keys(__u32 nsig)
{
	struct upload *upload = own_upload();
	struct verity_keys_header *header = staged_at(0);
	struct verity_config *configured = THE(config);
	struct key_walk walk = {};
	struct party *party;
	__u32 number;
	int refusal;

	if (!upload || !header || !configured)
		return VERITY_REFUSED_NO_ROOM;
	/* 1. */
	if (gate_state() >= VERITY_STATE_SEALED)
		return VERITY_REFUSED_SEALED;
	/* 2. */
	if (header->header_len != sizeof(*header) || header->total_len != upload->len ||
	    header->zero0[0] || header->zero0[1] || header->zero0[2] || !header->n_keys ||
	    header->n_keys > VERITY_KEYS_MAX || !is_serial(header->version) ||
	    header->issued >= header->expires || header->expires >= 1ull << 53 ||
	    upload->len != sizeof(*header) + header->n_keys * sizeof(struct verity_key_entry))
		return VERITY_REFUSED_HEADER;
	number = header->party;
	if (number != VERITY_PARTY_VENDOR && number != VERITY_PARTY_USER)
		return VERITY_REFUSED_PARTY_ROLE;
	walk.party = number;
	bpf_loop(header->n_keys, check_key, &walk, 0);
	if (walk.refusal)
		return walk.refusal;
	for (int role = 0; role < VERITY_ROLES; role++)
		if (header->thresholds[role] > VERITY_OWNERS ||
		    !header->thresholds[role] != !(walk.roles >> role & 1))
			return VERITY_REFUSED_HEADER;
	party = bpf_map_lookup_elem(&parties, &number);
	if (!party)
		return VERITY_REFUSED_NO_ROOM;
	if (party->version >= header->version)
		return VERITY_REFUSED_SERIAL;
	/* 3. */
	refusal = check_signatures(nsig, number, VERITY_ROLE_ROOT,
				   root_threshold(configured, number));
	if (refusal)
		return refusal;
	/* 4. */
	__builtin_memcpy(party->thresholds, header->thresholds, sizeof(party->thresholds));
	party->signers = upload->signers;
	party->version = header->version;
	accept_issued(header->issued);
	return 0;
}

/* --- policy ------------------------------------------------------------------------------- */

/* The name of a stream: 1 to 63 of a-z 0-9 . _ -, zero padded. */
__noinline int is_name(const struct stream_name *name)
{
	int ended = 0;

	if (!name || !name->byte[0] || name->byte[VERITY_STREAM_SIZE - 1])
		return 0;
	for (int i = 0; i < VERITY_STREAM_SIZE; i++) {
		__u8 c = name->byte[i];

		if (!c)
			ended = 1;
		else if (ended || !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
				    c == '_' || c == '-'))
			return 0;
	}
	return 1;
}

static long check_stream(__u32 index, int *refusal)
{
	__u64 at = sizeof(struct verity_policy_header) +
		   (__u64)index * sizeof(struct verity_policy_stream);
	struct verity_policy_stream *stream = staged_at(at), *previous;
	int order = -1;

	if (!stream) {
		*refusal = VERITY_REFUSED_HEADER;
		return 1;
	}
	if (!may_grant(stream->party, stream->role) || !is_name(AS_NAME(stream->name))) {
		*refusal = VERITY_REFUSED_ENTRY;
		return 1;
	}
	for (int i = 0; i < (int)sizeof(stream->zero); i++)
		if (stream->zero[i]) {
			*refusal = VERITY_REFUSED_ENTRY;
			return 1;
		}
	if (index) {
		previous = staged_at(at - sizeof(*stream));
		if (!previous) {
			*refusal = VERITY_REFUSED_HEADER;
			return 1;
		}
		order = compare_names(previous->name, stream->name);
		if (order >= 0) {
			*refusal = VERITY_REFUSED_UNSORTED;
			return 1;
		}
	}
	return 0;
}

static long take_stream(__u32 index, void *unused)
{
	struct verity_policy_stream *stream =
		staged_at(sizeof(struct verity_policy_header) +
			  (__u64)index * sizeof(struct verity_policy_stream));
	struct slot *slot = bpf_map_lookup_elem(&slots, &index);

	if (!stream || !slot)
		return 1;
	__builtin_memcpy(slot->name, stream->name, sizeof(slot->name));
	slot->party = stream->party;
	slot->role = stream->role;
	return 0;
}

/*
 * 1. Once, before the seal and before grants, whose streams it names.
 * 2. Well-formed.
 * 3. Signed by the threshold of the user's role policy.
 * 4. It counts from now on.
 */
__noinline int take_policy(__u32 nsig)
{
	struct upload *upload = own_upload();
	struct verity_policy_header *header = staged_at(0);
	struct gate_policy *current = THE(policy);
	struct guarded_walk walk = {};
	__u32 previous = 0;
	int refusal = 0;

	if (!upload || !header || !current)
		return VERITY_REFUSED_NO_ROOM;
	/* 1. */
	if (gate_state() >= VERITY_STATE_SEALED)
		return VERITY_REFUSED_SEALED;
	if (current->serial)
		return VERITY_REFUSED_ORDER;
	/* 2. */
	if (upload->len < sizeof(*header) || header->header_len != sizeof(*header) ||
	    header->total_len != upload->len || header->zero0[0] || header->zero0[1] ||
	    header->zero0[2] || !header->n_streams || header->n_streams > VERITY_STREAMS ||
	    header->n_guarded > VERITY_GUARDED ||
	    upload->len !=
		    guarded_base(header) + header->n_guarded * sizeof(struct verity_guarded_entry) ||
	    !is_serial(header->serial) || header->issued >= header->expires ||
	    header->expires >= 1ull << 53 || header->n_groups > VERITY_GROUPS ||
	    header->mode < VERITY_MODE_OBSERVE || header->mode > VERITY_MODE_SEALED)
		return VERITY_REFUSED_HEADER;
	for (__u32 i = 0; i < VERITY_GROUPS; i++) {
		__u32 group = header->groups[i];

		if (i >= header->n_groups ? group : (i && group <= previous))
			return VERITY_REFUSED_HEADER;
		previous = group;
	}
	refusal = check_reactions(header);
	if (refusal)
		return refusal;
	bpf_loop(header->n_streams, check_stream, &refusal, 0);
	if (refusal)
		return refusal;
	walk.base = guarded_base(header);
	bpf_loop(header->n_guarded, check_guarded, &walk, 0);
	if (walk.refusal)
		return walk.refusal;
	/* 3. */
	refusal = check_signatures(nsig, VERITY_PARTY_USER, VERITY_ROLE_POLICY,
				   threshold_of(VERITY_PARTY_USER, VERITY_ROLE_POLICY));
	if (refusal)
		return refusal;
	/* 4. */
	bpf_loop(header->n_streams, take_stream, NULL, 0);
	bpf_loop(header->n_guarded, take_guarded, &walk, 0);
	current->requires = walk.requires;
	take_reactions(current, header);
	current->privileged_caps = header->privileged_caps;
	current->mode = header->mode;
	current->n_streams = header->n_streams;
	current->group_bits = 0;
	for (__u32 i = 0; i < VERITY_GROUPS; i++) {
		current->groups[i] = header->groups[i];
		if (i < header->n_groups)
			current->group_bits |= group_bit(header->groups[i]);
	}
	current->n_groups = header->n_groups;
	current->signers = upload->signers;
	current->serial = header->serial;
	accept_issued(header->issued);
	return 0;
}

#endif
