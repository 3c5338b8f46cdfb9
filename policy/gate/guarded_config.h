/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_GUARDED_CONFIG_H
#define VERITY_GUARDED_CONFIG_H
/*
 * Guarded configuration: what a privileged task reads.
 *
 * A place that the policy guards as signed holds what grants put there, by path: a file with these
 * contents, a symlink with this target. Both of a file's places count (guarded_path.h), and a place
 * that could not be found out is a signed one without a grant.
 *
 * Who isn't privileged is asked nothing, nor anybody whose policy guards nothing.
 */
#include "deny.h"
#include "guarded_known.h"

static __always_inline int guards_anything(void)
{
	const struct gate_policy *named = THE(policy);

	return !named || named->n_guarded;
}

static __always_inline int is_asked_of_places(void)
{
	__u32 state;

	if (!guards_anything())
		return 0;
	state = gate_state();
	return state != VERITY_STATE_OFF && is_privileged(current_cred());
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

/* Whether it was renamed out of a signed place: asked behind what else is known of where it is. */
static __always_inline __u32 is_moved(struct inode *inode)
{
	const volatile struct inode_tag *tag = bpf_inode_storage_get(&inodes, inode, 0, 0);

	return tag && tag->moved;
}

static __noinline int check_read(struct file *file, const struct moment *then)
{
	struct verity_facts facts = {
		.act = VERITY_ACT_CONFIG, .state = gate_state(), .privileged = 1, .digest = ~0u};
	struct path_scratch *scratch = path_scratch();
	__u32 reason, scopes = 0, real = 0, moved = 1;

	facts.observed = observed_reasons();
	facts.guarded = VERITY_CLASS_SIGNED;
	if (scratch && locate(scratch, (__u64)file->f_path.dentry, mount_of(file->f_path.mnt))) {
		moved = is_moved(file->f_inode);
		facts.guarded = class_of(&scratch->seen);
		if (scratch->real_len)
			real = class_of(&scratch->real);
		if (facts.guarded == VERITY_CLASS_SIGNED || real == VERITY_CLASS_SIGNED) {
			know_contents(file, scratch, &facts, &scopes);
		} else if (moved) {
			/* It may have been looked up where it was signed, however long ago: a lease
			 * or a watcher can hold an open up. Who waits keeps the inode. */
			facts.guarded = VERITY_CLASS_SIGNED;
			facts.digest = VERITY_DIGEST_NONE;
		}
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
	if (reason)
		return answer_at(&facts, reason, file, NULL);
	if (!moved)
		keep_known(scratch, file, NULL, NULL, file->f_inode, then);
	return 0;
}

/* Whatever gives bytes to who opens it: a FIFO or a device at a signed place can say anything. */
static __always_inline int is_readable_kind(__u32 kind)
{
	return kind == S_IFREG || kind == S_IFIFO || kind == S_IFCHR || kind == S_IFBLK;
}

/* Whether an open is asked about. What was made by this very open is empty. */
static __always_inline int is_asked_of_open(struct file *file)
{
	__u32 kind = file->f_inode->i_mode & S_IFMT, state;

	if (!(file->f_mode & FMODE_READ) || (!is_readable_kind(kind) && kind != S_IFDIR) ||
	    !guards_anything())
		return 0;
	state = gate_state();
	if (state == VERITY_STATE_OFF || !is_privileged(current_cred()) || is_initial(file->f_inode))
		return 0;
	if (kind == S_IFDIR) {
		if (state == VERITY_STATE_LOADING)
			keep_anchor(file);
		return 0;
	}
	return !(file->f_mode & FMODE_CREATED);
}

/* Whether it is known that the file may be read there, unless it was moved: that is asked after this. */
static __always_inline int is_known_open(struct file *file, struct moment *now)
{
	int known;

	if (gate_state() == VERITY_STATE_LOADING || !take_moment(now))
		return 0;
	bpf_rcu_read_lock();
	known = is_known(file->f_path.dentry, file->f_inode, file->f_path.mnt, now);
	bpf_rcu_read_unlock();
	return known;
}

#endif
