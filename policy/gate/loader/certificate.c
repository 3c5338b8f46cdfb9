/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's form of a key: the X.509 certificate that add_key(2) wants, derived from the
 * public key alone (docs/formats.md section 7; verity/formats/pkcs7.py makes the same bytes).
 *
 * Nobody checks the signature in it. The key counts because of the keyring that it is put into.
 */
#include "load.h"

#include <string.h>

/* DER in pieces; only serial, key id and public key vary. */
static const uint8_t version[] = { 0xa0, 3, 2, 1, 2 };
const uint8_t der_ecdsa[] = { 0x30, 10,   6,    8,    0x2a, 0x86,
			      0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
const uint8_t der_issuer[] = { 0x30, 17,  0x31, 15,	0x30, 13,  6,	3,   0x55, 0x04,
			       0x03, 12,  6,	   'v', 'e',  'r', 'i', 't', 'y' };
/* 2020-01-01T00:00:00Z to 2049-12-31T23:59:59Z; sizeof counts the NUL, which is not copied */
static const char validity[] = "\x30\x1e\x17\x0d" "200101000000Z" "\x17\x0d" "491231235959Z";
static const uint8_t subject[] = { 0x30, 75, 0x31, 73, 0x30, 71, 6, 3, 0x55, 0x04, 0x03, 12, 64 };
/* BIT STRING { SEQUENCE { INTEGER 1, INTEGER 1 } } */
static const uint8_t nobody[] = { 3, 9, 0, 0x30, 6, 2, 1, 1, 2, 1, 1 };

struct writer {
	uint8_t *at;
};

static void put(struct writer *w, const void *data, size_t len)
{
	memcpy(w->at, data, len);
	w->at += len;
}

/* SEQUENCE of 128 to 511 bytes: what both of ours are, whatever the serial. */
static void sequence(struct writer *w, size_t len)
{
	if (len < 256) {
		const uint8_t head[] = { 0x30, 0x81, (uint8_t)len };

		put(w, head, sizeof(head));
	} else {
		const uint8_t head[] = { 0x30, 0x82, (uint8_t)(len >> 8), (uint8_t)len };

		put(w, head, sizeof(head));
	}
}

/* The first 16 bytes of the key id, the top bit cleared, as a DER INTEGER; its length. */
static size_t serial_number(const uint8_t key_id[VERITY_SHA256_SIZE], uint8_t out[18])
{
	uint8_t number[16];
	size_t skip = 0;

	memcpy(number, key_id, sizeof(number));
	number[0] &= 0x7f;
	/* Shortest form: no leading zero byte but where the next one would read as a sign. */
	while (skip < 15 && !number[skip] && !(number[skip + 1] & 0x80))
		skip++;
	out[0] = 2;
	out[1] = (uint8_t)(sizeof(number) - skip);
	memcpy(out + 2, number + skip, sizeof(number) - skip);
	return 2 + sizeof(number) - skip;
}

size_t certificate(const uint8_t key_id[VERITY_SHA256_SIZE],
		   const uint8_t spki[VERITY_SPKI_SIZE], uint8_t out[CERTIFICATE_MAX])
{
	static const char digits[] = "0123456789abcdef";
	struct writer w = { out };
	uint8_t serial[18], name[2 * VERITY_SHA256_SIZE];
	size_t serial_len = serial_number(key_id, serial);
	size_t inner = sizeof(version) + serial_len + sizeof(der_ecdsa) + sizeof(der_issuer) +
		       (sizeof(validity) - 1) + sizeof(subject) + sizeof(name) +
		       VERITY_SPKI_SIZE;
	size_t i;

	for (i = 0; i < VERITY_SHA256_SIZE; i++) {
		name[2 * i] = (uint8_t)digits[key_id[i] >> 4];
		name[2 * i + 1] = (uint8_t)digits[key_id[i] & 15];
	}
	sequence(&w, (inner < 256 ? 3 : 4) + inner + sizeof(der_ecdsa) + sizeof(nobody));
	sequence(&w, inner);
	put(&w, version, sizeof(version));
	put(&w, serial, serial_len);
	put(&w, der_ecdsa, sizeof(der_ecdsa));
	put(&w, der_issuer, sizeof(der_issuer));
	put(&w, validity, sizeof(validity) - 1);
	put(&w, subject, sizeof(subject));
	put(&w, name, sizeof(name));
	put(&w, spki, VERITY_SPKI_SIZE);
	put(&w, der_ecdsa, sizeof(der_ecdsa));
	put(&w, nobody, sizeof(nobody));
	return (size_t)(w.at - out);
}
