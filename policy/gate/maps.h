/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_MAPS_H
#define VERITY_MAPS_H
/*
 * The gate's memory. Under 32 MiB: 200,000 digests are 22.3 MiB (two serials of 100,000), the staging
 * area 5 MiB, revoked digests 0.8 MiB, elevations 0.5 MiB, guarded paths 128 KiB. Configuration paths
 * take 1 KiB each, and only as many as are granted; so do the places where guarded directories are.
 *
 * Rules:
 * - the loader writes `config`, `boot`, `keyrings`, `own_keys`, `own_ids` and `floors`, then freezes every
 *   map; programs still write a frozen map, descriptors no longer do;
 * - no descriptor of any of them is given out while the gate is loaded (lsm.s/bpf_map);
 * - what two programs may write at once is one aligned word;
 * - what happens when one is full stands in docs/threat-model.md.
 */
#include "config.h"
#include "kernel.h"

#define VERITY_CODE_CAPACITY 200000
#define VERITY_ELEVATE_CAPACITY 1024
#define VERITY_CONFIG_CAPACITY 8192
#define VERITY_ANCHORS 4096
#define VERITY_REVOKED_DIGESTS 8192
#define VERITY_REVOKED_KEYS 1024
#define VERITY_CELLS 4	 /* streams that may grant one digest */
#define VERITY_CONFIG_CELLS 2 /* streams that may grant one path */
#define VERITY_TUPLES 16 /* elevations of one digest, those being replaced included */

#define VERITY_ARRAY(map_name, value_type, entries) \
	struct { \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(max_entries, entries); \
		__type(key, __u32); \
		__type(value, value_type); \
	} map_name SEC(".maps")

#define VERITY_HASH(map_name, key_type, value_type, entries) \
	struct { \
		__uint(type, BPF_MAP_TYPE_HASH); \
		__uint(max_entries, entries); \
		__type(key, key_type); \
		__type(value, value_type); \
	} map_name SEC(".maps")

#define VERITY_TASK_STORAGE(map_name, value_type) \
	struct { \
		__uint(type, BPF_MAP_TYPE_TASK_STORAGE); \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__type(key, int); \
		__type(value, value_type); \
	} map_name SEC(".maps")

VERITY_ARRAY(config, struct verity_config, 1);
VERITY_ARRAY(boot, struct verity_boot, 1);
VERITY_ARRAY(keyrings, __u32, VERITY_KEYRINGS);
VERITY_HASH(own_keys, __u32, __u64, 512); /* serial -> address, remembered at its first use */
VERITY_HASH(own_ids, struct verity_id, __u32, 512);

struct stream_name {
	__u8 byte[VERITY_STREAM_SIZE];
};
/* The lowest serials that this host may take. Not signed, for it can only refuse. */
VERITY_HASH(floors, struct stream_name, __u64, VERITY_FLOORS);

/* --- what signed blobs said --------------------------------------------------------------- */

/* How a signature names its key: the serial of docs/formats.md section 7, 16 bytes, big-endian. */
struct signer {
	__u64 word[2];
};

/* The key of each owner that counted for a blob, zero for none: who is asked when one is revoked. */
struct signers {
	struct signer owner[VERITY_OWNERS];
};

struct party {
	__u64 version; /* of the keyring, 0: none yet */
	__u8 thresholds[VERITY_ROLES];
	struct signers signers; /* of the `keys` */
};
VERITY_ARRAY(parties, struct party, VERITY_PARTIES);

struct gate_policy {
	__u64 serial; /* 0: none yet */
	__u64 privileged_caps;
	__u32 mode;
	__u32 n_groups;
	__u32 n_streams;
	__u32 groups[VERITY_GROUPS];
	__u64 group_bits; /* group_bit of each */
	struct signers signers;
	__u32 n_guarded;
	__u32 requires; /* whether anything there must stay */
	__u32 observed_acts;
	__u64 observed_reasons;
	__u32 unlock_seconds[VERITY_SCOPES];
	__u8 unlock_owners[VERITY_SCOPES];
};
VERITY_ARRAY(policy, struct gate_policy, 1);

/* A policy names few groups, so of most ids the bit says it all. */
static __always_inline __u64 group_bit(__u32 gid)
{
	return 1ull << (gid & 63);
}

/*
 * As signed, sorted by path, so that it is searched as it is: a trie could neither be written nor
 * asked by a sleepable program (ADR 32). Of those whose bytes begin an entry's, `parent` is the
 * longest, by its index and one.
 */
struct guarded_place {
	__u8 path[VERITY_GUARDED_PATH_SIZE];
	__u8 file_class;
	__u8 match;
	__u16 parent; /* 0: none */
	__u16 len;
	__u8 flags;
	__u8 zero;
};
VERITY_ARRAY(guarded, struct guarded_place, VERITY_GUARDED);

/* A stream of the policy. What it grants is the half of each cell that `active` names. */
struct slot {
	__u64 serial; /* 0: nothing imported */
	__u32 active; /* 0 or 1 */
	__u8 party;
	__u8 role;
	__u8 dead; /* revoked: none of it counts */
	__u8 zero;
	__u8 name[VERITY_STREAM_SIZE];
	__u8 manifest[VERITY_SHA256_SIZE];
	__u64 lowest; /* serial that isn't revoked; 0: all count */
	struct signers signers;
};
VERITY_ARRAY(slots, struct slot, VERITY_STREAMS);

/*
 * A cell is what one stream grants for a digest: used, slot, flags of half 0, flags of half 1.
 * An import fills the half that isn't active, switches the slot with one store, and clears the
 * other half: at each instant a reader sees all of the old serial or all of the new one.
 */
#define CELL_USED 0x80000000u
#define CELL_SLOT(cell) ((cell) & 63)
#define CELL_SHIFT(half) ((half) ? 16 : 8)
#define CELL_FLAGS(cell, half) (((cell) >> CELL_SHIFT(half)) & VERITY_CODE_ALL)

struct digest {
	__u64 word[4];
};

struct cells {
	__u32 cell[VERITY_CELLS];
};
VERITY_HASH(code, struct digest, struct cells, VERITY_CODE_CAPACITY);

/* An elevation of a digest: the tuple, and a cell whose flags are 1 where it is granted. */
struct tuple {
	__u32 bits;
	__u32 uid;
	__u32 gid;
	__u32 cell;
	__u64 caps;
};

struct tuples {
	struct tuple tuple[VERITY_TUPLES];
};
VERITY_HASH(elevate, struct digest, struct tuples, VERITY_ELEVATE_CAPACITY);

/* A path, zero padded; with its length where that is at hand. */
struct path_key {
	__u64 word[VERITY_CONFIG_PATH_SIZE / 8];
};

/*
 * What a path is granted: a digest, zero padded, or the target of a symlink. The flags of a cell are
 * the kind, VERITY_CONFIG_*. Without memory of its own before it is used, unlike the others: most
 * hosts grant a few hundred.
 */
struct config_content {
	__u64 word[VERITY_CONFIG_TARGET_SIZE / 8];
};

struct config_cell {
	__u32 cell;
	__u32 zero;
	struct config_content half[2];
};

struct config_cells {
	struct config_cell of[VERITY_CONFIG_CELLS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, VERITY_CONFIG_CAPACITY);
	__type(key, struct path_key);
	__type(value, struct config_cells);
} config_grants SEC(".maps");

/* What is revoked, and the scopes (revoked.h) that it is revoked for. */
VERITY_HASH(revoked_digests, struct digest, __u32, VERITY_REVOKED_DIGESTS);
VERITY_HASH(revoked_keys, struct signer, __u32, VERITY_REVOKED_KEYS);

/* The last that this party and role revoked; indexed by party * VERITY_ROLES + role. */
struct revocation {
	__u64 serial; /* 0: nothing yet */
	__u64 issued;
};
#define VERITY_REVOKERS 32 /* a power of two that is enough */
VERITY_ARRAY(revocations, struct revocation, VERITY_REVOKERS);

/* --- what is known of inodes and tasks ---------------------------------------------------- */

struct inode_tag {
	__u64 cached; /* generation << 32 | granted flags, one store; 0: nothing */
	__u32 stale;  /* fs-verity was enabled under the gate, see VERITY_DIGEST_STALE */
	__u32 moved;  /* out of a guarded place */
};
struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct inode_tag);
} inodes SEC(".maps");

struct task_scratch {
	__u8 measured[72]; /* what bpf_get_fsverity_digest fills: u16, u16, digest */
	struct digest digest;
	__u64 in_verify; /* the gate itself is searching its keyrings in this task */
	__u64 pending;	 /* the file of an execve that is judged when it is mapped, see overlay.h */
	__u64 in_swapoff; /* the task is in that system call, see reach.h */
};
VERITY_TASK_STORAGE(tasks, struct task_scratch);

/* What the task maps counts as privileged, while its self_exec_id is this: see ids.h. */
VERITY_TASK_STORAGE(marks, __u64);

/* It runs an interpreter for a granted script, while its self_exec_id is this: see scripts.h. */
VERITY_TASK_STORAGE(scripts, __u64);

/*
 * A directory that is guarded or leads to what is, as it was before the seal: by number and not by
 * inode storage, which goes with the inode when memory is short.
 */
struct anchor_key {
	__u64 inode;
	__u32 device;
	__u32 generation;
};

struct anchor {
	struct path_key path; /* of the root: empty */
	__u32 len;
	__u32 leads; /* isn't signed itself, and leads to what is */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, VERITY_ANCHORS);
	__type(key, struct anchor_key);
	__type(value, struct anchor);
} anchors SEC(".maps");

/* What was allowed at a place, see guarded_known.h. */
#define KNOWN_NAME_WORDS 5

struct known {
	__u64 version; /* odd: it is being written */
	__u64 moves;   /* the kernel's counts of renames and mounts */
	__u64 told;    /* generation << 32 | time */
	__u64 root;    /* the mount that is the task's root */
	__u64 mount;   /* that it is seen by */
	__u64 folder;  /* of a file: the number of its directory */
	__u64 folder_generation;
	__u64 name[KNOWN_NAME_WORDS]; /* likewise, zero padded; of a directory: empty */
};
struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct known);
} knowns SEC(".maps");

#define VERITY_NAME_MAX 255u
#define VERITY_TRAIL_SIZE 2560 /* the longest path that is found out */

struct path_scratch {
	struct path_key seen, real;
	__u32 seen_len, real_len; /* of the whole path; real 0: there is none */
	__u64 dentry, mount; /* that are looked for; mount 0: by dentries alone */
	struct config_content content;
	struct anchor fresh;
	struct known known;
	__u8 text[VERITY_TRAIL_SIZE + VERITY_NAME_MAX + 1];
};
VERITY_TASK_STORAGE(paths, struct path_scratch);

/* --- unlocks ------------------------------------------------------------------------------ */

struct token_id {
	__u64 word[2];
};
/* What this boot has taken, by the id of the token: who puts one in first has it. */
VERITY_HASH(used_tokens, struct token_id, __u32, VERITY_UNLOCKS);

/* A token that was taken, in the order in which they were. The deadline is written last. */
struct unlock {
	__u64 until_ns;	   /* on the boot clock; 0: nothing was taken here yet */
	__u64 relocked_ns; /* 0: not */
	__u64 applied_ns;
	struct token_id id;
	__u32 scope;
	__u32 owners; /* a bit for each that signed */
	__u32 drill;  /* it opens nothing */
	__u32 operand_len; /* of a path */
	__u8 reason[VERITY_SHA256_SIZE];
	struct path_key operand; /* a path, or a digest, zero padded */
};
VERITY_ARRAY(unlocks, struct unlock, VERITY_UNLOCKS);

/* The place of the token that a task's session is for, and one. */
VERITY_TASK_STORAGE(session_tags, __u64);

/* --- denials ------------------------------------------------------------------------------ */

#define VERITY_PATH_SIZE 256

struct denial {
	__u64 number; /* from 1; 0: this place is empty, or being written */
	__u64 busy;   /* somebody is writing here */
	__u64 boot_ns;
	__u32 outcome; /* OUTCOME_* */
	__u32 reason;
	__u32 act;
	__u32 uid;
	__u32 pid;
	__u32 has_digest;
	__u8 digest[VERITY_SHA256_SIZE];
	char comm[16];
	char path[VERITY_PATH_SIZE]; /* NUL-terminated; empty: none */
};
#define OUTCOME_OBSERVED 0u
#define OUTCOME_DENIED 1u
#define OUTCOME_UNLOCKED 2u /* an unlock has let it through */
VERITY_ARRAY(denials, struct denial, VERITY_DENIALS);
VERITY_TASK_STORAGE(drafts, struct denial);

struct count {
	__u64 denied;
	__u64 observed;
	__u64 kept; /* the first record stands in its place */
	__u64 last_ns; /* when one that the policy has only observed was written down, see deny.h */
};
VERITY_ARRAY(counts, struct count, VERITY_REASONS);

/* --- uploads ------------------------------------------------------------------------------ */

struct upload {
	__u64 session;
	__u32 len;
	__u32 filled;
	__u8 part[VERITY_PART_SIZE];
	struct verity_signature signatures[VERITY_OWNERS];
	__u8 slack[256]; /* so that an offset into a signature can be bounded by a mask */
	struct signer at_hand;
	struct signers signers; /* that counted when these signatures were checked last */
	__u32 owners;		/* likewise, a bit each */
	__u32 operand_len;	/* of the token's path */
};
VERITY_TASK_STORAGE(uploads, struct upload);

struct staging {
	__u8 blob[VERITY_BLOB_MAX + VERITY_PART_SIZE];
};
VERITY_ARRAY(staging, struct staging, 1);

/* One word of each, changed by atomic operations only. */
struct control {
	__u64 upload;	    /* session << 2 | UPLOAD_* */
	__u64 sessions;	    /* how many there were */
	__u64 denials;	    /* likewise */
	__u64 generation;   /* of what is granted; starts at 1, so that a fresh tag is out of date */
	__u64 code_entries; /* in the map `code` */
	__u64 elevate_entries;
	__u64 config_entries; /* in the map `config_grants` */
	__u64 anchors;	     /* in the map of that name, before the seal */
	__u64 anchor_devices; /* a bit for the device of each, which others may share */
	__u64 anchors_lost;  /* directories for which there was no room, likewise */
	__u64 revoked_digests; /* in the map of that name */
	__u64 revoked_keys;
	__u64 newest_issued; /* of what was accepted, seconds since 1970 */
	__u64 census;	     /* session << CENSUS_BITS | foreign programs counted so far */
	__u64 foreign;	     /* programs that could change answers, when last counted */
	__u64 counted;	     /* they were counted to the end */
	__u64 sealed_ns;     /* when, on the boot clock; 0: not yet */
	__u64 unlocks;	     /* tokens that were taken */
	__u64 unlocked;	     /* the last one's place and one; 0: none of them is live */
	__u64 sessions_begun; /* tasks have tags */
	__u64 tainted;	     /* a token of the scope off was taken */
	__u64 put_off;	     /* the start of a file was, see overlay.h; never 0 again */
};
VERITY_ARRAY(control, struct control, 1);

#define CENSUS_BITS 24
#define CENSUS_MASK ((1ull << CENSUS_BITS) - 1)

#define UPLOAD_FREE 0ull
#define UPLOAD_OPEN 1ull
#define UPLOAD_WRITING 2ull
#define UPLOAD_COMMITTING 3ull

/* --- access ------------------------------------------------------------------------------- */

/* The one element of an array. Never NULL, which the verifier doesn't know. */
#define THE(map) \
	({ \
		__u32 zero_ = 0; \
		bpf_map_lookup_elem(&(map), &zero_); \
	})

/*
 * 0, or a negative errno up to 4095. A hook's answer must be in that range as the verifier sees it,
 * and it doesn't follow the negation that the compiler would use.
 */
static __always_inline int negative(__u32 number)
{
	__s64 result = 0;
	__u64 known = number & 4095;

	asm volatile("%0 -= %1" : "+r"(result) : "r"(known));
	return result;
}

static __always_inline __u32 gate_state(void)
{
	struct verity_config *found = THE(config);

	return found ? found->state : VERITY_STATE_OFF;
}

#endif
