/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_GUARDED_STAYS_H
#define VERITY_GUARDED_STAYS_H
/*
 * What must stay: where the policy says `require`, what grants put there is neither unlinked, nor
 * renamed, nor replaced by anything that they don't put there as well (ADR 56).
 *
 * Anybody is asked whom the file's permissions let do it: who may read a place is another question.
 * Hooks of names know no mount, so the place is that by way of an anchor (guarded_path.h), whatever the
 * directory is called meanwhile, and in whatever namespace.
 *
 * 1. A file is what grants put there if they have its digest at this path, a symlink if its target. What
 *    isn't may be removed: nobody signed it. A file that nobody has opened since it came into memory
 *    has no digest there; it counts as put there if any grant names the path.
 * 2. A directory that is required, or leads there, isn't renamed. An empty one may go, unless something is
 *    mounted on it: elsewhere, for here the kernel refuses that.
 * 3. With RENAME_EXCHANGE the kernel asks for both ways, and neither place keeps what it had.
 *
 * That contents stay needs no hook: fs-verity refuses writing and truncating, and nobody writes a symlink.
 */
#include "guarded_ways.h"

static __always_inline int is_asked_of_removals(void)
{
	const struct gate_policy *named = THE(policy);

	return named && named->requires && gate_state() > VERITY_STATE_LOADING;
}

/* What the kernel keeps of a file with fs-verity; these hooks have no struct file to ask with. */
static __noinline __u32 digest_in_memory(struct inode *inode, struct config_content *content)
{
	struct fsverity_info *info;

	__builtin_memset(content, 0, sizeof(*content));
	if (!(inode->i_flags & S_VERITY))
		return VERITY_DIGEST_NONE;
	info = BPF_CORE_READ(inode, i_verity_info);
	if (!info)
		return ~0u;
	if (BPF_CORE_READ(info, tree_params.digest_size) != VERITY_SHA256_SIZE)
		return VERITY_DIGEST_OTHER;
	if (bpf_core_read(content, VERITY_SHA256_SIZE, &info->file_digest))
		return ~0u;
	return VERITY_DIGEST_KNOWN;
}

/* Whether grants put any file there. */
static __noinline __u32 is_any_put_there(const struct path_key *path)
{
	const struct config_cells *cells = bpf_map_lookup_elem(&config_grants, path);

	if (!cells)
		return 0;
	for (int i = 0; i < VERITY_CONFIG_CELLS; i++) {
		__u32 cell = cells->of[i].cell, number = CELL_SLOT(cell);
		struct slot *slot = bpf_map_lookup_elem(&slots, &number);

		if (cell & CELL_USED && slot && !is_dead(slot, 0) &&
		    CELL_FLAGS(cell, slot->active & 1) == VERITY_CONFIG_FILE)
			return 1;
	}
	return 0;
}

/* Whether grants put this file or symlink there; `unknown`: what is said where there is no digest. */
static __noinline __u32 is_inode_put_there(struct inode *inode, struct path_scratch *scratch,
					   __u32 unknown)
{
	__u32 kind = inode->i_mode & S_IFMT, revoked = 0, digest;

	if (kind == S_IFLNK)
		return is_link_put_there(inode, scratch, &scratch->real, &revoked);
	if (kind != S_IFREG)
		return 0;
	digest = digest_in_memory(inode, &scratch->content);
	if (digest == VERITY_DIGEST_KNOWN)
		return is_put_there(&scratch->real, &scratch->content, VERITY_CONFIG_FILE,
				    revoked_digest((void *)&scratch->content), &revoked);
	if (digest != ~0u)
		return 0;
	return unknown && is_any_put_there(&scratch->real);
}

/* `inode` at `dentry` goes away, and `instead`, if it isn't NULL, takes its place. */
static __noinline int check_stays(struct inode *inode, struct dentry *dentry, struct inode *instead)
{
	struct verity_facts facts = {.act = VERITY_ACT_REMOVE,
				     .state = gate_state(),
				     .guarded = VERITY_CLASS_SIGNED,
				     .digest = ~0u};
	__u32 kind = inode->i_mode & S_IFMT, reason;
	struct path_scratch *scratch;

	/* Nearly all: what isn't signed is no file with fs-verity. */
	if (kind == S_IFREG && !(inode->i_flags & S_VERITY) && !(dentry->d_flags & DCACHE_MOUNTED))
		return 0;
	scratch = path_scratch();
	facts.observed = observed_reasons();
	if (!scratch || !locate(scratch, (__u64)dentry, 0))
		return answer(&facts, verity_decide(&facts), NULL);
	if (!scratch->real_len)
		return 0;
	facts.digest = VERITY_DIGEST_NO_FILE;
	if (kind == S_IFDIR) {
		/* 2. */
		facts.placed = is_required_way(&scratch->real, scratch->real_len);
	} else if (is_required(&scratch->real)) {
		/* 1. */
		facts.placed = dentry->d_flags & DCACHE_MOUNTED ||
			       is_inode_put_there(inode, scratch, 1);
		if (facts.placed && instead && is_inode_put_there(instead, scratch, 0))
			facts.placed = 0;
	}
	reason = verity_decide(&facts);
	return reason ? answer_at(&facts, reason, NULL, &scratch->real) : 0;
}

static __always_inline int check_unlinked(struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;

	return inode && is_asked_of_removals() && may_have_anchors(inode->i_sb)
		       ? check_stays(inode, dentry, NULL)
		       : 0;
}

static __always_inline int check_rmdir(struct dentry *dentry)
{
	return dentry->d_flags & DCACHE_MOUNTED ? check_unlinked(dentry) : 0;
}

static __always_inline int check_replaced(struct dentry *dentry, struct dentry *new_dentry)
{
	struct inode *inode = dentry->d_inode, *before = new_dentry->d_inode;
	int refused;

	if (!inode || !is_asked_of_removals() || !may_have_anchors(inode->i_sb))
		return 0;
	/* Two names of one file: the kernel renames nothing. */
	if (inode == before)
		return 0;
	refused = check_stays(inode, dentry, NULL);
	if (refused || !before || (before->i_mode & S_IFMT) == S_IFDIR)
		return refused;
	return check_stays(before, new_dentry, inode);
}

#endif
