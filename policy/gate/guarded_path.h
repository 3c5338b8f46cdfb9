/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_GUARDED_PATH_H
#define VERITY_GUARDED_PATH_H
/*
 * Where a file is: by the path as its reader sees it, and by the guarded directory that it lies in
 * whatever it is called meanwhile. Neither is enough (ADR 32): a mount in a namespace of its own leads
 * by a guarded path to other directories, an alias or a new name by another path to a guarded one.
 *
 * It decides nothing. bpf_path_d_path would do for files, but not for symlinks, whose hook has no
 * mount, and it tells nothing of what it passes.
 *
 * Rules:
 * - the walk goes from the file to the root of the task, by dentries and mounts, and notes an anchor:
 *   a directory that was signed before the seal, or else one that led there, the nearest in each case.
 *   One that leads there could be moved below what is signed, and must not hide it;
 * - names are put into a buffer from its end; what has no room is told, never cut off;
 * - nothing is locked: what is read of a dentry or mount that goes away meanwhile is wrong and never
 *   faults. Whoever can make that happen can rename the file as well (ADR 32).
 */
#include "guarded.h"
#include "object.h"

#define TRAIL_STEPS 2048

enum trail_end {
	TRAIL_GOING,
	TRAIL_ROOT,	/* of the task */
	TRAIL_ELSEWHERE, /* of a tree that isn't below it */
	TRAIL_LONG,
};

struct trail {
	struct path_scratch *scratch;
	__u64 dentry, mount; /* at hand; mount 0: by dentries alone */
	__u64 root_dentry, root_mount;
	struct anchor_key anchor; /* ino 0: none yet */
	__u32 anchor_at;
	__u32 at; /* where the path begins in the scratch's text */
	__u32 end;
	__u32 alias; /* the walk has left the file system by another way than its root */
	__u32 leads; /* the anchor only leads to what is signed: one that is signed, above it, is better */
};

static __always_inline __u64 mount_of(struct vfsmount *mount)
{
	return (__u64)mount - bpf_core_field_offset(struct mount, mnt);
}

static __always_inline __u64 device_bit(__u32 device)
{
	return 1ull << (device * 0x9e3779b1u >> 26);
}

/*
 * Whether there can be an anchor on the way from here to the root of the file system. No walk by dentries
 * alone leaves it, and anchors are never taken away, so the answer no is as good as the walk.
 */
static __always_inline int may_have_anchors(const struct super_block *sb)
{
	struct control *all = THE(control);

	return !all || all->anchor_devices & device_bit(sb->s_dev);
}

/* Before the anchor is there. */
static __always_inline void note_device(const struct super_block *sb)
{
	struct control *all = THE(control);

	if (all)
		__sync_fetch_and_or(&all->anchor_devices, device_bit(sb->s_dev));
}

/* Whether a better anchor may be found further up. */
static __always_inline int wants_anchor(const struct trail *trail)
{
	return !trail->anchor.inode || trail->leads;
}

/* Notes the directory if it is an anchor: the nearest one that is signed, else the nearest. */
static __always_inline void note_anchor(struct trail *trail, struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;
	struct anchor_key key = {};
	struct anchor *anchor;

	if ((inode->i_mode & S_IFMT) != S_IFDIR)
		return;
	key.inode = inode->i_ino;
	key.device = inode->i_sb->s_dev;
	key.generation = inode->i_generation;
	if (!key.inode)
		return;
	anchor = bpf_map_lookup_elem(&anchors, &key);
	if (!anchor || (trail->anchor.inode && anchor->leads))
		return;
	trail->anchor = key;
	trail->leads = anchor->leads;
	trail->anchor_at = trail->at;
}

/* Puts the name in front of the path. */
static __always_inline int put_name(struct trail *trail, struct dentry *dentry)
{
	__u32 len = dentry->d_name.len, at = trail->at;
	const unsigned char *name = dentry->d_name.name;
	__u8 *text = trail->scratch->text;

	if (len > VERITY_NAME_MAX || at < len + 1)
		return 0;
	at -= len + 1;
	/* Or the compiler bounds another copy of it than the one that it adds. */
	asm volatile("" : "+r"(at));
	if (at >= VERITY_TRAIL_SIZE)
		return 0;
	text[at] = '/';
	bpf_probe_read_kernel(text + at + 1, len & VERITY_NAME_MAX, name);
	trail->at = at;
	return 1;
}

static long step(__u32 unused, struct trail *trail)
{
	struct dentry *dentry = AS_KERNEL(struct dentry, trail->dentry), *parent;
	struct mount *mount = AS_KERNEL(struct mount, trail->mount);

	if (wants_anchor(trail) && !trail->alias)
		note_anchor(trail, dentry);
	if (trail->mount) {
		if (trail->dentry == trail->root_dentry && trail->mount == trail->root_mount) {
			trail->end = TRAIL_ROOT;
			return 1;
		}
		if ((__u64)mount->mnt.mnt_root == trail->dentry) {
			__u64 outer = (__u64)mount->mnt_parent;

			if (outer == trail->mount) {
				trail->end = TRAIL_ELSEWHERE;
				return 1;
			}
			/* A part of a file system: what it is a part of is behind this mount. */
			if ((__u64)dentry->d_parent != trail->dentry)
				trail->alias = 1;
			trail->dentry = (__u64)mount->mnt_mountpoint;
			trail->mount = outer;
			return 0;
		}
	} else if (!wants_anchor(trail)) {
		trail->end = TRAIL_ELSEWHERE;
		return 1;
	}
	parent = dentry->d_parent;
	if ((__u64)parent == trail->dentry) {
		trail->end = TRAIL_ELSEWHERE;
		return 1;
	}
	if (!put_name(trail, dentry)) {
		trail->end = TRAIL_LONG;
		return 1;
	}
	trail->dentry = (__u64)parent;
	return 0;
}

/*
 * The path behind `head`, zero padded; how long all of it is. Cut off at 255 bytes, and then the last
 * one says so: no grant is that of another path.
 */
static __always_inline __u32 take_path(struct path_scratch *scratch, struct path_key *key, __u32 at,
				       __u32 head)
{
	__u32 len = VERITY_TRAIL_SIZE - at, room = VERITY_CONFIG_PATH_SIZE - 1 - head, part = len;
	__u8 *bytes = (void *)key->word;

	if (part > room)
		part = room;
	asm volatile("" : "+r"(at), "+r"(part), "+r"(head));
	if (at < VERITY_TRAIL_SIZE && part < VERITY_CONFIG_PATH_SIZE && head < VERITY_CONFIG_PATH_SIZE)
		bpf_probe_read_kernel(bytes + head, part, scratch->text + at);
	if (len > room)
		bytes[VERITY_CONFIG_PATH_SIZE - 1] = 1;
	if (head + len)
		return head + len;
	bytes[0] = '/';
	return 1;
}

static __always_inline void clear_path(struct path_key *key)
{
	for (int i = 0; i < PATH_WORDS; i++)
		key->word[i] = 0;
}

/* --- where a file is ---------------------------------------------------------------------- */

static __always_inline struct path_scratch *path_scratch(void)
{
	return bpf_task_storage_get(&paths, bpf_get_current_task_btf(), 0,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/*
 * 1. The path as the task sees it, in scratch->seen.
 * 2. The path that it has by way of an anchor, in scratch->real, if that is another one.
 *
 * Paths in other mount namespaces, and in trees that are mounted nowhere, are as they are in these.
 * 0 where it could not be found out.
 */
__noinline __u32 find_paths(struct path_scratch *scratch)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct trail trail = {.scratch = scratch, .at = VERITY_TRAIL_SIZE};
	struct anchor *anchor;

	if (!scratch)
		return 0;
	trail.dentry = scratch->dentry;
	trail.mount = scratch->mount;
	trail.root_dentry = (__u64)task->fs->root.dentry;
	trail.root_mount = mount_of(task->fs->root.mnt);
	scratch->seen_len = 0;
	scratch->real_len = 0;
	/* 1. */
	bpf_loop(TRAIL_STEPS, step, &trail, 0);
	if (trail.end != TRAIL_ROOT && trail.end != TRAIL_ELSEWHERE)
		return 0;
	clear_path(&scratch->seen);
	scratch->seen_len = take_path(scratch, &scratch->seen, trail.at, 0);
	/* 2. */
	if (!trail.anchor.inode || (trail.leads && trail.alias)) {
		trail.anchor.inode = 0;
		trail.leads = 0;
		trail.dentry = scratch->dentry;
		trail.mount = 0;
		trail.alias = 0;
		trail.at = VERITY_TRAIL_SIZE;
		trail.end = TRAIL_GOING;
		if (!may_have_anchors(AS_KERNEL(struct dentry, trail.dentry)->d_sb))
			return 1;
		bpf_loop(TRAIL_STEPS, step, &trail, 0);
		if (trail.end != TRAIL_ELSEWHERE)
			return 0;
		if (!trail.anchor.inode)
			return 1;
	}
	anchor = bpf_map_lookup_elem(&anchors, &trail.anchor);
	if (!anchor)
		return 0;
	if (trail.mount && trail.anchor_at == trail.at + anchor->len &&
	    begins_with(&scratch->seen, &anchor->path, anchor->len))
		return 1;
	scratch->real = anchor->path;
	scratch->real_len = take_path(scratch, &scratch->real, trail.anchor_at, anchor->len & 255);
	return 1;
}

static __always_inline __u32 locate(struct path_scratch *scratch, __u64 dentry, __u64 mount)
{
	/* As numbers: a function that is verified by itself takes no other kernel pointers. */
	scratch->dentry = dentry;
	scratch->mount = mount;
	return find_paths(scratch);
}

/* --- anchors ------------------------------------------------------------------------------ */

static __always_inline void count_anchor(long failed)
{
	struct control *all = THE(control);

	if (all && failed != -EEXIST)
		__sync_fetch_and_add(failed ? &all->anchors_lost : &all->anchors, 1);
}

/*
 * A directory that is opened before the seal, and is guarded or leads to what is. The loader opens
 * all of them, and doesn't seal if one was lost: under another name it would be guarded no more. The
 * root is kept as an empty path, so that what follows an anchor begins with a slash.
 */
static __noinline void keep_anchor(struct file *file)
{
	struct path_scratch *scratch = path_scratch();
	struct inode *inode = file->f_inode;
	struct anchor_key key = {};

	if (!scratch) {
		count_anchor(-EPERM);
		return;
	}
	/* What is longer than a guarded path is below one or nothing. */
	if (!locate(scratch, (__u64)file->f_path.dentry, mount_of(file->f_path.mnt)) ||
	    scratch->seen_len > VERITY_GUARDED_PATH_SIZE - 1)
		return;
	key.inode = inode->i_ino;
	key.device = inode->i_sb->s_dev;
	key.generation = inode->i_generation;
	scratch->fresh.path = scratch->seen;
	scratch->fresh.len = scratch->seen_len;
	scratch->fresh.leads = class_of(&scratch->seen) != VERITY_CLASS_SIGNED;
	if (scratch->seen_len == 1) {
		scratch->fresh.path.word[0] = 0;
		scratch->fresh.len = 0;
	} else if (class_of_way(&scratch->seen, scratch->seen_len) != VERITY_CLASS_SIGNED) {
		return;
	}
	note_device(inode->i_sb);
	count_anchor(bpf_map_update_elem(&anchors, &key, &scratch->fresh, BPF_NOEXIST));
}

#endif
