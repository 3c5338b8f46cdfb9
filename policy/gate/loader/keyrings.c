/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate's keyrings: one for each party, role and owner, below the user keyring of a reserved
 * uid, because the loader's own keyrings end with it.
 *
 * A keyring is made in our process keyring, filled, restricted, read back (what we did not put
 * there is found so), closed, and hung under the user keyring, before its serial is told to the
 * gate. From then on the gate refuses everything but viewing. The key service's own permissions
 * say the same: anybody may view and search, nobody may do anything else.
 *
 * Naming a key by its serial makes the kernel search our keyrings for it, to see whether we
 * possess it. The gate would log each search of a keyring that it has: hence only the keyring
 * that is being filled is ever within reach, and the user keyring is named as ours.
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

/* Be the reserved uid for the key service, or root again: the effective uid stays 0. */
static int become(uid_t uid, struct failure *f)
{
	if (setresuid(uid, (uid_t)-1, (uid_t)-1) != 0)
		return cannot(f, errno, "it needs CAP_SETUID", "the real uid %u", uid);
	return 0;
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
	int result = become(VERITY_KEYRING_UID, f);
	long ring;

	if (result)
		return result;
	rings->map = gate->keyrings;
	rings->own_keys = gate->own_keys;
	/* A fresh one: what an earlier load, or anybody, left in the old one goes. */
	ring = user_keyring();
	if (ring > 0)
		ring = keyctl(KEYCTL_INVALIDATE, KEY_SPEC_USER_KEYRING, 0, 0, 0);
	if (!ring)
		ring = user_keyring();
	if (ring < 0)
		result = cannot(f, (int)-ring, HINT_KEYS, "no fresh user keyring of uid %u",
				VERITY_KEYRING_UID);
	else
		rings->parent = (int32_t)ring;
	return result ? result : become(0, f);
}

/* Restricts a keyring, and finds in it exactly what we put there. */
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
	if (same != count || (size_t)result != count * sizeof(*found))
		return cannot(f, 0, "somebody else writes to it: find out who, and reboot",
			      "keyring %s holds %ld keys, expected %u of ours", name,
			      result / (long)sizeof(*found), count);
	return 0;
}

/* The last step for a key or keyring. */
static int give_to_gate(const struct keyrings *rings, int32_t serial, struct failure *f)
{
	uint64_t address = 0;

	if (bpf_map_update_elem(rings->own_keys, &serial, &address, BPF_NOEXIST) != 0)
		return cannot(f, errno, HINT_INSTALL,
			      "map " VERITY_MAP_OWN_KEYS " does not take key %d", serial);
	return 0;
}

static int add_key(struct keyrings *rings, const struct verity_key_entry *key, int32_t ring,
		   const char *name, struct failure *f)
{
	uint8_t der[CERTIFICATE_MAX];
	long serial = add("asymmetric", NULL, der, certificate(key->key_id, key->spki, der), ring);

	if (serial < 0)
		return cannot(f, (int)-serial,
			      "the kernel needs X.509 and ECDSA (CONFIG_CRYPTO_ECDSA)",
			      "keyring %s does not take key %02x%02x%02x%02x...", name,
			      key->key_id[0], key->key_id[1], key->key_id[2], key->key_id[3]);
	rings->serials[rings->count++] = (int32_t)serial;
	return 0;
}

/* Close it, let nobody in, hang it under the user keyring. serials: the ring, then its keys. */
static int finish_ring(const int32_t *serials, uint32_t count, const char *name,
		       struct failure *f)
{
	int32_t ring = serials[0];
	int result = close_ring(ring, serials + 1, count - 1, name, f);
	long answer = 0;
	uint32_t i;

	if (result)
		return result;
	for (i = 1; !answer && i < count; i++)
		answer = keyctl(KEYCTL_SETPERM, serials[i], (long)PERMISSIONS, 0, 0);
	if (!answer)
		answer = keyctl(KEYCTL_LINK, ring, KEY_SPEC_USER_KEYRING, 0, 0);
	if (!answer)
		answer = keyctl(KEYCTL_SETPERM, ring, (long)PERMISSIONS, 0, 0);
	if (!answer)
		answer = keyctl(KEYCTL_UNLINK, ring, KEY_SPEC_PROCESS_KEYRING, 0, 0);
	if (answer < 0)
		return cannot(f, (int)-answer, HINT_KEYS, "keyring %s can't be finished", name);
	return 0;
}

static int fill_one(struct keyrings *rings, const struct key_list *list, uint32_t role,
		    uint32_t owner, struct failure *f)
{
	uint32_t index = VERITY_KEYRING(list->party, role, owner);
	uint32_t first = rings->count, i;
	char name[64];
	long ring = 0;
	int result = 0;

	snprintf(name, sizeof(name), "verity:%s:%s:%u", party_names[list->party],
		 role_names[role], owner);
	for (i = 0; !result && i < list->count; i++) {
		if (list->keys[i].role != role || list->keys[i].owner != owner)
			continue;
		if (rings->count + 2 > VERITY_OWN_KEYS_MAX)
			return refuse(f, "make a keyring with fewer keys", "too many keys");
		if (!ring) {
			ring = add("keyring", name, NULL, 0, KEY_SPEC_PROCESS_KEYRING);
			if (ring < 0)
				return cannot(f, (int)-ring, HINT_KEYS,
					      "keyring %s can't be made", name);
			rings->serials[rings->count++] = (int32_t)ring;
		}
		result = add_key(rings, &list->keys[i], (int32_t)ring, name, f);
	}
	if (result || !ring)
		return result;
	result = finish_ring(rings->serials + first, rings->count - first, name, f);
	for (i = first + 1; !result && i < rings->count; i++)
		result = give_to_gate(rings, rings->serials[i], f);
	if (!result && bpf_map_update_elem(rings->map, &index, &rings->serials[first], BPF_ANY))
		result = cannot(f, errno, HINT_INSTALL,
				"map " VERITY_MAP_KEYRINGS " does not take keyring %s", name);
	return result ? result : give_to_gate(rings, rings->serials[first], f);
}

int keyrings_fill(struct keyrings *rings, const struct key_list *list, uint32_t roles,
		  struct failure *f)
{
	int result = become(VERITY_KEYRING_UID, f);
	uint32_t role, owner;

	for (role = 0; role < VERITY_ROLES; role++)
		for (owner = 0; !result && roles & 1u << role && owner < VERITY_OWNERS; owner++)
			result = fill_one(rings, list, role, owner, f);
	return result ? result : become(0, f);
}

static int close_parent(const struct keyrings *rings, struct failure *f)
{
	int32_t below[VERITY_KEYRINGS];
	uint32_t index, count = 0;
	long answer;
	int result;

	for (index = 0; index < VERITY_KEYRINGS; index++) {
		int32_t serial = 0;

		if (bpf_map_lookup_elem(rings->map, &index, &serial) == 0 && serial)
			below[count++] = serial;
	}
	result = close_ring(KEY_SPEC_USER_KEYRING, below, count, "of the reserved uid", f);
	if (result)
		return result;
	answer = keyctl(KEYCTL_SETPERM, KEY_SPEC_USER_KEYRING, (long)PERMISSIONS, 0, 0);
	if (answer < 0)
		return cannot(f, (int)-answer, HINT_KEYS,
			      "the user keyring of uid %u can't be closed", VERITY_KEYRING_UID);
	return 0;
}

int keyrings_finish(struct keyrings *rings, struct failure *f)
{
	int result = become(VERITY_KEYRING_UID, f);

	if (result)
		return result;
	/* A user keyring lets only its own uid change it: possessing it isn't enough. */
	setfsuid(VERITY_KEYRING_UID);
	result = close_parent(rings, f);
	setfsuid(0);
	if (!result && setfsuid((uid_t)-1) != 0)
		result = cannot(f, EPERM, "it needs CAP_SETUID", "being root for files again");
	if (!result)
		result = become(0, f);
	return result ? result : give_to_gate(rings, rings->parent, f);
}

void keyrings_remove(struct keyrings *rings)
{
	uint32_t i;

	/* Invalidation needs no more than the search that everybody is left with. */
	for (i = rings->count; i--;)
		keyctl(KEYCTL_INVALIDATE, rings->serials[i], 0, 0, 0);
	if (rings->parent && setresuid(VERITY_KEYRING_UID, (uid_t)-1, (uid_t)-1) == 0)
		keyctl(KEYCTL_INVALIDATE, KEY_SPEC_USER_KEYRING, 0, 0, 0);
	if (setresuid(0, (uid_t)-1, (uid_t)-1) == 0)
		rings->count = 0;
	rings->parent = 0;
}
