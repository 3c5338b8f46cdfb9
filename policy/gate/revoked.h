/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_REVOKED_H
#define VERITY_REVOKED_H
/*
 * What is revoked, and whose grants and signatures that takes away; asked here, and put in by
 * revocations.h.
 *
 * A revocation holds for what its signer could have said: a role's for this role of its party, the
 * vendor's root's for the vendor, the user's root's for everybody. So each revoked thing has a bit
 * for every party and role that it is dead for.
 *
 * Until the host boots again there are only ever more of them.
 */
#include "maps.h"

#define SCOPE(party, role) (1u << (((party) * VERITY_ROLES + (role)) & 31))

static __always_inline __u32 revoked_digest(const struct digest *digest)
{
	__u32 *scopes = bpf_map_lookup_elem(&revoked_digests, digest);

	return scopes ? *scopes : 0;
}

static __always_inline int is_revoked_key(const struct signer *signer, __u32 scope)
{
	__u32 *scopes = bpf_map_lookup_elem(&revoked_keys, signer);

	return scopes && (*scopes & scope);
}

/* Whether nothing counts any more that this slot grants for a digest which these revoked. */
static __always_inline int is_dead(const struct slot *slot, __u32 scopes)
{
	return slot->dead || (scopes & SCOPE(slot->party, slot->role));
}

/* How many of those who signed something still count. */
static __noinline __u32 standing(const struct signers *signers, __u32 scope)
{
	__u32 count = 0;

	for (int i = 0; i < VERITY_OWNERS; i++) {
		const struct signer *signer = &signers->owner[i];

		if ((signer->word[0] | signer->word[1]) && !is_revoked_key(signer, scope))
			count++;
	}
	return count;
}

#endif
