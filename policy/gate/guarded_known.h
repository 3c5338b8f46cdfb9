/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_GUARDED_KNOWN_H
#define VERITY_GUARDED_KNOWN_H
/*
 * What was asked at a place before, and allowed: the same answer without the walk (ADR 46).
 *
 * Nothing but a permission is kept. Where nothing in a directory can be refused it is kept at the inode
 * of the directory, else at that of the file or symlink, for this name in this directory. It counts
 * for who sees it by the same mount from the same root, and only as long as all that it rests on is
 * as it was:
 *
 * 1. where things are: the kernel counts every change of a name or parent (rename_lock) and of a
 *    mount (mount_lock), in all namespaces. While one goes on, or where the loader may not see the
 *    counters, nothing is kept and nothing is known. They have 32 bits: nobody makes 2^31 changes in
 *    the 1024 ticks for which an answer is kept at most;
 * 2. what is granted and revoked, by the generation of the tables; the policy never changes, and
 *    anchors only by a rename or before the seal, while nothing is kept;
 * 3. the contents: of what must be signed only a file with fs-verity is allowed, or a symlink, and
 *    neither changes while its inode is in memory. Whether it was moved out of a signed place
 *    (guarded_ways.h) is asked after this, each time.
 *
 * Against who makes an address or a number mean something else:
 * - a mount can't go without being counted. So a root is only used that is the root of its mount:
 *   chroot into a directory is always asked anew;
 * - directory and file are known as inodes in memory, whose storage goes with them. A file may have
 *   more names, which link(2) adds without being counted, so the directory's number and generation and
 *   the name itself are compared;
 * - FUSE and network file systems move directories without telling: what has d_revalidate is asked
 *   anew, but in the kernel's own file systems. So are all who have another root than the first process: somebody's own image in a jail
 *   can have one directory at two places.
 *
 * In /proc, /sys and cgroups directories come and go all the time, but nobody renames one into another:
 * where nothing can be refused at the root of such a mount and below it, nothing will be, and there it is kept
 * (ADR 55).
 *
 * A record is more than a word: `version` is odd while it is written, and changes with it.
 */
#include "guarded_path.h"

#define KNOWN_TICKS 10 /* bits of them that don't count */

extern const void rename_lock __ksym __weak;
extern const void mount_lock __ksym __weak;
extern const void init_pid_ns __ksym __weak;

/* What an answer of now rests on; root 0: it is not to be kept. */
struct moment {
	__u64 moves, told, root;
};

static __always_inline __u32 sequence_of(const void *lock)
{
	return AS_KERNEL(struct seqcount, lock)->sequence;
}

/* Before anything else is looked at. */
static __always_inline int take_moment(struct moment *moment)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct dentry *root = task->fs->root.dentry;
	struct vfsmount *mount = task->fs->root.mnt;
	__u32 renames, mounts;

	moment->root = 0;
	if (!&rename_lock || !&mount_lock || mount->mnt_root != root)
		return 0;
	renames = sequence_of(&rename_lock);
	mounts = sequence_of(&mount_lock);
	if ((renames | mounts) & 1)
		return 0;
	moment->moves = (__u64)renames << 32 | mounts;
	moment->told = generation() << 32 | (__u32)(bpf_jiffies64() >> KNOWN_TICKS);
	moment->root = (__u64)mount;
	asm volatile("" ::: "memory");
	return 1;
}

static __always_inline int is_same_moment(const struct moment *then)
{
	struct moment now;

	asm volatile("" ::: "memory");
	return take_moment(&now) && now.moves == then->moves && now.told == then->told &&
	       now.root == then->root;
}

/* --- records ------------------------------------------------------------------------------ */

/* Zero padded; 0 if there is no room for it. */
static __always_inline int take_name(struct dentry *dentry, struct known *known)
{
	__u32 len = dentry->d_name.len;

	for (int i = 0; i < KNOWN_NAME_WORDS; i++)
		known->name[i] = 0;
	if (!len || len > sizeof(known->name))
		return 0;
	/* Or the compiler compares another copy of it. */
	asm volatile("" : "+r"(len));
	if (len > sizeof(known->name))
		return 0;
	return !bpf_probe_read_kernel(known->name, len, dentry->d_name.name);
}

/* Whether what is kept is of this moment, by this mount. */
static __always_inline int is_of(const volatile struct known *kept, const struct moment *now,
				 __u64 mount)
{
	return kept->moves == now->moves && kept->told == now->told && kept->root == now->root &&
	       kept->mount == mount;
}

static __always_inline int is_free(const volatile struct known *kept, const struct moment *now,
				   __u64 mount)
{
	__u64 version = kept->version;

	return !(version & 1) && is_of(kept, now, mount) && !kept->name[0] &&
	       kept->version == version;
}

static __always_inline int is_allowed(const volatile struct known *kept, const struct moment *now,
				      __u64 mount, struct dentry *dentry, struct inode *folder)
{
	__u64 version = kept->version, differs = 0;
	struct known wanted;

	if (version & 1 || !is_of(kept, now, mount) || !kept->name[0] || !take_name(dentry, &wanted))
		return 0;
	differs |= kept->folder ^ folder->i_ino;
	differs |= kept->folder_generation ^ folder->i_generation;
	for (int i = 0; i < KNOWN_NAME_WORDS; i++)
		differs |= kept->name[i] ^ wanted.name[i];
	return !differs && kept->version == version;
}

/* Two at once: the later one leaves it. */
static __always_inline void write_known(struct known *place, const struct known *fresh)
{
	__u64 version = place->version;

	if (version & 1 || __sync_val_compare_and_swap(&place->version, version, version + 1) != version)
		return;
	place->moves = fresh->moves;
	place->told = fresh->told;
	place->root = fresh->root;
	place->mount = fresh->mount;
	place->folder = fresh->folder;
	place->folder_generation = fresh->folder_generation;
	for (int i = 0; i < KNOWN_NAME_WORDS; i++)
		place->name[i] = fresh->name[i];
	__sync_lock_test_and_set(&place->version, version + 2);
}

/* Whether what holds for the root of a mount holds for all of it: no anchor comes to be below. */
static __always_inline int is_of_kernel(const struct super_block *sb)
{
	return sb->s_magic == PROC_SUPER_MAGIC || sb->s_magic == SYSFS_MAGIC ||
	       sb->s_magic == CGROUP2_SUPER_MAGIC;
}

/* --- asked --------------------------------------------------------------------------------- */

/* Whether it is known that this may be read, or followed, here. The caller is in an RCU section. */
static __always_inline int is_known(struct dentry *dentry, struct inode *inode,
				    struct vfsmount *mount, const struct moment *now)
{
	struct dentry *parent = dentry->d_parent;
	struct inode *folder = parent->d_inode;
	struct known *kept;

	/* What is the root of a mount has its name from elsewhere. */
	if (parent == dentry || mount->mnt_root == dentry)
		return 0;
	if (is_of_kernel(inode->i_sb))
		folder = mount->mnt_root->d_inode;
	kept = bpf_inode_storage_get(&knowns, folder, 0, 0);
	if (kept && is_free(kept, now, mount_of(mount)))
		return 1;
	if (is_of_kernel(inode->i_sb))
		return 0;
	kept = bpf_inode_storage_get(&knowns, inode, 0, 0);
	return kept && is_allowed(kept, now, mount_of(mount), dentry, folder);
}

/* --- kept ---------------------------------------------------------------------------------- */

static __noinline void cut_path(struct path_key *key, __u32 len)
{
	for (__u32 i = 0; i < PATH_WORDS; i++) {
		if (len <= i * 8)
			key->word[i] = 0;
		else if (len < i * 8 + 8)
			key->word[i] &= ~0ull >> ((8 - (len & 7)) * 8);
	}
}

/*
 * Whether nothing can be refused in the directory of a path that was allowed, which is cut to that of
 * the directory. The root leads to everything.
 */
static __always_inline int is_free_folder(struct path_key *path, __u32 len, __u32 tail)
{
	if (len >= VERITY_CONFIG_PATH_SIZE || len < tail + 2)
		return 0;
	if (tail)
		cut_path(path, len - tail);
	return class_of_way(path, len - tail) != VERITY_CLASS_SIGNED;
}

static __always_inline int has_first_root(void)
{
	struct task_struct *task = bpf_get_current_task_btf(), *first;

	if (!&init_pid_ns)
		return 0;
	first = AS_KERNEL(struct pid_namespace, &init_pid_ns)->child_reaper;
	return task->fs->root.dentry == AS_KERNEL(struct task_struct, first)->fs->root.dentry;
}

/*
 * The place that the scratch has was looked at since `then`, and is allowed: of the file, or else of
 * the symlink at `dentry`, seen by the mount `by`. The scratch's paths are used up.
 *
 * 1. It may be kept at all.
 * 2. At the directory, if all is allowed there.
 * 3. Else at itself.
 */
static __always_inline void keep_known(struct path_scratch *scratch, struct file *file,
				       struct dentry *dentry, struct vfsmount *by,
				       struct inode *inode, const struct moment *then)
{
	struct dentry *at = AS_KERNEL(struct dentry, scratch->dentry);
	struct mount *mount = AS_KERNEL(struct mount, scratch->mount);
	struct known *fresh = &scratch->known, *place;
	int is_whole = is_of_kernel(inode->i_sb), is_at_folder;
	__u32 tail = is_whole ? 0 : at->d_name.len + 1;

	/* 1. */
	if (!then->root || (__u64)at->d_parent == scratch->dentry ||
	    (__u64)mount->mnt.mnt_root == scratch->dentry || !has_first_root())
		return;
	if (is_whole ? !locate(scratch, (__u64)mount->mnt.mnt_root, scratch->mount)
		     : at->d_flags & DCACHE_OP_REVALIDATE)
		return;
	/* 2. */
	is_at_folder = is_free_folder(&scratch->seen, scratch->seen_len, tail) &&
		       (!scratch->real_len ||
			is_free_folder(&scratch->real, scratch->real_len, tail));
	fresh->moves = then->moves;
	fresh->told = then->told;
	fresh->root = then->root;
	fresh->mount = scratch->mount;
	fresh->folder = 0;
	fresh->folder_generation = 0;
	if (!is_at_folder && (is_whole || !take_name(at, fresh)))
		return;
	bpf_rcu_read_lock();
	/* In here, or the verifier takes them for what may be gone. */
	if (file) {
		dentry = file->f_path.dentry;
		by = file->f_path.mnt;
	}
	if (is_at_folder) {
		struct inode *folder = dentry->d_parent->d_inode;

		if (is_whole)
			folder = by->mnt_root->d_inode;
		for (int i = 0; i < KNOWN_NAME_WORDS; i++)
			fresh->name[i] = 0;
		place = bpf_inode_storage_get(&knowns, folder, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	} else {
		/* 3. */
		fresh->folder = dentry->d_parent->d_inode->i_ino;
		fresh->folder_generation = dentry->d_parent->d_inode->i_generation;
		place = bpf_inode_storage_get(&knowns, inode, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	}
	bpf_rcu_read_unlock();
	if (place && is_same_moment(then))
		write_known(place, fresh);
}

#endif
