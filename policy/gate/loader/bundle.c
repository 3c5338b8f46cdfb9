/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The boot bundle's records (docs/formats.md section 12), and that bundle and pins go together.
 *
 * It looks at lengths, at the order, at each blob's 16 bytes of kind, and into `keys` and floors; the
 * rest is the gate's business. Nothing is copied but signatures, and nothing is allocated.
 */
#include "load.h"

#include <stdio.h>
#include <string.h>

#define HINT_BUNDLE "the bundle is damaged or incomplete: make it anew from the signed documents"

struct kind {
	const char *name;
	const char *bytes; /* what the blob begins with; NULL: the gate knows */
};

static const struct kind kinds[] = {
	[VERITY_RECORD_KEYS] = { "keys", VERITY_KIND_KEYS },
	[VERITY_RECORD_POLICY] = { "policy", VERITY_KIND_POLICY },
	[VERITY_RECORD_REVOKE] = { "revoke", VERITY_KIND_REVOKE },
	[VERITY_RECORD_GRANTS] = { "grants", VERITY_KIND_GRANTS },
	[VERITY_RECORD_FLOORS] = { "floors", NULL },
};

const char *record_name(uint32_t kind)
{
	return kind && kind <= VERITY_RECORD_FLOORS ? kinds[kind].name : "unknown";
}

/* The head of the record at the cursor, its bytes known to be inside the bundle. */
static int record_at(const struct bytes *bundle, struct bundle_cursor *cursor,
		     struct verity_record *head, struct failure *f)
{
	size_t left = bundle->len - cursor->at;

	if (left < sizeof(*head))
		return refuse(f, HINT_BUNDLE, "%s: record %u: %zu bytes left, expected at least %zu",
			      bundle->name, cursor->number + 1, left, sizeof(*head));
	memcpy(head, bundle->data + cursor->at, sizeof(*head));
	if (head->len > left - sizeof(*head))
		return refuse(f, HINT_BUNDLE, "%s: record %u: %zu bytes left, expected %u",
			      bundle->name, cursor->number + 1, left - sizeof(*head), head->len);
	return 0;
}

static const uint8_t *take(const struct bytes *bundle, struct bundle_cursor *cursor, uint32_t len)
{
	const uint8_t *data = bundle->data + cursor->at + sizeof(struct verity_record);

	cursor->at += sizeof(struct verity_record) + len;
	cursor->number++;
	return data;
}

static int check_blob(const struct bytes *bundle, const struct bundle_cursor *cursor,
		      const struct verity_record *head, struct failure *f)
{
	uint32_t number = cursor->number + 1;
	const uint8_t *data = bundle->data + cursor->at + sizeof(*head);

	if (head->kind == VERITY_RECORD_SIGNATURE)
		return refuse(f, HINT_BUNDLE, "%s: record %u is a signature without a blob",
			      bundle->name, number);
	if (!head->kind || head->kind > VERITY_RECORD_FLOORS)
		return refuse(f, "the bundle is of another version: make it with this one",
			      "%s: record %u is of the unknown kind %u", bundle->name, number,
			      head->kind);
	if (head->kind < cursor->last_kind)
		return refuse(f, HINT_BUNDLE, "%s: record %u: %s behind %s", bundle->name, number,
			      record_name(head->kind), record_name(cursor->last_kind));
	if (head->len < VERITY_KIND_SIZE || head->len > VERITY_BLOB_MAX)
		return refuse(f, HINT_BUNDLE, "%s: record %u (%s): %u bytes, expected %d to %d",
			      bundle->name, number, record_name(head->kind), head->len,
			      VERITY_KIND_SIZE, VERITY_BLOB_MAX);
	if (kinds[head->kind].bytes &&
	    memcmp(data, kinds[head->kind].bytes, VERITY_KIND_SIZE) != 0)
		return refuse(f, HINT_BUNDLE, "%s: record %u says %s and holds something else",
			      bundle->name, number, record_name(head->kind));
	return 0;
}

int bundle_next(const struct bytes *bundle, struct bundle_cursor *cursor, struct blob *out,
		struct failure *f)
{
	struct verity_record head;
	int result;

	if (cursor->at == bundle->len)
		return 0;
	result = record_at(bundle, cursor, &head, f);
	if (!result)
		result = check_blob(bundle, cursor, &head, f);
	if (result)
		return result;
	memset(out, 0, sizeof(*out));
	cursor->last_kind = out->kind = head.kind;
	out->len = head.len;
	out->data = take(bundle, cursor, head.len);
	out->number = cursor->number;
	while (cursor->at < bundle->len) {
		result = record_at(bundle, cursor, &head, f);
		if (result)
			return result;
		if (head.kind != VERITY_RECORD_SIGNATURE)
			break;
		if (out->nsig == VERITY_OWNERS)
			return refuse(f, HINT_BUNDLE, "%s: record %u: a signature too many, "
				      "expected at most %d for a blob", bundle->name,
				      cursor->number + 1, VERITY_OWNERS);
		if (!head.len || head.len > VERITY_DER_SIZE)
			return refuse(f, HINT_BUNDLE, "%s: record %u: signature of %u bytes, "
				      "expected 1 to %d", bundle->name, cursor->number + 1,
				      head.len, VERITY_DER_SIZE);
		out->sigs[out->nsig].len = head.len;
		memcpy(out->sigs[out->nsig].der, take(bundle, cursor, head.len), head.len);
		out->nsig++;
	}
	/* Floors are this host's own: a signature would promise what nobody checks. */
	if (out->kind == VERITY_RECORD_FLOORS && out->nsig)
		return refuse(f, HINT_BUNDLE, "%s: record %u (floors) has a signature, expected none",
			      bundle->name, out->number);
	if (!out->nsig && out->kind != VERITY_RECORD_FLOORS)
		return refuse(f, HINT_BUNDLE, "%s: record %u (%s) has no signature", bundle->name,
			      out->number, record_name(out->kind));
	return 1;
}

/* Whether a key of `list` that will be used is also in `other`; roles: which are used of each. */
static const struct verity_key_entry *shared_key(const struct key_list *list, uint32_t roles,
						 const struct key_list *other,
						 uint32_t other_roles)
{
	uint32_t i, j;

	for (i = 0; i < list->count; i++)
		for (j = 0; j < other->count && roles & 1u << list->keys[i].role; j++)
			if (other_roles & 1u << other->keys[j].role &&
			    memcmp(list->keys[i].spki, other->keys[j].spki,
				   VERITY_SPKI_SIZE) == 0)
				return &list->keys[i];
	return NULL;
}

/* A key has one role of one party. Root keys come from the pins; those in `keys` are ignored. */
static int check_roles(const struct documents *documents, struct failure *f)
{
	const struct key_list *lists[] = {
		&documents->pins[VERITY_PARTY_VENDOR], &documents->pins[VERITY_PARTY_USER],
		&documents->keys[VERITY_PARTY_VENDOR], &documents->keys[VERITY_PARTY_USER]
	};
	const uint32_t root = 1u << VERITY_ROLE_ROOT;
	const struct verity_key_entry *key;
	unsigned int i, j;

	for (i = 0; i < 4; i++)
		for (j = i + 1; j < 4; j++) {
			key = shared_key(lists[i], i < 2 ? root : ~root, lists[j],
					 j < 2 ? root : ~root);
			if (key)
				return refuse(f, "make a key of its own for each party and role",
					      "key %02x%02x%02x%02x... has two roles: %s of %s, "
					      "and one of %s", key->key_id[0], key->key_id[1],
					      key->key_id[2], key->key_id[3],
					      role_names[key->role],
					      party_names[lists[i]->party],
					      party_names[lists[j]->party]);
		}
	return 0;
}

static int take_keys(struct documents *out, const struct blob *blob, const char *name,
		     struct failure *f)
{
	struct key_list list;
	int result = keys_parse(blob, name, &list, f);

	if (result)
		return result;
	if (out->keys[list.party].count)
		return refuse(f, HINT_BUNDLE, "%s: the keys of the %s a second time", name,
			      party_names[list.party]);
	out->keys[list.party] = list;
	return 0;
}

static int take_floors(struct documents *out, const struct blob *blob, const char *name,
		       struct failure *f)
{
	if (out->floors.count)
		return refuse(f, HINT_BUNDLE, "%s: floors a second time", name);
	return floors_parse(blob, name, &out->floors, f);
}

static int check_bundle(struct documents *out, struct failure *f)
{
	struct bundle_cursor cursor = { 0 };
	struct blob blob;
	char name[256];
	int result;

	if (out->bundle.len > VERITY_BUNDLE_MAX)
		return refuse(f, HINT_BUNDLE, "%s: %zu bytes, expected at most %u",
			      out->bundle.name, out->bundle.len, VERITY_BUNDLE_MAX);
	while ((result = bundle_next(&out->bundle, &cursor, &blob, f)) > 0) {
		out->blobs++;
		snprintf(name, sizeof(name), "%s: record %u", out->bundle.name, blob.number);
		if (blob.kind == VERITY_RECORD_KEYS)
			result = take_keys(out, &blob, name, f);
		else if (blob.kind == VERITY_RECORD_FLOORS)
			result = take_floors(out, &blob, name, f);
		if (result < 0)
			return result;
	}
	if (!result && !out->blobs)
		return refuse(f, HINT_BUNDLE, "%s: empty", out->bundle.name);
	return result;
}

int documents_check(const struct bytes pins[2], struct documents *out, struct failure *f)
{
	struct key_list list;
	int result, i;

	for (i = 0; i < 2; i++) {
		result = pin_parse(&pins[i], &list, f);
		if (result)
			return result;
		if (out->pins[list.party].count)
			return refuse(f, "give one pin of the vendor and one of the user",
				      "%s: a second pin of the %s", pins[i].name,
				      party_names[list.party]);
		out->pins[list.party] = list;
	}
	result = check_bundle(out, f);
	return result ? result : check_roles(out, f);
}
