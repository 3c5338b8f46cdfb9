/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate's keyrings: one for each party, role and owner, below the user keyring of a reserved
 * uid, because the loader's own keyrings end with it.
 *
 * A keyring is filled, restricted, read back, and closed, in this order, before its serial is
 * told to the gate; what was in it that we did not put there is found by reading it back.
 * From then on the gate refuses everything but viewing. The key service's own permissions say
 * the same: anybody may view and search, nobody may do anything else.
 */
#define _GNU_SOURCE /* setresuid, setfsuid */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <linux/keyctl.h>

/* possessor, user, group, others: view 1, search 8 */
#define PERMISSIONS 0x09090909u
/* A user keyring that was invalidated is there until the kernel's next round. */
#define TRIES 40
#define TRY_US 50000

#define HINT_KEYS "see keyctl show and /proc/keys; a reboot gives fresh keyrings"

static long keyctl(int command, long a, long b, long c, long d)
{
	long result = syscall(SYS_keyctl, command, a, b, c, d);

	return result < 0 ? -errno : result;
}

static long add(const char *type, const char *name, const void *data, size_t len, int32_t ring)
{
	long result = syscall(SYS_add_key, type, name, data, len, ring);

	return result < 0 ? -errno : result;
}

/* Our user keyring, made if there is none; waits for one that was invalidated to go. */
static long user_keyring(void)
{
	long result = keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1, 0, 0);
	int tries;

	for (tries = 1; (result == -EKEYREVOKED || result == -ENOKEY) && tries < TRIES; tries++) {
		usleep(TRY_US);
		result = keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1, 0, 0);
	}
	return result;
}

int keyrings_begin(struct keyrings *rings, const struct gate *gate, struct failure *f)
{
	long result;

	rings->map = gate->keyrings;
	rings->own_keys = gate->own_keys;
	/* 1. Be the reserved uid, for the key service only: the effective uid stays 0. */
	if (setresuid(VERITY_KEYRING_UID, (uid_t)-1, (uid_t)-1) != 0)
		return cannot(f, errno, "it needs CAP_SETUID", "taking the reserved uid %u",
			      VERITY_KEYRING_UID);
	rings->active = 1;
	/*
	 * 2. A fresh user keyring: what an earlier load, or anybody, left in the old one goes.
	 * Named as ours and not by its serial, which alone isn't possessed.
	 */
	result = user_keyring();
	if (result > 0)
		result = keyctl(KEYCTL_INVALIDATE, KEY_SPEC_USER_KEYRING, 0, 0, 0);
	if (!result)
		result = user_keyring();
	if (result < 0)
		return cannot(f, (int)-result, HINT_KEYS, "no fresh user keyring of uid %u",
			      VERITY_KEYRING_UID);
	rings->parent = (int32_t)result;
	/* 3. Possessed, and with it all that is below, by way of our process keyring. */
	result = keyctl(KEYCTL_LINK, KEY_SPEC_USER_KEYRING, KEY_SPEC_PROCESS_KEYRING, 0, 0);
	if (result < 0)
		return cannot(f, (int)-result, HINT_KEYS, "the user keyring of uid %u",
			      VERITY_KEYRING_UID);
	return 0;
}

/* Restricts it, and finds in it exactly what we put there. */
static int close_ring(int32_t ring, const int32_t *inside, uint32_t count, const char *name,
		      struct failure *f)
{
	int32_t found[VERITY_KEYRINGS + 1];
	long result = keyctl(KEYCTL_RESTRICT_KEYRING, ring, 0, 0, 0);
	uint32_t i, j, same = 0;

	if (!result)
		result = keyctl(KEYCTL_READ, ring, (long)found, sizeof(found), 0);
	if (result < 0)
		return cannot(f, (int)-result, HINT_KEYS, "keyring %s can't be closed", name);
	for (i = 0; i < count && (size_t)result == count * sizeof(*found); i++)
		for (j = 0; j < count; j++)
			same += found[j] == inside[i];
	if (same != count)
		return cannot(f, 0, "somebody else writes to it: find out who, and reboot",
			      "keyring %s holds %ld keys, expected %u of ours", name,
			      result / (long)sizeof(*found), count);
	return 0;
}

/* The last step for a key or keyring. */
static int give_to_gate(struct keyrings *rings, int32_t serial, struct failure *f)
{
	uint64_t address = 0;
	long result = keyctl(KEYCTL_SETPERM, serial, (long)PERMISSIONS, 0, 0);

	if (result < 0)
		return cannot(f, (int)-result, HINT_KEYS, "the permissions of key %d", serial);
	if (bpf_map_update_elem(rings->own_keys, &serial, &address, BPF_NOEXIST) != 0)
		return cannot(f, errno, "install the package again",
			      "map " VERITY_MAP_OWN_KEYS " does not take key %d", serial);
	return 0;
}

static int fill_one(struct keyrings *rings, const struct key_list *list, uint32_t role,
		    uint32_t owner, struct failure *f)
{
	uint32_t index = VERITY_KEYRING(list->party, role, owner);
	uint8_t der[CERTIFICATE_MAX];
	uint32_t first = rings->count, i;
	int32_t ring = 0;
	char name[64];
	long result;

	snprintf(name, sizeof(name), "verity:%s:%s:%u", party_names[list->party],
		 role_names[role], owner);
	for (i = 0; i < list->count; i++) {
		const struct verity_key_entry *key = &list->keys[i];

		if (key->role != role || key->owner != owner)
			continue;
		if (rings->count + 2 > VERITY_OWN_KEYS_MAX)
			return refuse(f, "make a keyring with fewer keys", "too many keys");
		if (!ring) {
			result = add("keyring", name, NULL, 0, rings->parent);
			if (result < 0)
				return cannot(f, (int)-result, HINT_KEYS,
					      "keyring %s can't be made", name);
			ring = (int32_t)result;
			rings->serials[rings->count++] = ring;
		}
		result = add("asymmetric", NULL, der, certificate(key->key_id, key->spki, der), ring);
		if (result < 0)
			return cannot(f, (int)-result,
				      "the kernel needs X.509 and ECDSA (CONFIG_CRYPTO_ECDSA)",
				      "keyring %s does not take key %02x%02x%02x%02x...", name,
				      key->key_id[0], key->key_id[1], key->key_id[2],
				      key->key_id[3]);
		rings->serials[rings->count++] = (int32_t)result;
	}
	if (!ring)
		return 0;
	result = close_ring(ring, rings->serials + first + 1, rings->count - first - 1, name, f);
	for (i = first + 1; !result && i < rings->count; i++)
		result = give_to_gate(rings, rings->serials[i], f);
	if (!result && bpf_map_update_elem(rings->map, &index, &ring, BPF_ANY) != 0)
		result = cannot(f, errno, "install the package again",
				"map " VERITY_MAP_KEYRINGS " does not take keyring %s", name);
	return result ? (int)result : give_to_gate(rings, ring, f);
}

int keyrings_fill(struct keyrings *rings, const struct key_list *list, uint32_t roles,
		  struct failure *f)
{
	uint32_t role, owner;
	int result;

	for (role = 0; role < VERITY_ROLES; role++)
		for (owner = 0; roles & 1u << role && owner < VERITY_OWNERS; owner++) {
			result = fill_one(rings, list, role, owner, f);
			if (result)
				return result;
		}
	return 0;
}

static int close_parent(struct keyrings *rings, struct failure *f)
{
	int32_t below[VERITY_KEYRINGS];
	uint32_t index, count = 0;
	int result;

	for (index = 0; index < VERITY_KEYRINGS; index++) {
		int32_t serial = 0;

		if (bpf_map_lookup_elem(rings->map, &index, &serial) == 0 && serial)
			below[count++] = serial;
	}
	result = close_ring(rings->parent, below, count, "of the reserved uid", f);
	return result ? result : give_to_gate(rings, rings->parent, f);
}

int keyrings_finish(struct keyrings *rings, struct failure *f)
{
	int result;

	/* A user keyring lets only its own uid change it: possessing it isn't enough. */
	setfsuid(VERITY_KEYRING_UID);
	result = close_parent(rings, f);
	setfsuid(0);
	if (result)
		return result;
	if (setfsuid((uid_t)-1) != 0)
		return cannot(f, EPERM, "it needs CAP_SETUID", "being root for files again");
	if (setresuid(0, (uid_t)-1, (uid_t)-1) != 0)
		return cannot(f, errno, "it needs CAP_SETUID", "being root again");
	rings->active = 0;
	return 0;
}

void keyrings_remove(struct keyrings *rings)
{
	uint32_t i;

	/* Invalidation needs no more than the search that everybody is left with. */
	for (i = rings->count; i--;)
		keyctl(KEYCTL_INVALIDATE, rings->serials[i], 0, 0, 0);
	if (rings->parent)
		keyctl(KEYCTL_INVALIDATE, rings->parent, 0, 0, 0);
	if (rings->active && setresuid(0, (uid_t)-1, (uid_t)-1) == 0)
		rings->active = 0;
	rings->count = 0;
	rings->parent = 0;
}
