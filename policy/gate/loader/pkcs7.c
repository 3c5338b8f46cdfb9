/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The one PKCS#7 template (docs/formats.md section 7), of a typed signature: serial, r and s.
 *
 * Written from its end, so that every length is known when it is put down. Pure.
 */
#include "load.h"

#include <string.h>

static const uint8_t version[] = { 2, 1, 1 };
static const uint8_t signed_data[] = { 6,    9,	   0x2a, 0x86, 0x48, 0x86,
				       0xf7, 0x0d, 1,	 7,    2 };
static const uint8_t data[] = { 0x30, 11,   6,	  9, 0x2a, 0x86, 0x48,
				0x86, 0xf7, 0x0d, 1, 7,	   1 };
static const uint8_t sha256[] = { 0x30, 11,   6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1 };

/* `at` goes down to room; what is written begins there. */
struct backwards {
	uint8_t room[VERITY_DER_SIZE];
	uint8_t *at;
};

static void put(struct backwards *w, const void *bytes, size_t len)
{
	w->at -= len;
	memcpy(w->at, bytes, len);
}

/* Tag and length of what begins at w->at and ends at `end`: less than 256 bytes, as all of it. */
static void wrap(struct backwards *w, uint8_t tag, const uint8_t *end)
{
	uint8_t len = (uint8_t)(end - w->at);
	const uint8_t longer = 0x81;

	put(w, &len, 1);
	if (len >= 0x80)
		put(w, &longer, 1);
	put(w, &tag, 1);
}

static void integer(struct backwards *w, const uint8_t *bytes, size_t len)
{
	const uint8_t *end = w->at, zero = 0;

	while (len > 1 && !*bytes)
		bytes++, len--;
	put(w, bytes, len);
	if (*bytes & 0x80)
		put(w, &zero, 1);
	wrap(w, 2, end);
}

void pkcs7(const uint8_t typed[80], struct verity_signature *out)
{
	struct backwards w = { .at = w.room + sizeof(w.room) };
	const uint8_t *end = w.at, *inner;

	integer(&w, typed + 48, 32);
	integer(&w, typed + 16, 32);
	wrap(&w, 0x30, end);
	wrap(&w, 4, end);
	put(&w, der_ecdsa, sizeof(der_ecdsa));
	put(&w, sha256, sizeof(sha256));
	inner = w.at;
	integer(&w, typed, 16);
	put(&w, der_issuer, sizeof(der_issuer));
	wrap(&w, 0x30, inner);
	put(&w, version, sizeof(version));
	wrap(&w, 0x30, end);
	wrap(&w, 0x31, end);
	put(&w, data, sizeof(data));
	inner = w.at;
	put(&w, sha256, sizeof(sha256));
	wrap(&w, 0x31, inner);
	put(&w, version, sizeof(version));
	wrap(&w, 0x30, end);
	wrap(&w, 0xa0, end);
	put(&w, signed_data, sizeof(signed_data));
	wrap(&w, 0x30, end);
	memset(out, 0, sizeof(*out));
	out->len = (uint32_t)(end - w.at);
	memcpy(out->der, w.at, out->len);
}
