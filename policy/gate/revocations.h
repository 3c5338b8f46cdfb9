/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_REVOCATIONS_H
#define VERITY_REVOCATIONS_H
/*
 * A signed `revoke` blob is added to what is revoked, all of it or nothing.
 *
 * It only ever takes away, so it is taken after the seal, too, and it never expires. Nothing that a
 * blob added goes before the next boot, whose bundle begins anew: a newer serial without an entry
 * doesn't bring back what an older one revoked.
 *
 * - A key's signatures count no more. Grants that are in stay as long as enough other owners signed
 *   them; else the stream's grants are dead until its next serial. Policy and keys that are in stay:
 *   what rests on a revoked key can only not be sealed.
 * - A digest is not granted, whoever grants it later; others that the revocation doesn't hold for
 *   (revoked.h) still may.
 * - A stream's serials below the lowest are refused, and dead where one is in. A name that the policy
 *   doesn't have is nobody's business here.
 *
 * What runs already, and memory that is mapped already, isn't touched.
 */
#include "revoke_tables.h"

static __always_inline int may_revoke(__u32 party, __u32 role)
{
	return (role == VERITY_ROLE_ROOT &&
		(party == VERITY_PARTY_VENDOR || party == VERITY_PARTY_USER)) ||
	       may_grant(party, role);
}

static __always_inline __u32 scopes_of(__u32 party, __u32 role)
{
	if (role != VERITY_ROLE_ROOT)
		return SCOPE(party, role);
	if (party == VERITY_PARTY_VENDOR)
		return ((1u << VERITY_ROLES) - 1) << VERITY_PARTY_VENDOR * VERITY_ROLES;
	return ~0u;
}

/*
 * What lesser roles revoke leaves room for the vendor's root, and what that does for the user's: nobody
 * can fill the tables against who revokes their key.
 */
static __always_inline __u32 share_of(__u32 party, __u32 role)
{
	if (role != VERITY_ROLE_ROOT)
		return 2;
	return party == VERITY_PARTY_USER ? 4 : 3;
}

/*
 * 1. Behind the policy, whose streams it names. Well-formed, of a role that may revoke.
 * 2. Not older than what this role revoked last.
 * 3. Signed by the threshold of that role.
 * 4. Its tables are sorted, and there is room for all of it. Under the serial that is there already it
 *    is a replay, or a contradiction if it says anything new.
 * 5. It counts from now on.
 */
__noinline int take_revoke(__u32 nsig)
{
	struct upload *upload = own_upload();
	struct verity_revoke_header *header = staged_at(0);
	struct verity_config *configured = THE(config);
	struct gate_policy *named = THE(policy);
	struct revoke_walk walk = {};
	struct revocation *last;
	__u32 party, role, place, threshold;
	int refusal;

	if (!upload || !header || !configured || !named)
		return VERITY_REFUSED_NO_ROOM;
	/* 1. */
	if (!named->serial)
		return VERITY_REFUSED_ORDER;
	if (header->header_len != sizeof(*header) || header->total_len != upload->len ||
	    header->zero0 || header->zero1 || header->zero2 ||
	    header->n_keys > VERITY_REVOKE_KEYS || header->n_digests > VERITY_REVOKE_DIGESTS ||
	    header->n_streams > VERITY_REVOKE_STREAMS || !is_serial(header->serial) ||
	    header->issued >= 1ull << 53 ||
	    upload->len != sizeof(*header) + header->n_keys * VERITY_SHA256_SIZE +
				   header->n_digests * VERITY_SHA256_SIZE +
				   header->n_streams * sizeof(struct verity_revoke_stream))
		return VERITY_REFUSED_HEADER;
	party = header->party;
	role = header->role;
	if (!may_revoke(party, role))
		return VERITY_REFUSED_PARTY_ROLE;
	/* 2. */
	place = (party * VERITY_ROLES + role) & (VERITY_REVOKERS - 1);
	last = bpf_map_lookup_elem(&revocations, &place);
	if (!last)
		return VERITY_REFUSED_NO_ROOM;
	if (last->serial > header->serial)
		return VERITY_REFUSED_SERIAL;
	/* 3. */
	threshold = role == VERITY_ROLE_ROOT ? root_threshold(configured, party) :
					       threshold_of(party, role);
	refusal = check_signatures(nsig, party, role, threshold);
	if (refusal)
		return refusal;
	/* 4. */
	walk.scopes = scopes_of(party, role);
	walk.share = share_of(party, role);
	refusal = check_tables(header, &walk);
	if (refusal)
		return refusal;
	if (last->serial == header->serial)
		return walk.news || last->issued != header->issued ? VERITY_REFUSED_EQUIVOCATION :
								     VERITY_REFUSED_SERIAL;
	/* 5. */
	refusal = add_tables(header, &walk);
	if (refusal)
		return refusal;
	last->serial = header->serial;
	last->issued = header->issued;
	return 0;
}

/* --- what rests on a key that is revoked -------------------------------------------------- */

/* Whether what there is of keys and policy would still be taken from those who signed it. */
static __always_inline int documents_stand(const struct verity_config *configured)
{
	struct gate_policy *named = THE(policy);

	if (!named ||
	    (named->serial &&
	     standing(&named->signers, SCOPE(VERITY_PARTY_USER, VERITY_ROLE_POLICY)) <
		     threshold_of(VERITY_PARTY_USER, VERITY_ROLE_POLICY)))
		return 0;
	for (__u32 i = VERITY_PARTY_VENDOR; i <= VERITY_PARTY_USER; i++) {
		__u32 number = i;
		struct party *party = bpf_map_lookup_elem(&parties, &number);

		if (!party || (party->version && standing(&party->signers, SCOPE(i, VERITY_ROLE_ROOT)) <
							 root_threshold(configured, i)))
			return 0;
	}
	return 1;
}

#endif
