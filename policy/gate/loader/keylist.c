/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pins and `keys` blobs: read in place once every rule of docs/formats.md section 9 holds.
 *
 * Whether a `keys` is signed is for the gate to say. What is checked here is what the gate can't
 * see or what decides which keyring a key goes into: that no key stands there twice, that party and
 * role go together, and that no role counts an owner that isn't there.
 *
 * Key ids are names here, and not compared with the SHA-256 of the key: keys are compared by their own
 * bytes. From the id follow the certificate's serial and subject, and by that serial the gate knows whose
 * signature it has and whether the key is revoked. A false id could so keep a key out of reach of a
 * revocation by its true one. But nobody can put one in but the root threshold of that party (a pin is
 * not signed at all, and whoever writes one names the roots): who signs for a party may name any key
 * for its roles in any case, also a new one that nobody has revoked. Two entries can't be one key under
 * two ids, a serial counts only in the keyring of its own party, role and owner, and a revocation only
 * for what its party may revoke.
 */
#include "load.h"

#include <string.h>

#define HINT_MALFORMED "the file is damaged, or was not made by verity: make it anew"

const char *const party_names[VERITY_PARTIES] = { "nobody", "vendor", "user" };
const char *const role_names[VERITY_ROLES] = { "none",	    "root",   "os",	"etc",
					       "extension", "policy", "unlock", "evidence" };

/* What a `keys` may hold beside the root keys, by party. */
static const uint32_t roles_of[VERITY_PARTIES] = {
	[VERITY_PARTY_VENDOR] = 1u << VERITY_ROLE_OS,
	[VERITY_PARTY_USER] = 1u << VERITY_ROLE_ETC | 1u << VERITY_ROLE_EXTENSION |
			      1u << VERITY_ROLE_POLICY | 1u << VERITY_ROLE_UNLOCK,
};

/* DER of a P-256 SubjectPublicKeyInfo up to the two coordinates. */
static const uint8_t spki_head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
				     0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
				     0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04 };

static int all_zero(const uint8_t *data, size_t len)
{
	while (len--)
		if (data[len])
			return 0;
	return 1;
}

/* `number` counts from 1; the entries before it are there and are good. */
static int check_entry(const struct verity_key_entry *key, uint32_t allowed, const char *name,
		       uint32_t number, struct failure *f)
{
	const struct verity_key_entry *other;

	if (key->role >= VERITY_ROLES || !(allowed & 1u << key->role))
		return refuse(f, "see docs/formats.md section 9 for who holds which role",
			      "%s: key %u has role %u, which does not belong there", name, number,
			      key->role);
	if (key->owner >= VERITY_OWNERS)
		return refuse(f, HINT_MALFORMED, "%s: key %u has owner %u, expected 0 to %d",
			      name, number, key->owner, VERITY_OWNERS - 1);
	if (!all_zero(key->zero0, sizeof(key->zero0)) || key->zero1)
		return refuse(f, HINT_MALFORMED, "%s: key %u: reserved bytes are not zero", name,
			      number);
	if (memcmp(key->spki, spki_head, sizeof(spki_head)) != 0)
		return refuse(f, HINT_MALFORMED, "%s: key %u is not a P-256 public key", name,
			      number);
	if (number > 1 && memcmp(key[-1].key_id, key->key_id, sizeof(key->key_id)) >= 0)
		return refuse(f, HINT_MALFORMED, "%s: key %u is not sorted behind the one before",
			      name, number);
	for (other = key - (number - 1); other < key; other++)
		if (memcmp(other->spki, key->spki, sizeof(key->spki)) == 0)
			return refuse(f, HINT_MALFORMED, "%s: key %u stands there twice", name,
				      number);
	return 0;
}

/* 5. A role with a threshold has at least that many owners; one without has no keys. */
static int check_thresholds(const struct key_list *list, const char *name, struct failure *f)
{
	uint8_t owners[VERITY_ROLES] = { 0 };
	uint32_t i;

	for (i = 0; i < list->count; i++)
		owners[list->keys[i].role] |= (uint8_t)(1u << list->keys[i].owner);
	for (i = 0; i < VERITY_ROLES; i++) {
		uint32_t count = (uint32_t)__builtin_popcount(owners[i]);

		if (list->thresholds[i] > count)
			return refuse(f, "no signature could ever be accepted: make it anew",
				      "%s: role %s has the threshold %u and %u owners", name,
				      role_names[i], list->thresholds[i], count);
		if (!list->thresholds[i] && count)
			return refuse(f, "a threshold of 0 is no threshold: make it anew",
				      "%s: role %s has keys and no threshold", name,
				      role_names[i]);
	}
	return 0;
}

static int parse(const uint8_t *data, size_t len, const char *name, int pin,
		 struct key_list *out, struct failure *f)
{
	struct verity_keys_header header;
	uint32_t allowed = 1u << VERITY_ROLE_ROOT;
	uint32_t i;
	int result;

	/* 1. The kind, and the length that the header and the number of keys ask for. */
	if (len < sizeof(header))
		return refuse(f, HINT_MALFORMED, "%s: %zu bytes, expected at least %zu", name, len,
			      sizeof(header));
	memcpy(&header, data, sizeof(header)); /* in a bundle it may lie at an odd address */
	if (memcmp(header.kind, pin ? VERITY_KIND_PIN : VERITY_KIND_KEYS, VERITY_KIND_SIZE) != 0)
		return refuse(f, HINT_MALFORMED, "%s: not a %s", name, pin ? "pin" : "keys blob");
	if (!header.n_keys || header.n_keys > VERITY_KEYS_MAX)
		return refuse(f, HINT_MALFORMED, "%s: %u keys, expected 1 to %d", name,
			      header.n_keys, VERITY_KEYS_MAX);
	if (header.header_len != sizeof(header) || header.total_len != len ||
	    len != sizeof(header) + header.n_keys * sizeof(struct verity_key_entry))
		return refuse(f, HINT_MALFORMED, "%s: %zu bytes, expected %zu for %u keys", name,
			      len,
			      sizeof(header) + header.n_keys * sizeof(struct verity_key_entry),
			      header.n_keys);
	/* 2. The party, and what only a signed document has. */
	if (header.party != VERITY_PARTY_VENDOR && header.party != VERITY_PARTY_USER)
		return refuse(f, HINT_MALFORMED, "%s: party %u, expected 1 (vendor) or 2 (user)",
			      name, header.party);
	if (!all_zero(header.zero0, sizeof(header.zero0)) || header.thresholds[0])
		return refuse(f, HINT_MALFORMED, "%s: reserved bytes are not zero", name);
	if (pin ? header.version || header.issued || header.expires : !header.version)
		return refuse(f, HINT_MALFORMED, "%s: version %llu, expected %s", name,
			      (unsigned long long)header.version,
			      pin ? "a pin, without one and without times" : "one from 1");
	/* 3. Each key, and 4. that they are sorted. */
	out->party = header.party;
	out->count = header.n_keys;
	memcpy(out->thresholds, header.thresholds, sizeof(out->thresholds));
	out->keys = (const struct verity_key_entry *)(data + sizeof(header)); /* bytes only */
	if (!pin)
		allowed |= roles_of[header.party];
	for (i = 0; i < out->count; i++) {
		result = check_entry(&out->keys[i], allowed, name, i + 1, f);
		if (result)
			return result;
	}
	/* 5. */
	return check_thresholds(out, name, f);
}

int pin_parse(const struct bytes *document, struct key_list *out, struct failure *f)
{
	return parse(document->data, document->len, document->name, 1, out, f);
}

int keys_parse(const struct blob *blob, const char *name, struct key_list *out,
	       struct failure *f)
{
	return parse(blob->data, blob->len, name, 0, out, f);
}
