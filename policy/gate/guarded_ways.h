/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_GUARDED_WAYS_H
#define VERITY_GUARDED_WAYS_H
/*
 * The ways to guarded configuration: renames out of it, symlinks in it or towards it, and mounts over
 * either. What is read there is guarded_config.h's business; ADR 33 has the reasons.
 */
#include "guarded_config.h"

/* --- moving away -------------------------------------------------------------------------- */

/*
 * Something is renamed from a signed place to one that isn't. It is let go, and not forgotten: a
 * directory becomes an anchor, for whoever has it open or works in it, and a file is none that anybody
 * reads as long as its inode is in memory, for whoever was about to open it at its old place.
 *
 * Mounts aren't known here, so only places by way of an anchor count; below the root all have one.
 */
static __noinline int check_renamed(struct inode *inode, __u64 dentry, __u64 new_dentry)
{
	struct verity_facts facts = {.act = VERITY_ACT_CONFIG,
				     .state = gate_state(),
				     .privileged = 1,
				     .guarded = VERITY_CLASS_SIGNED,
				     .digest = ~0u};
	struct path_scratch *scratch = path_scratch();
	struct anchor_key key = {};
	struct inode_tag *tag;
	struct anchor *anchor;

	if (!scratch || !locate(scratch, dentry, 0))
		return answer_at(&facts, verity_decide(&facts), NULL, NULL);
	if (!scratch->real_len || scratch->real_len > VERITY_GUARDED_PATH_SIZE - 1 ||
	    class_of_way(&scratch->real, scratch->real_len) != VERITY_CLASS_SIGNED)
		return 0;
	scratch->fresh.path = scratch->real;
	scratch->fresh.len = scratch->real_len;
	scratch->fresh.leads = class_of(&scratch->real) != VERITY_CLASS_SIGNED;
	if (!locate(scratch, new_dentry, 0))
		return answer_at(&facts, verity_decide(&facts), NULL, NULL);
	if (scratch->real_len && class_of(&scratch->real) == VERITY_CLASS_SIGNED)
		return 0;
	if ((inode->i_mode & S_IFMT) == S_IFDIR) {
		key.inode = inode->i_ino;
		key.device = inode->i_sb->s_dev;
		key.generation = inode->i_generation;
		/* One that led to what is signed and was moved in is signed now. */
		anchor = bpf_map_lookup_elem(&anchors, &key);
		if (anchor && (!anchor->leads || scratch->fresh.leads))
			return 0;
		note_device(inode->i_sb);
		if (!bpf_map_update_elem(&anchors, &key, &scratch->fresh, BPF_ANY))
			return 0;
	} else {
		tag = bpf_inode_storage_get(&inodes, inode, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (tag) {
			tag->moved = 1;
			return 0;
		}
	}
	return answer_at(&facts, verity_decide(&facts), NULL, &scratch->fresh.path);
}

static __always_inline int check_rename(struct dentry *dentry, struct dentry *new_dentry)
{
	struct inode *inode = dentry->d_inode;

	if (!inode || !is_asked_of_places() || !may_have_anchors(inode->i_sb))
		return 0;
	return check_renamed(inode, (__u64)dentry, (__u64)new_dentry);
}

/* --- symlinks ----------------------------------------------------------------------------- */

/* Whether grants have a symlink with this very target there. */
static __noinline __u32 is_link_put_there(struct inode *inode, struct path_scratch *scratch,
					  const struct path_key *path, __u32 *revoked)
{
	const char *target = inode->i_link;
	long size;

	__builtin_memset(&scratch->content, 0, sizeof(scratch->content));
	size = bpf_probe_read_kernel_str(&scratch->content, sizeof(scratch->content), target);
	/* What is longer was cut off, and no grant is of that length. */
	if (size < 2 || size - 1 != inode->i_size)
		return 0;
	return is_put_there(path, &scratch->content, VERITY_CONFIG_SYMLINK, 0, revoked);
}

/*
 * A symlink is followed, or its target read. Also one that leads to a guarded place is decided: where
 * the directory before it is replaced by a symlink, everything below is read from elsewhere.
 *
 * Without a mount, where its target is read, only the place by way of an anchor is known.
 */
static __noinline int check_link(struct dentry *link, struct inode *inode, struct vfsmount *by)
{
	struct verity_facts facts = {.act = VERITY_ACT_LINK, .state = gate_state(), .privileged = 1};
	__u64 mount = by ? mount_of(by) : 0;
	struct path_scratch *scratch;
	__u32 reason = VERITY_ALLOW;
	struct moment then = {};

	if (by && facts.state != VERITY_STATE_LOADING && take_moment(&then) &&
	    is_known(link, inode, by, &then))
		return 0;
	scratch = path_scratch();
	facts.observed = observed_reasons();
	facts.guarded = VERITY_CLASS_SIGNED;
	if (!scratch || !locate(scratch, (__u64)link, mount))
		return answer_at(&facts, verity_decide(&facts), NULL, NULL);
	if (mount) {
		facts.guarded = class_of_way(&scratch->seen, scratch->seen_len);
		if (facts.guarded == VERITY_CLASS_SIGNED)
			facts.placed = is_link_put_there(inode, scratch, &scratch->seen,
							 &facts.revoked);
		reason = verity_decide(&facts);
	}
	if (!reason && scratch->real_len) {
		facts.guarded = class_of_way(&scratch->real, scratch->real_len);
		facts.placed = 0;
		if (facts.guarded == VERITY_CLASS_SIGNED)
			facts.placed = is_link_put_there(inode, scratch, &scratch->real,
							 &facts.revoked);
		reason = verity_decide(&facts);
	}
	if (reason)
		return answer_at(&facts, reason, NULL, mount ? &scratch->seen : &scratch->real);
	if (mount)
		keep_known(scratch, NULL, link, by, inode, &then);
	return 0;
}

SEC("lsm/inode_follow_link")
int BPF_PROG(verity_follow_link, struct dentry *dentry, struct inode *inode, _Bool rcu)
{
	if (!is_asked_of_places() || is_initial(inode))
		return 0;
	/* The lookup stands at the directory that the symlink is in. */
	return check_link(dentry, inode, bpf_get_current_task_btf()->nameidata->path.mnt);
}

/* systemd takes what a link of *.wants means from its target, and follows none of them. */
SEC("lsm/inode_readlink")
int BPF_PROG(verity_readlink, struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;

	/* Without a mount there is no other place than that by way of an anchor. */
	if (!is_asked_of_places() || !may_have_anchors(inode->i_sb) || is_initial(inode))
		return 0;
	return check_link(dentry, inode, NULL);
}

/* --- mounts ------------------------------------------------------------------------------- */

/*
 * Something is mounted at a place. Nothing is mounted over what is signed, nor over a directory on the
 * way there, in no mount namespace: that would take the files away and bring symlinks along, which
 * readlink shows to who follows none. The root is let through: it is how a container gets its own tree, where
 * paths are decided as they are seen there.
 *
 * An alias counts where mounts at it appear at the place itself, too.
 */
static __noinline int check_mount(__u64 dentry, __u64 mount, const char *source, __u32 same)
{
	struct verity_facts facts = {
		.act = VERITY_ACT_MOUNT, .state = gate_state(), .privileged = 1, .placed = same};
	struct path_scratch *scratch = path_scratch();
	__u32 reason;

	facts.observed = observed_reasons();
	facts.guarded = VERITY_CLASS_SIGNED;
	if (!scratch || !locate(scratch, dentry, mount))
		return answer_at(&facts, verity_decide(&facts), NULL, NULL);
	facts.guarded = class_of_way(&scratch->seen, scratch->seen_len);
	if (source) {
		__u64 differs = 0;

		clear_path(&scratch->fresh.path);
		/* What fills all of it may have been cut off. */
		differs = bpf_probe_read_kernel_str(&scratch->fresh.path,
						    sizeof(scratch->fresh.path), source) ==
			  sizeof(scratch->fresh.path);
		for (int i = 0; i < PATH_WORDS; i++)
			differs |= scratch->fresh.path.word[i] ^ scratch->seen.word[i];
		facts.placed = !differs;
	}
	reason = verity_decide(&facts);
	if (!reason && scratch->real_len && AS_KERNEL(struct mount, mount)->mnt_group_id) {
		facts.guarded = class_of_way(&scratch->real, scratch->real_len);
		reason = verity_decide(&facts);
	}
	return reason ? answer_at(&facts, reason, NULL, &scratch->seen) : 0;
}

/* Whether mount(2) puts something at the place, in the order of path_mount in fs/namespace.c. */
static __always_inline int puts_there(unsigned long flags)
{
	if (flags & MS_REMOUNT)
		return 0;
	if (flags & MS_BIND)
		return 1;
	return !(flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE));
}

static __always_inline int check_mounted(struct path *path, unsigned long flags, const char *source)
{
	if (!puts_there(flags) || !is_asked_of_places() || is_initial(path->dentry->d_inode))
		return 0;
	return check_mount((__u64)path->dentry, mount_of(path->mnt),
			   flags & MS_BIND ? source : NULL, 0);
}

/* The same directory, and nothing stands on this mount of it: that would come along. */
static __always_inline int is_same_tree(struct path *from, struct path *to)
{
	struct mount *mount = AS_KERNEL(struct mount, mount_of(from->mnt));

	return from->dentry == to->dentry &&
	       (__u64)mount->mnt_mounts.next ==
		       (__u64)mount + bpf_core_field_offset(struct mount, mnt_mounts);
}

static __always_inline int check_moved(struct path *from, struct path *to)
{
	if (!is_asked_of_places() || is_initial(to->dentry->d_inode))
		return 0;
	return check_mount((__u64)to->dentry, mount_of(to->mnt), NULL, is_same_tree(from, to));
}

#endif
