/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_GATE_H
#define VERITY_GATE_H
/*
 * Bytes that cross into the kernel: the one header of the gate, its loader and the tests.
 *
 * Everything is little-endian, reserved bytes are zero and checked, arrays are sorted and
 * without duplicates, lengths are checked before use. A change here is a new kind (the 16
 * bytes that begin a blob), never a new meaning of an old one: hence the assertion on every
 * size and offset.
 */
#include <linux/types.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "these layouts are little-endian and are read in place"
#endif

/* What `status` prints first; raised with every change that userspace could notice. */
#define VERITY_GATE_VERSION 5

/* --- kinds: 0x93, ASCII, NUL to 16 bytes ------------------------------------------------
 * Split so that the hex escape ends. The compiler drops the last NUL where a kind fills all
 * 16 bytes, so compare VERITY_KIND_SIZE bytes, never strings. */
#define VERITY_KIND_SIZE 16
#define VERITY_KIND_KEYS "\x93" "verity-keys1\0\0\0"
#define VERITY_KIND_POLICY "\x93" "verity-policy1\0"
#define VERITY_KIND_REVOKE "\x93" "verity-revoke1\0"
#define VERITY_KIND_GRANTS "\x93" "verity-grants1\0"
#define VERITY_KIND_UNLOCK "\x93" "verity-unlock1\0"
/* Never handed to the gate: the loader reads it, and it is not signed. */
#define VERITY_KIND_PIN "\x93" "verity-pin1\0\0\0\0"

#define VERITY_SHA256_SIZE 32
#define VERITY_STREAM_SIZE 64

/* --- grants ----------------------------------------------------------------------------- */

/* flags of a code entry, and of flags_used in the header */
#define VERITY_CODE_EXEC 1u
#define VERITY_CODE_LIBRARY 2u
#define VERITY_CODE_MODULE 4u
#define VERITY_CODE_INTERPRETER 8u
#define VERITY_CODE_JIT 16u
#define VERITY_CODE_SCRIPT 32u
#define VERITY_CODE_ALL 63u

/* kinds of a config entry */
#define VERITY_CONFIG_FILE 1u
#define VERITY_CONFIG_SYMLINK 2u

#define VERITY_CONFIG_PATH_SIZE 256
#define VERITY_CONFIG_TARGET_SIZE 56

/* parties and roles, as in docs/formats.md section 5 */
#define VERITY_PARTY_VENDOR 1u
#define VERITY_PARTY_USER 2u
#define VERITY_ROLE_ROOT 1u
#define VERITY_ROLE_OS 2u
#define VERITY_ROLE_ETC 3u
#define VERITY_ROLE_EXTENSION 4u
#define VERITY_ROLE_POLICY 5u
#define VERITY_ROLE_UNLOCK 6u
#define VERITY_ROLE_EVIDENCE 7u

/* Parties and roles index arrays; 0 is neither. */
#define VERITY_PARTIES 3
#define VERITY_ROLES 8
/* Distinct owners in one role of one party; also the signatures that one call takes. */
#define VERITY_OWNERS 8

struct verity_grants_header {
	__u8 kind[VERITY_KIND_SIZE];
	__u32 header_len;
	__u32 total_len;
	__u8 party;
	__u8 role;
	__u16 zero0;
	__u32 flags_used;
	__u64 serial;
	__u64 issued;
	__u64 expires;
	__u8 stream[VERITY_STREAM_SIZE]; /* a-z 0-9 . _ -, zero padded */
	__u8 manifest[VERITY_SHA256_SIZE];
	__u32 n_code;
	__u32 n_elevate;
	__u32 n_config;
	__u32 zero1;
};

/* sorted by digest */
struct verity_code_entry {
	__u8 digest[VERITY_SHA256_SIZE];
	__u32 flags;
	__u32 zero;
};

/* sorted by digest, bits, uid, gid, caps */
struct verity_elevate_entry {
	__u8 digest[VERITY_SHA256_SIZE];
	__u16 bits;
	__u16 zero0;
	__u32 uid;
	__u32 gid;
	__u32 zero1;
	__u64 caps;
	__u64 zero2;
};

/* sorted by the bytes of the path */
struct verity_config_entry {
	__u8 path[VERITY_CONFIG_PATH_SIZE]; /* zero padded */
	__u32 kind;
	__u32 zero;
	__u8 digest[VERITY_SHA256_SIZE];	 /* zero for a symlink */
	__u8 target[VERITY_CONFIG_TARGET_SIZE]; /* zero for a file */
};

/* --- keys and pin ------------------------------------------------------------------------
 * One layout: a pin is a `keys` of another kind that holds the role root alone. */

#define VERITY_KEYS_MAX 64
#define VERITY_SPKI_SIZE 91 /* DER SubjectPublicKeyInfo of a P-256 key */

struct verity_keys_header {
	__u8 kind[VERITY_KIND_SIZE];
	__u32 header_len;
	__u32 total_len;
	__u8 party;
	__u8 zero0[3];
	__u32 n_keys;
	__u64 version; /* of the keyring that this is the projection of; 0 in a pin */
	__u64 issued;
	__u64 expires;
	__u8 thresholds[VERITY_ROLES]; /* distinct owners that must sign, by role; 0: no such role */
};

/* sorted by key id, so that no key has two roles */
struct verity_key_entry {
	__u8 key_id[VERITY_SHA256_SIZE]; /* SHA-256 of the SubjectPublicKeyInfo */
	__u8 role;
	__u8 owner; /* 0 to VERITY_OWNERS - 1, within the role */
	__u8 zero0[2];
	__u8 spki[VERITY_SPKI_SIZE];
	__u8 zero1;
};

/* --- policy ----------------------------------------------------------------------------- */

#define VERITY_MODE_OBSERVE 1u
#define VERITY_MODE_TRIAL 2u
#define VERITY_MODE_SEALED 3u

#define VERITY_STREAMS 64
#define VERITY_GROUPS 15
#define VERITY_GUARDED 512
#define VERITY_GUARDED_PATH_SIZE 248
#define VERITY_SCOPES 8 /* unlock scopes index arrays; 0 and 7 are none */
#define VERITY_UNLOCK_LONGEST 604800u /* seconds: a week */

/* acts, whose reasons VERITY_OBSERVABLE doesn't have */
#define VERITY_OBSERVED_USER_NAMESPACES 1u
#define VERITY_OBSERVED_PTRACE 2u
#define VERITY_OBSERVED_BPF_PROGRAMS 4u
#define VERITY_OBSERVED_TRACING 8u /* perf and kprobes */
#define VERITY_OBSERVED_BLOCK_DEVICES 16u
#define VERITY_OBSERVED_EXTENSION_MODULES 32u
#define VERITY_OBSERVED_ALL 63u

/* classes of a guarded path */
#define VERITY_CLASS_SIGNED 1u
#define VERITY_CLASS_MUTABLE 2u
#define VERITY_CLASS_PRODUCED 3u
#define VERITY_CLASS_IGNORED 4u

/* what a guarded path stands for; of several that match, the longest path counts */
#define VERITY_MATCH_TREE 1u   /* itself, and what is below it */
#define VERITY_MATCH_PREFIX 2u /* every path that begins with these bytes */

/* flags of one, of the class signed alone */
#define VERITY_GUARDED_REQUIRED 1u /* what grants put there is not taken away */

struct verity_policy_header {
	__u8 kind[VERITY_KIND_SIZE];
	__u32 header_len;
	__u32 total_len;
	__u8 mode;
	__u8 zero0[3];
	__u32 n_streams;
	__u64 serial;
	__u64 issued;
	__u64 expires;
	__u64 privileged_caps; /* capabilities that make a subject privileged */
	__u32 n_groups;
	__u32 groups[VERITY_GROUPS]; /* likewise groups, ascending; the rest zero */
	__u64 observed_reasons; /* a bit for each that is logged and not denied: VERITY_OBSERVABLE */
	__u32 observed_acts;	/* likewise VERITY_OBSERVED_* */
	__u32 n_guarded;
	__u32 unlock_seconds[VERITY_SCOPES]; /* by scope: the longest token; 0: none is taken */
	__u8 unlock_owners[VERITY_SCOPES];   /* at least so many sign; 0: as the keys say */
	__u64 zero1;
};

/* sorted by name */
struct verity_policy_stream {
	__u8 name[VERITY_STREAM_SIZE]; /* as in the grants header */
	__u8 party;
	__u8 role;
	__u8 zero[6];
};

/* behind the streams; sorted by the bytes of the path */
struct verity_guarded_entry {
	__u8 path[VERITY_GUARDED_PATH_SIZE]; /* absolute, zero padded, the last byte zero */
	__u8 file_class;
	__u8 match;
	__u8 flags; /* VERITY_GUARDED_* */
	__u8 zero[5];
};

/* --- revocations and floors ------------------------------------------------------------- */

#define VERITY_REVOKE_KEYS 256
#define VERITY_REVOKE_DIGESTS 4096
#define VERITY_REVOKE_STREAMS 64

/* The tables follow: key ids, digests, streams. */
struct verity_revoke_header {
	__u8 kind[VERITY_KIND_SIZE];
	__u32 header_len;
	__u32 total_len;
	__u8 party;
	__u8 role; /* root, or a role that grants */
	__u16 zero0;
	__u32 zero1;
	__u64 serial;
	__u64 issued;
	__u32 n_keys;
	__u32 n_digests;
	__u32 n_streams;
	__u32 zero2;
};

/* sorted by name */
struct verity_revoke_stream {
	__u8 name[VERITY_STREAM_SIZE]; /* as in the grants header */
	__u64 lowest;		       /* serial that still counts, 2 or more */
};

#define VERITY_FLOORS 64

/* An entry of the bundle's floors, sorted by stream. Not signed: the loader's to hand over. */
struct verity_floor {
	__u8 stream[VERITY_STREAM_SIZE]; /* likewise */
	__u64 serial;			 /* the lowest that the gate may take */
};

/* --- unlock ----------------------------------------------------------------------------- */

#define VERITY_UNLOCK_DIGEST 1u
#define VERITY_UNLOCK_PATH_PREFIX 2u
#define VERITY_UNLOCK_CONFIG_PATH 3u
#define VERITY_UNLOCK_SESSION 4u
#define VERITY_UNLOCK_OBSERVE_ONLY 5u
#define VERITY_UNLOCK_OFF 6u

/* Tokens that one boot takes; the next one is refused. */
#define VERITY_UNLOCKS 256
/* How far ahead of the boot clock a token may say that it must be applied before. */
#define VERITY_UNLOCK_AHEAD_S 86400u

#define VERITY_NONCE_SIZE 32
#define VERITY_TOKEN_ID_SIZE 16
#define VERITY_HOST_ID_SIZE 32
#define VERITY_OPERAND_SIZE 256

struct verity_unlock_token {
	__u8 kind[VERITY_KIND_SIZE];
	__u8 boot_nonce[VERITY_NONCE_SIZE];
	__u8 token_id[VERITY_TOKEN_ID_SIZE];
	__u8 host_id[VERITY_HOST_ID_SIZE];
	__u64 policy_serial;
	__u32 scope;
	__u32 duration_s; /* 0: a drill, which is verified and used up and opens nothing */
	__u64 apply_before_s; /* on the boot clock */
	__u8 reason[VERITY_SHA256_SIZE];
	__u8 operand[VERITY_OPERAND_SIZE]; /* a digest, or one path */
	__u64 zero;
};

/* --- calls into the gate: bpf(VERITY_COMMAND(n), request) --------------------------------
 * EINVAL means that there is no gate; VERITY_ACCEPTED that the gate took it; the numbers up
 * to VERITY_REFUSED_LAST each name one refusal. */
#define VERITY_COMMAND_BASE 0x56524954
#define VERITY_COMMAND(n) (VERITY_COMMAND_BASE + (n))
#define VERITY_COMMAND_BEGIN 0
#define VERITY_COMMAND_PUT 1
#define VERITY_COMMAND_COMMIT 2
#define VERITY_COMMAND_UNLOCK 3
#define VERITY_COMMAND_SEAL 4
#define VERITY_COMMAND_ENTER 5
#define VERITY_COMMAND_RELOCK 6

#define VERITY_ACCEPTED 3000
#define VERITY_REFUSED_FIRST 3001
#define VERITY_REFUSED_LAST 3099

/* the call */
#define VERITY_REFUSED_PERMISSION 3001 /* needs CAP_SYS_ADMIN in the initial user namespace */
#define VERITY_REFUSED_REQUEST 3002	/* size, version or a length of the request is wrong */
#define VERITY_REFUSED_MEMORY 3003	/* the caller's memory can't be read */
#define VERITY_REFUSED_BUSY 3004	/* another upload is being committed */
#define VERITY_REFUSED_NO_UPLOAD 3005	/* put or commit without a begin of this thread's own */
#define VERITY_REFUSED_NO_ROOM 3006	/* the gate got no memory for this thread */
#define VERITY_REFUSED_SEALED 3007	/* only before the seal */
#define VERITY_REFUSED_ORDER 3008	/* keys come before policy, policy before all others */
#define VERITY_REFUSED_UNSUPPORTED 3009 /* a kind or command of another version */
/* the blob */
#define VERITY_REFUSED_KIND 3010	/* not a kind of ours */
#define VERITY_REFUSED_HEADER 3011	/* lengths, reserved bytes or numbers of the header */
#define VERITY_REFUSED_PARTY_ROLE 3012	/* this party or role may not sign this */
#define VERITY_REFUSED_STREAM 3013	/* the policy names no such stream of this party and role */
#define VERITY_REFUSED_SERIAL 3014	/* not newer than what the gate has */
#define VERITY_REFUSED_EQUIVOCATION 3015 /* the same serial with other contents */
#define VERITY_REFUSED_EXPIRED 3016
#define VERITY_REFUSED_UNSORTED 3017	/* a table isn't sorted, or has something twice */
#define VERITY_REFUSED_FLAGS 3018	/* unknown flags, or more than the role may grant */
#define VERITY_REFUSED_TABLE 3019	/* a table that this role may not fill */
#define VERITY_REFUSED_ENTRY 3020	/* an entry that no blob may hold */
#define VERITY_REFUSED_FULL 3021	/* more digests than the gate has room for */
#define VERITY_REFUSED_TUPLES 3022	/* more elevations of one digest than it can hold */
#define VERITY_REFUSED_FIFTH_STREAM 3023 /* four other streams hold this digest already */
#define VERITY_REFUSED_FLOOR 3024	/* older than the host's floor of this stream */
#define VERITY_REFUSED_REVOKED_SERIAL 3025 /* a serial that was revoked */
#define VERITY_REFUSED_THIRD_STREAM 3026 /* two other streams grant this configuration path already */
#define VERITY_REFUSED_PATHS 3027	/* more configuration paths than the gate has room for */
/* the signatures */
#define VERITY_REFUSED_TEMPLATE 3030	/* not the one PKCS#7 template */
#define VERITY_REFUSED_NO_KEYS 3031	/* the gate has no keys of this party and role */
#define VERITY_REFUSED_THRESHOLD 3032	/* fewer distinct owners signed than must */
#define VERITY_REFUSED_REVOKED_KEY 3033	/* likewise, without the keys that are revoked */
/* the seal */
#define VERITY_REFUSED_NOT_READY 3040	/* no keys, no policy or no grants yet */
#define VERITY_REFUSED_FOREIGN_PROGRAM 3041 /* a program that could change answers is loaded */
#define VERITY_REFUSED_MODE 3042	/* the signed policy doesn't say sealed */
/* enter */
#define VERITY_REFUSED_NOT_BOOTING 3043 /* no initramfs loaded it, or the root was entered already */
/* the unlock */
#define VERITY_REFUSED_NOT_SEALED 3050	/* nothing to unlock: it isn't sealed */
#define VERITY_REFUSED_NONCE 3051	/* for another boot, of this host or another */
#define VERITY_REFUSED_HOST 3052	/* for another host */
#define VERITY_REFUSED_POLICY_SERIAL 3053 /* for another policy than the one that the gate has */
#define VERITY_REFUSED_SCOPE 3054	/* no scope of ours, or one that the policy never opens */
#define VERITY_REFUSED_OPERAND 3055	/* not what the scope wants, or of the trust files */
#define VERITY_REFUSED_DURATION 3056	/* longer than the policy allows for this scope */
#define VERITY_REFUSED_APPLY_BEFORE 3057 /* the boot clock is past it */
#define VERITY_REFUSED_APPLY_AHEAD 3058 /* it could be applied for more than a day */
#define VERITY_REFUSED_USED 3059	/* this token was taken before */
#define VERITY_REFUSED_USED_FULL 3060	/* so many tokens were taken in this boot */
#define VERITY_REFUSED_NO_UNLOCK 3061	/* no live token has this id */

#define VERITY_REQUEST_VERSION 1

struct verity_request {
	__u32 size; /* of this request, 32 */
	__u32 version;
	__u64 data; /* put: a pointer to `len` bytes; unlock: to the token; relock: to an id, or 0 */
	__u32 len;  /* begin: of the whole blob; put: of this part; unlock, relock: of data */
	__u32 nsig;
	__u64 sigs; /* commit, unlock: a pointer to `nsig` struct verity_signature */
};

/* A blob comes in parts, in order, each at most this long. */
#define VERITY_PART_SIZE 32768
/* A longer blob is refused: 120,000 code entries and some. */
#define VERITY_BLOB_MAX (5 * 1024 * 1024)

#define VERITY_DER_SIZE 252

struct verity_signature {
	__u32 len;
	__u8 der[VERITY_DER_SIZE]; /* PKCS#7, zero padded */
};

/* --- boot bundle: records, in the order of their numbers, each signature behind its blob ----
 * Floors have no signature: they are a table of struct verity_floor and nothing else. */

#define VERITY_RECORD_KEYS 1u
#define VERITY_RECORD_POLICY 2u
#define VERITY_RECORD_REVOKE 3u
#define VERITY_RECORD_GRANTS 4u
#define VERITY_RECORD_FLOORS 5u
#define VERITY_RECORD_UNLOCK 6u /* of a file by itself: no bundle has one */
#define VERITY_RECORD_SIGNATURE 16u /* a PKCS#7 over the blob before it */
#define VERITY_BUNDLE_MAX (64u * 1024 * 1024)

struct verity_record {
	__u32 kind;
	__u32 len; /* of the bytes that follow, without padding */
};

/* --- pinned ----------------------------------------------------------------------------- */

#define VERITY_SIZE_IS(type, size) \
	_Static_assert(sizeof(struct type) == (size), "size of struct " #type)
#define VERITY_AT(type, field, offset) \
	_Static_assert(__builtin_offsetof(struct type, field) == (offset), #type "." #field)

_Static_assert(sizeof(VERITY_KIND_KEYS) == VERITY_KIND_SIZE + 1, "kind keys");
_Static_assert(sizeof(VERITY_KIND_POLICY) == VERITY_KIND_SIZE + 1, "kind policy");
_Static_assert(sizeof(VERITY_KIND_REVOKE) == VERITY_KIND_SIZE + 1, "kind revoke");
_Static_assert(sizeof(VERITY_KIND_GRANTS) == VERITY_KIND_SIZE + 1, "kind grants");
_Static_assert(sizeof(VERITY_KIND_UNLOCK) == VERITY_KIND_SIZE + 1, "kind unlock");
_Static_assert(sizeof(VERITY_KIND_PIN) == VERITY_KIND_SIZE + 1, "kind pin");

VERITY_SIZE_IS(verity_grants_header, 168);
VERITY_AT(verity_grants_header, kind, 0);
VERITY_AT(verity_grants_header, header_len, 16);
VERITY_AT(verity_grants_header, total_len, 20);
VERITY_AT(verity_grants_header, party, 24);
VERITY_AT(verity_grants_header, role, 25);
VERITY_AT(verity_grants_header, zero0, 26);
VERITY_AT(verity_grants_header, flags_used, 28);
VERITY_AT(verity_grants_header, serial, 32);
VERITY_AT(verity_grants_header, issued, 40);
VERITY_AT(verity_grants_header, expires, 48);
VERITY_AT(verity_grants_header, stream, 56);
VERITY_AT(verity_grants_header, manifest, 120);
VERITY_AT(verity_grants_header, n_code, 152);
VERITY_AT(verity_grants_header, n_elevate, 156);
VERITY_AT(verity_grants_header, n_config, 160);
VERITY_AT(verity_grants_header, zero1, 164);

VERITY_SIZE_IS(verity_code_entry, 40);
VERITY_AT(verity_code_entry, digest, 0);
VERITY_AT(verity_code_entry, flags, 32);
VERITY_AT(verity_code_entry, zero, 36);

VERITY_SIZE_IS(verity_elevate_entry, 64);
VERITY_AT(verity_elevate_entry, digest, 0);
VERITY_AT(verity_elevate_entry, bits, 32);
VERITY_AT(verity_elevate_entry, zero0, 34);
VERITY_AT(verity_elevate_entry, uid, 36);
VERITY_AT(verity_elevate_entry, gid, 40);
VERITY_AT(verity_elevate_entry, zero1, 44);
VERITY_AT(verity_elevate_entry, caps, 48);
VERITY_AT(verity_elevate_entry, zero2, 56);

VERITY_SIZE_IS(verity_config_entry, 352);
VERITY_AT(verity_config_entry, path, 0);
VERITY_AT(verity_config_entry, kind, 256);
VERITY_AT(verity_config_entry, zero, 260);
VERITY_AT(verity_config_entry, digest, 264);
VERITY_AT(verity_config_entry, target, 296);

VERITY_SIZE_IS(verity_unlock_token, 416);
VERITY_AT(verity_unlock_token, kind, 0);
VERITY_AT(verity_unlock_token, boot_nonce, 16);
VERITY_AT(verity_unlock_token, token_id, 48);
VERITY_AT(verity_unlock_token, host_id, 64);
VERITY_AT(verity_unlock_token, policy_serial, 96);
VERITY_AT(verity_unlock_token, scope, 104);
VERITY_AT(verity_unlock_token, duration_s, 108);
VERITY_AT(verity_unlock_token, apply_before_s, 112);
VERITY_AT(verity_unlock_token, reason, 120);
VERITY_AT(verity_unlock_token, operand, 152);
VERITY_AT(verity_unlock_token, zero, 408);

VERITY_SIZE_IS(verity_request, 32);
VERITY_AT(verity_request, size, 0);
VERITY_AT(verity_request, version, 4);
VERITY_AT(verity_request, data, 8);
VERITY_AT(verity_request, len, 16);
VERITY_AT(verity_request, nsig, 20);
VERITY_AT(verity_request, sigs, 24);

VERITY_SIZE_IS(verity_keys_header, 64);
VERITY_AT(verity_keys_header, kind, 0);
VERITY_AT(verity_keys_header, header_len, 16);
VERITY_AT(verity_keys_header, total_len, 20);
VERITY_AT(verity_keys_header, party, 24);
VERITY_AT(verity_keys_header, zero0, 25);
VERITY_AT(verity_keys_header, n_keys, 28);
VERITY_AT(verity_keys_header, version, 32);
VERITY_AT(verity_keys_header, issued, 40);
VERITY_AT(verity_keys_header, expires, 48);
VERITY_AT(verity_keys_header, thresholds, 56);

VERITY_SIZE_IS(verity_key_entry, 128);
VERITY_AT(verity_key_entry, key_id, 0);
VERITY_AT(verity_key_entry, role, 32);
VERITY_AT(verity_key_entry, owner, 33);
VERITY_AT(verity_key_entry, zero0, 34);
VERITY_AT(verity_key_entry, spki, 36);
VERITY_AT(verity_key_entry, zero1, 127);

VERITY_SIZE_IS(verity_policy_header, 192);
VERITY_AT(verity_policy_header, kind, 0);
VERITY_AT(verity_policy_header, header_len, 16);
VERITY_AT(verity_policy_header, total_len, 20);
VERITY_AT(verity_policy_header, mode, 24);
VERITY_AT(verity_policy_header, zero0, 25);
VERITY_AT(verity_policy_header, n_streams, 28);
VERITY_AT(verity_policy_header, serial, 32);
VERITY_AT(verity_policy_header, issued, 40);
VERITY_AT(verity_policy_header, expires, 48);
VERITY_AT(verity_policy_header, privileged_caps, 56);
VERITY_AT(verity_policy_header, n_groups, 64);
VERITY_AT(verity_policy_header, groups, 68);
VERITY_AT(verity_policy_header, observed_reasons, 128);
VERITY_AT(verity_policy_header, observed_acts, 136);
VERITY_AT(verity_policy_header, n_guarded, 140);
VERITY_AT(verity_policy_header, unlock_seconds, 144);
VERITY_AT(verity_policy_header, unlock_owners, 176);
VERITY_AT(verity_policy_header, zero1, 184);

VERITY_SIZE_IS(verity_policy_stream, 72);
VERITY_AT(verity_policy_stream, name, 0);
VERITY_AT(verity_policy_stream, party, 64);
VERITY_AT(verity_policy_stream, role, 65);
VERITY_AT(verity_policy_stream, zero, 66);

VERITY_SIZE_IS(verity_revoke_header, 64);
VERITY_AT(verity_revoke_header, kind, 0);
VERITY_AT(verity_revoke_header, header_len, 16);
VERITY_AT(verity_revoke_header, total_len, 20);
VERITY_AT(verity_revoke_header, party, 24);
VERITY_AT(verity_revoke_header, role, 25);
VERITY_AT(verity_revoke_header, zero0, 26);
VERITY_AT(verity_revoke_header, zero1, 28);
VERITY_AT(verity_revoke_header, serial, 32);
VERITY_AT(verity_revoke_header, issued, 40);
VERITY_AT(verity_revoke_header, n_keys, 48);
VERITY_AT(verity_revoke_header, n_digests, 52);
VERITY_AT(verity_revoke_header, n_streams, 56);
VERITY_AT(verity_revoke_header, zero2, 60);

VERITY_SIZE_IS(verity_revoke_stream, 72);
VERITY_AT(verity_revoke_stream, name, 0);
VERITY_AT(verity_revoke_stream, lowest, 64);

VERITY_SIZE_IS(verity_floor, 72);
VERITY_AT(verity_floor, stream, 0);
VERITY_AT(verity_floor, serial, 64);

VERITY_SIZE_IS(verity_guarded_entry, 256);
VERITY_AT(verity_guarded_entry, path, 0);
VERITY_AT(verity_guarded_entry, file_class, 248);
VERITY_AT(verity_guarded_entry, match, 249);
VERITY_AT(verity_guarded_entry, flags, 250);
VERITY_AT(verity_guarded_entry, zero, 251);

VERITY_SIZE_IS(verity_signature, 256);
VERITY_AT(verity_signature, len, 0);
VERITY_AT(verity_signature, der, 4);

VERITY_SIZE_IS(verity_record, 8);
VERITY_AT(verity_record, kind, 0);
VERITY_AT(verity_record, len, 4);

#endif
