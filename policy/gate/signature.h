/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_SIGNATURE_H
#define VERITY_SIGNATURE_H
/*
 * Who signed a blob: the one PKCS#7 template, then the kernel's verification, then a count of
 * owners.
 *
 * The kernel's own idea of a good PKCS#7 is too wide: one signer of several is enough, embedded
 * certificates are followed, attributes are signed instead of the data. So every byte but lengths,
 * serial and signature value is compared with docs/formats.md section 7 first.
 *
 * Each signature is tried against the keyring of each owner, a keyring of its own; owners are
 * counted, not signatures. A key that is revoked counts for nobody: the template names it, and the
 * kernel looks the key up by that name.
 */
#include "object.h"

/* The calling thread's, if it has one. */
static __always_inline struct upload *own_upload(void)
{
	return bpf_task_storage_get(&uploads, bpf_get_current_task_btf(), 0, 0);
}

/* The template up to the serial's length; lengths are zero here and checked apart. */
static const __u8 before_serial[] = {
	0x30, 0x81, 0x00, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02,
	0xa0, 0x81, 0x00, 0x30, 0x81, 0x00, 0x02, 0x01, 0x01, 0x31, 0x0d, 0x30, 0x0b, 0x06,
	0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x30, 0x0b, 0x06, 0x09,
	0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01, 0x31, 0x81, 0x00, 0x30, 0x81,
	0x00, 0x02, 0x01, 0x01, 0x30, 0x00, 0x30, 0x11, 0x31, 0x0f, 0x30, 0x0d, 0x06, 0x03,
	0x55, 0x04, 0x03, 0x0c, 0x06, 0x76, 0x65, 0x72, 0x69, 0x74, 0x79, 0x02};
/* From the serial's end to the length of the signature value. */
static const __u8 after_serial[] = {0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65,
				    0x03, 0x04, 0x02, 0x01, 0x30, 0x0a, 0x06, 0x08, 0x2a,
				    0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02, 0x04};
#define SERIAL_LEN_AT sizeof(before_serial)
#define SERIAL_AT (SERIAL_LEN_AT + 1)
#define SERIAL_MAX 16
#define INTEGER_MAX 33 /* of a P-256 signature, DER */

static __always_inline int is_length(int at)
{
	return at == 2 || at == 16 || at == 19 || at == 53 || at == 56 || at == 61;
}

/* Whether a DER INTEGER of `len` bytes is positive and in its shortest form. */
static __always_inline int is_shortest(__u8 len, __u8 first, __u8 second)
{
	return len && !(first & 0x80) && (len == 1 || first || (second & 0x80));
}

/* Whether these bytes are the template; any doubt is a no. */
static __noinline int is_template(const struct verity_signature *signature)
{
	const __u8 *der;
	__u32 len, serial, value, at;
	__u8 r, s;

	if (!signature)
		return 0;
	der = signature->der;
	len = signature->len;
	if (len > VERITY_DER_SIZE || len < SERIAL_AT)
		return 0;
	for (int i = 0; i < (int)sizeof(before_serial); i++)
		if (!is_length(i) && der[i] != before_serial[i])
			return 0;
	serial = der[SERIAL_LEN_AT];
	if (serial < 1 || serial > SERIAL_MAX ||
	    !is_shortest(serial, der[SERIAL_AT], der[SERIAL_AT + 1]))
		return 0;
	at = SERIAL_AT + serial;
	for (int i = 0; i < (int)sizeof(after_serial); i++)
		if (der[(at + i) & 0xff] != after_serial[i])
			return 0;
	at += sizeof(after_serial);
	value = der[at & 0xff];
	at++;
	if (len != at + value || der[2] != (__u8)(len - 3) || der[16] != (__u8)(len - 17) ||
	    der[19] != (__u8)(len - 20) || der[53] != (__u8)(len - 54) ||
	    der[56] != (__u8)(len - 57) || der[61] != (__u8)(21 + serial) || len - 57 < 0x80)
		return 0;
	if (der[at & 0xff] != 0x30 || der[(at + 1) & 0xff] != (__u8)(value - 2) ||
	    der[(at + 2) & 0xff] != 0x02)
		return 0;
	r = der[(at + 3) & 0xff];
	if (r > INTEGER_MAX || !is_shortest(r, der[(at + 4) & 0xff], der[(at + 5) & 0xff]))
		return 0;
	if (der[(at + 4 + r) & 0xff] != 0x02)
		return 0;
	s = der[(at + 5 + r) & 0xff];
	if (s > INTEGER_MAX ||
	    !is_shortest(s, der[(at + 6 + r) & 0xff], der[(at + 7 + r) & 0xff]))
		return 0;
	return value == 6u + r + s;
}

/* How the signature names its key; it must be the template. */
static __noinline void read_signer(const struct verity_signature *signature, struct signer *out)
{
	__u8 *byte = (__u8 *)out;
	__u32 len = signature->der[SERIAL_LEN_AT];

	for (__u32 i = 0; i < SERIAL_MAX; i++) {
		__u32 behind = SERIAL_MAX - 1 - i;

		byte[i] = behind < len ?
				  signature->der[SERIAL_AT + ((len - 1 - behind) & (SERIAL_MAX - 1))] :
				  0;
	}
}

/* --- the kernel's verification ------------------------------------------------------------ */

struct verification {
	struct upload *upload;
	struct task_scratch *scratch;
	__u32 keyring; /* the first owner's index in `keyrings` */
	__u32 nsig;
	__u32 owners;  /* a bit each: who signed */
	__u32 known;   /* a bit each: who has a keyring */
	__u32 revoked; /* somebody signed with a key that is revoked */
	__u32 is_token; /* what was signed is a token, in upload->part */
};

/*
 * Whether the key is the one that this serial meant first: serials come round. What a serial means
 * is remembered until the seal, which remembers all (remember_keyrings).
 */
static __always_inline int is_same_key(__u32 serial, const struct key *key)
{
	__u64 *address = bpf_map_lookup_elem(&own_keys, &serial);

	if (!address)
		return 0;
	if (!*address && gate_state() < VERITY_STATE_SEALED)
		*address = (__u64)key;
	return *address == (__u64)key;
}

static long remember_keyring(__u32 index, void *unused)
{
	__u32 *serial = bpf_map_lookup_elem(&keyrings, &index);
	struct bpf_key *keyring;

	if (!serial || !*serial)
		return 0;
	keyring = bpf_lookup_user_key(*serial, 0);
	if (!keyring)
		return 0;
	is_same_key(*serial, keyring->key);
	bpf_key_put(keyring);
	return 0;
}

static __always_inline void remember_keyrings(void)
{
	bpf_loop(VERITY_KEYRINGS, remember_keyring, NULL, 0);
}

/* One signature against one owner's keyring. */
static long try_signature(__u32 index, struct verification *all)
{
	__u32 owner = index & (VERITY_OWNERS - 1), number = index / VERITY_OWNERS;
	__u32 place = all->keyring + owner;
	struct upload *upload;
	struct task_scratch *scratch;
	struct staging *staged = THE(staging);
	__u32 *serial = bpf_map_lookup_elem(&keyrings, &place);
	struct bpf_dynptr data, signature;
	struct bpf_key *keyring;
	__u32 len, size;
	int failed = 1;

	if (number >= all->nsig || !staged)
		return 1;
	upload = own_upload();
	scratch = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);
	if (!upload || !scratch)
		return 1;
	if (!serial || !*serial)
		return 0;
	all->known |= 1u << owner;
	if (all->owners & (1u << owner))
		return 0;
	len = upload->len;
	size = upload->signatures[number & (VERITY_OWNERS - 1)].len;
	if (len > VERITY_BLOB_MAX || size > VERITY_DER_SIZE)
		return 1;
	keyring = bpf_lookup_user_key(*serial, 0);
	if (!keyring)
		return 0;
	if (is_same_key(*serial, keyring->key)) {
		if (all->is_token)
			bpf_dynptr_from_mem(upload->part, sizeof(struct verity_unlock_token), 0,
					    &data);
		else
			bpf_dynptr_from_mem(staged->blob, len, 0, &data);
		bpf_dynptr_from_mem(upload->signatures[number & (VERITY_OWNERS - 1)].der, size, 0,
				    &signature);
		scratch->in_verify = 1;
		failed = bpf_verify_pkcs7_signature(&data, &signature, keyring);
		scratch->in_verify = 0;
	}
	bpf_key_put(keyring);
	if (failed)
		return 0;
	read_signer(&upload->signatures[number & (VERITY_OWNERS - 1)], &upload->at_hand);
	if (is_revoked_key(&upload->at_hand, 1u << (all->keyring / VERITY_OWNERS & 31))) {
		all->revoked = 1;
		return 0;
	}
	all->owners |= 1u << owner;
	upload->signers.owner[owner] = upload->at_hand;
	return 0;
}

/*
 * Whether enough distinct owners of this role signed the staged blob, or the token: 0 or a refusal.
 *
 * 1. Every signature is the template.
 * 2. Each is tried against each owner's keyring.
 * 3. The owners are counted. What they signed with is in upload->signers afterwards.
 *
 * Global, as what calls it: the kernel's verifier looks through each of these once, and not once for
 * each way that leads there.
 */
__noinline int check_signatures_over(__u32 is_token, __u32 nsig, __u32 party, __u32 role,
				     __u32 threshold)
{
	struct verification all = {.keyring = VERITY_KEYRING(party, role, 0),
				   .nsig = nsig,
				   .is_token = is_token};
	struct upload *upload = own_upload();
	__u32 count = 0;

	if (!threshold)
		return VERITY_REFUSED_NO_KEYS;
	if (!upload || !task_scratch())
		return VERITY_REFUSED_NO_ROOM;
	/* 1. */
	for (__u32 i = 0; i < VERITY_OWNERS; i++)
		if (i < nsig && !is_template(&upload->signatures[i]))
			return VERITY_REFUSED_TEMPLATE;
	/* 2. */
	__builtin_memset(&upload->signers, 0, sizeof(upload->signers));
	bpf_loop(VERITY_OWNERS * VERITY_OWNERS, try_signature, &all, 0);
	if (!all.known)
		return VERITY_REFUSED_NO_KEYS;
	/* 3. */
	for (int i = 0; i < VERITY_OWNERS; i++)
		count += all.owners >> i & 1;
	upload->owners = all.owners;
	if (count >= threshold)
		return 0;
	return all.revoked ? VERITY_REFUSED_REVOKED_KEY : VERITY_REFUSED_THRESHOLD;
}

static __always_inline int check_signatures(__u32 nsig, __u32 party, __u32 role, __u32 threshold)
{
	return check_signatures_over(0, nsig, party, role, threshold);
}

#endif
