/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_GUARDED_CONFIG_H
#define VERITY_GUARDED_CONFIG_H
/*
 * Guarded configuration: what a privileged task reads, which symlinks it follows, what it mounts.
 *
 * A place that the policy guards as signed holds what grants put there, by path: a file with these
 * contents, a symlink with this target. Both of a file's places count (guarded_path.h), and a place
 * that could not be found out is a signed one without a grant.
 *
 * Who isn't privileged is asked nothing, nor anybody whose policy guards nothing.
 */
#include "deny.h"
#include "guarded_path.h"

static __always_inline int guards_anything(void)
{
	const struct gate_policy *named = THE(policy);

	return !named || named->n_guarded;
}

/* --- grants ------------------------------------------------------------------------------- */

/* Whether grants put this there; `revoked` is set if they did and don't count any more. */
__noinline __u32 is_put_there(const struct path_key *path, const struct config_content *content,
			      __u32 kind, __u32 scopes, __u32 *revoked)
{
	const struct config_cells *cells;
	__u32 placed = 0;

	if (!path || !content || !revoked)
		return 0;
	cells = bpf_map_lookup_elem(&config_grants, path);
	if (!cells)
		return 0;
	for (int i = 0; i < VERITY_CONFIG_CELLS; i++) {
		const struct config_cell *place = &cells->of[i];
		__u32 cell = place->cell, number = CELL_SLOT(cell), half;
		struct slot *slot;
		__u64 differs = 0;

		if (!(cell & CELL_USED))
			continue;
		slot = bpf_map_lookup_elem(&slots, &number);
		if (!slot)
			continue;
		half = slot->active & 1;
		if (CELL_FLAGS(cell, half) != kind)
			continue;
		for (int j = 0; j < VERITY_CONFIG_TARGET_SIZE / 8; j++)
			differs |= place->half[half].word[j] ^ content->word[j];
		if (differs)
			continue;
		if (is_dead(slot, scopes))
			*revoked = 1;
		else
			placed = 1;
	}
	return placed;
}

/* --- reading ------------------------------------------------------------------------------ */

/* What a signed place wants to know of a file. */
static __noinline void know_contents(struct file *file, struct path_scratch *scratch,
				     struct verity_facts *facts, __u32 *scopes)
{
	struct inode_tag *tag = bpf_inode_storage_get(&inodes, file->f_inode, 0, 0);
	struct task_scratch *measured = task_scratch();

	facts->digest = ~0u; /* undecided */
	if (!measured)
		return;
	facts->digest = measure(file, measured);
	if (facts->digest != VERITY_DIGEST_KNOWN)
		return;
	if (tag && tag->stale)
		facts->digest = VERITY_DIGEST_STALE;
	*scopes = revoked_digest(&measured->digest);
	__builtin_memset(&scratch->content, 0, sizeof(scratch->content));
	__builtin_memcpy(&scratch->content, &measured->digest, sizeof(measured->digest));
}

static __noinline int check_read(struct file *file)
{
	struct verity_facts facts = {
		.act = VERITY_ACT_CONFIG, .state = gate_state(), .privileged = 1, .digest = ~0u};
	struct path_scratch *scratch = path_scratch();
	__u32 reason, scopes = 0, real = 0;

	facts.observed = observed_reasons();
	facts.guarded = VERITY_CLASS_SIGNED;
	if (scratch && locate(scratch, (__u64)file->f_path.dentry, mount_of(file->f_path.mnt))) {
		facts.guarded = class_of(&scratch->seen);
		if (scratch->real_len)
			real = class_of(&scratch->real);
		if (facts.guarded == VERITY_CLASS_SIGNED || real == VERITY_CLASS_SIGNED)
			know_contents(file, scratch, &facts, &scopes);
		if (facts.guarded == VERITY_CLASS_SIGNED && facts.digest == VERITY_DIGEST_KNOWN)
			facts.placed = is_put_there(&scratch->seen, &scratch->content,
						    VERITY_CONFIG_FILE, scopes, &facts.revoked);
		reason = verity_decide(&facts);
		if (!reason && real) {
			facts.guarded = real;
			facts.placed = 0;
			if (real == VERITY_CLASS_SIGNED && facts.digest == VERITY_DIGEST_KNOWN)
				facts.placed = is_put_there(&scratch->real, &scratch->content,
							    VERITY_CONFIG_FILE, scopes,
							    &facts.revoked);
			reason = verity_decide(&facts);
		}
	} else {
		reason = verity_decide(&facts);
	}
	return reason ? answer(&facts, reason, file) : 0;
}

/* What file_post_open asks of every open. What was made by this very open is empty. */
static __always_inline int check_opened(struct file *file)
{
	__u32 kind = file->f_inode->i_mode & S_IFMT, state;

	if (!(file->f_mode & FMODE_READ) || (kind != S_IFREG && kind != S_IFDIR) ||
	    !guards_anything())
		return 0;
	state = gate_state();
	if (state == VERITY_STATE_OFF || !is_privileged(current_cred()))
		return 0;
	if (kind == S_IFDIR) {
		if (state == VERITY_STATE_LOADING)
			keep_anchor(file);
		return 0;
	}
	return file->f_mode & FMODE_CREATED ? 0 : check_read(file);
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
static __noinline int check_link(__u64 dentry, __u64 mount)
{
	struct verity_facts facts = {.act = VERITY_ACT_LINK, .state = gate_state(), .privileged = 1};
	struct path_scratch *scratch = path_scratch();
	__u32 reason = VERITY_ALLOW;
	struct inode *inode = AS_KERNEL(struct dentry, dentry)->d_inode;

	facts.observed = observed_reasons();
	facts.guarded = VERITY_CLASS_SIGNED;
	if (!scratch || !locate(scratch, dentry, mount))
		return answer(&facts, verity_decide(&facts), NULL);
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
	if (!reason)
		return 0;
	return answer_at(&facts, reason, NULL, mount ? &scratch->seen : &scratch->real);
}

static __always_inline int is_asked_of_places(void)
{
	__u32 state;

	if (!guards_anything())
		return 0;
	state = gate_state();
	return state != VERITY_STATE_OFF && is_privileged(current_cred());
}

SEC("lsm/inode_follow_link")
int BPF_PROG(verity_follow_link, struct dentry *dentry, struct inode *inode, _Bool rcu)
{
	if (!is_asked_of_places())
		return 0;
	/* The lookup stands at the directory that the symlink is in. */
	return check_link((__u64)dentry,
			  mount_of(bpf_get_current_task_btf()->nameidata->path.mnt));
}

/* systemd takes what a link of *.wants means from its target, and follows none of them. */
SEC("lsm/inode_readlink")
int BPF_PROG(verity_readlink, struct dentry *dentry)
{
	return is_asked_of_places() ? check_link((__u64)dentry, 0) : 0;
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
		return answer(&facts, verity_decide(&facts), NULL);
	facts.guarded = class_of_way(&scratch->seen, scratch->seen_len);
	if (source) {
		__u64 differs = 0;

		clear_path(&scratch->fresh.path);
		bpf_probe_read_kernel_str(&scratch->fresh.path, sizeof(scratch->fresh.path), source);
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
	if (!puts_there(flags) || !is_asked_of_places())
		return 0;
	return check_mount((__u64)path->dentry, mount_of(path->mnt),
			   flags & MS_BIND ? source : NULL, 0);
}

static __always_inline int check_moved(struct path *from, struct path *to)
{
	if (!is_asked_of_places())
		return 0;
	return check_mount((__u64)to->dentry, mount_of(to->mnt), NULL, from->dentry == to->dentry);
}

#endif
