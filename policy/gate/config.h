/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_CONFIG_H
#define VERITY_CONFIG_H
/*
 * What the loader tells the gate through its maps, before they are frozen.
 */
#include "decide.h"

/* Map `config`, key 0. */
struct verity_config {
	__u32 state;	/* VERITY_STATE_*; the gate itself sets it later on */
	__u32 gate_dev; /* the kernel's dev_t of the file system of the pins: major << 20 | minor */
	__u64 mount;	/* struct vfsmount of the pins, filled in by the gate */
	__u8 root_threshold[VERITY_PARTIES]; /* from the pins, by party; 0: no pin */
	__u8 zero[5];
};

/* Map `keyrings`: serial of the keyring of an owner in a role of a party, 0: none. */
#define VERITY_KEYRING(party, role, owner) \
	(((party)*VERITY_ROLES + (role)) * VERITY_OWNERS + (owner))
#define VERITY_KEYRINGS (VERITY_PARTIES * VERITY_ROLES * VERITY_OWNERS)

/* Map `own_ids`: the gate's own objects, by type and id. */
#define VERITY_ID_MAP 1u
#define VERITY_ID_PROGRAM 2u
#define VERITY_ID_LINK 3u

struct verity_id {
	__u32 type;
	__u32 id;
};

/* Map `denials`: a ring of the last ones, then the first one of each reason. */
#define VERITY_DENIALS_RING 256u
#define VERITY_DENIALS (VERITY_DENIALS_RING + VERITY_REASONS)

VERITY_SIZE_IS(verity_config, 24);
VERITY_SIZE_IS(verity_id, 8);

#endif
