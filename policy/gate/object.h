/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_OBJECT_H
#define VERITY_OBJECT_H
/*
 * What is known of a file: its fs-verity digest, asked of the kernel, and what is granted to it.
 *
 * A grant that was found is kept at the inode with the generation of the tables: contents with
 * fs-verity can't change, so only a change of the tables can make it wrong. Nothing else is kept,
 * and what could not be found out is never taken for a grant.
 */
#include "boot.h"
#include "revoked.h"

static __always_inline __u64 generation(void)
{
	struct control *all = THE(control);

	return all ? all->generation : 0;
}

/* What counts of it; `revoked` is set if anything doesn't any more. */
static __always_inline __u32 granted_flags(const struct digest *digest, __u32 *revoked)
{
	struct cells *cells = bpf_map_lookup_elem(&code, digest);
	__u32 scopes = revoked_digest(digest), flags = 0;

	if (scopes)
		*revoked = 1;
	if (!cells)
		return 0;
	for (int i = 0; i < VERITY_CELLS; i++) {
		__u32 cell = cells->cell[i];
		__u32 number = CELL_SLOT(cell);
		struct slot *slot;

		if (!(cell & CELL_USED))
			continue;
		slot = bpf_map_lookup_elem(&slots, &number);
		if (!slot || !CELL_FLAGS(cell, slot->active))
			continue;
		if (is_dead(slot, scopes))
			*revoked = 1;
		else
			flags |= CELL_FLAGS(cell, slot->active);
	}
	return flags;
}

/*
 * The kernel's digest of a file into the task's scratch: VERITY_DIGEST_*. Not inlined, so that the
 * compiler puts nothing else where the dynptr is, which the verifier refuses.
 */
static __noinline __u32 measure(struct file *file, struct task_scratch *scratch)
{
	struct bpf_dynptr buffer;
	const __u16 *head = (const void *)scratch->measured;

	bpf_dynptr_from_mem(scratch->measured, sizeof(scratch->measured), 0, &buffer);
	if (bpf_get_fsverity_digest(file, &buffer) < 0)
		return VERITY_DIGEST_NONE;
	if (head[0] != FS_VERITY_HASH_ALG_SHA256 || head[1] != VERITY_SHA256_SIZE)
		return VERITY_DIGEST_OTHER;
	/* The digest stands at offset 4: a key of the map is aligned. */
	__builtin_memcpy(&scratch->digest, scratch->measured + 4, sizeof(scratch->digest));
	return VERITY_DIGEST_KNOWN;
}

static __always_inline struct task_scratch *task_scratch(void)
{
	return bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/*
 * Whether the inode is known to be granted this use, and none of `but`, about which there are further
 * questions. That is allowed to everybody, so a hook may ask it before it looks at the subject: it is
 * the usual case and the cheapest.
 */
static __always_inline int is_granted(struct inode *inode, __u32 use, __u32 but)
{
	struct inode_tag *tag = bpf_inode_storage_get(&inodes, inode, 0, 0);

	return tag && (tag->cached & use) && !(tag->cached & but) && !tag->stale &&
	       tag->cached >> 32 == (generation() & 0xffffffff);
}

/* Whether the file is what the task was started as. */
static __always_inline __u32 is_own_program(struct inode *inode)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return BPF_CORE_READ(task, mm, exe_file, f_inode) == inode;
}

/* Fills in what the decision wants to know of a file. */
static __always_inline void know_file(struct file *file, struct verity_facts *facts)
{
	struct inode_tag *tag = bpf_inode_storage_get(&inodes, file->f_inode, 0, 0);
	/* Read before the tables: a switch in between makes what is kept below out of date. */
	__u64 now = generation();
	struct task_scratch *scratch;

	if (is_initial(file->f_inode)) {
		facts->digest = VERITY_DIGEST_KNOWN;
		facts->granted = VERITY_CODE_ALL & ~VERITY_CODE_INTERPRETER;
		return;
	}
	if (tag && tag->cached >> 32 == (now & 0xffffffff) && !tag->stale) {
		facts->digest = VERITY_DIGEST_KNOWN;
		facts->granted = tag->cached & VERITY_CODE_ALL;
		return;
	}
	facts->digest = ~0u; /* undecided */
	scratch = task_scratch();
	if (!scratch)
		return;
	facts->digest = measure(file, scratch);
	if (facts->digest != VERITY_DIGEST_KNOWN)
		return;
	/* Again: fs-verity may have been enabled meanwhile, and the mark comes before the digest. */
	tag = bpf_inode_storage_get(&inodes, file->f_inode, 0, 0);
	if (tag && tag->stale) {
		facts->digest = VERITY_DIGEST_STALE;
		return;
	}
	facts->granted = granted_flags(&scratch->digest, &facts->revoked);
	if (!facts->granted)
		return;
	tag = bpf_inode_storage_get(&inodes, file->f_inode, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (tag)
		tag->cached = now << 32 | facts->granted;
}

/* --- raising privileges ------------------------------------------------------------------- */

#define S_ISUID 04000
#define S_ISGID 02000

/* What an execve adds, in the initial user namespace. */
struct effect {
	__u32 uid_changes;
	__u32 gid_changes;
	__u32 uid;
	__u32 gid;
	__u64 caps;
};

static __always_inline int covers(const struct tuple *tuple, const struct effect *effect)
{
	if (effect->uid_changes && (!(tuple->bits & S_ISUID) || tuple->uid != effect->uid))
		return 0;
	if (effect->gid_changes && (!(tuple->bits & S_ISGID) || tuple->gid != effect->gid))
		return 0;
	/* A set-uid root program gets all capabilities by being root. */
	if (effect->uid_changes && !effect->uid)
		return 1;
	return !(effect->caps & ~tuple->caps);
}

/* Whether one granted elevation of the file has all of the effect; `revoked` as above. */
static __always_inline __u32 is_covered(struct file *file, const struct effect *effect,
					__u32 *revoked)
{
	struct task_scratch *scratch = task_scratch();
	struct tuples *all;
	__u32 scopes;

	if (!scratch || measure(file, scratch) != VERITY_DIGEST_KNOWN)
		return 0;
	scopes = revoked_digest(&scratch->digest);
	if (scopes)
		*revoked = 1;
	all = bpf_map_lookup_elem(&elevate, &scratch->digest);
	if (!all)
		return 0;
	for (int i = 0; i < VERITY_TUPLES; i++) {
		const struct tuple *tuple = &all->tuple[i];
		__u32 number = CELL_SLOT(tuple->cell);
		struct slot *slot;

		if (!(tuple->cell & CELL_USED))
			continue;
		slot = bpf_map_lookup_elem(&slots, &number);
		if (!slot || !CELL_FLAGS(tuple->cell, slot->active))
			continue;
		if (is_dead(slot, scopes))
			*revoked = 1;
		else if (covers(tuple, effect))
			return 1;
	}
	return 0;
}

#endif
