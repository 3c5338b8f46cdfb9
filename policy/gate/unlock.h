/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_UNLOCK_H
#define VERITY_UNLOCK_H
/*
 * What the live tokens have to do with an act; asked only where it would be denied, and of tasks of a
 * session. Tokens come in by token.h.
 *
 * Rules:
 * - each look compares the deadline with the boot clock: nothing has to run for a token to end;
 * - nothing is remembered that a token allowed (object.h and guarded_known.h keep what is allowed
 *   without one), so there is nothing to forget when it ends;
 * - while no token is live this costs one load, and where nobody would be denied none at all;
 * - a place that couldn't be found out counts as one of the trust files, which no token opens.
 */
#include "guarded_path.h"

static __always_inline int is_live(const struct unlock *unlock, __u64 now)
{
	return unlock->until_ns > now && !unlock->relocked_ns;
}

/* --- paths -------------------------------------------------------------------------------- */

/* Whether a path is `head`, or below it; `head` is zero padded and has `len` bytes. */
__noinline int is_below(const struct path_key *path, const struct path_key *head, __u32 len)
{
	const __u8 *bytes;
	__u8 next;

	if (!path || !head)
		return 0;
	bytes = (const void *)path->word;
	for (__u32 i = 0; i < PATH_WORDS; i++) {
		__u64 differs = path->word[i] ^ head->word[i];

		if (len <= i * 8)
			break;
		if (len < i * 8 + 8)
			differs <<= (8 - (len & 7)) * 8;
		if (differs)
			return 0;
	}
	next = bytes[len & 255];
	return !next || next == '/';
}

#define TRUST_WORDS 3

struct trust_place {
	char text[TRUST_WORDS * 8];
	__u32 len;
	__u32 zero;
};

/* Where pins, keyrings, policy, the gate's own files and what boots them are. */
static const struct trust_place trust_places[] = {
	{"/etc/verity", sizeof("/etc/verity") - 1, 0},
	{"/usr/lib/verity", sizeof("/usr/lib/verity") - 1, 0},
	{"/var/lib/verity", sizeof("/var/lib/verity") - 1, 0},
	{"/boot", sizeof("/boot") - 1, 0},
	{"/sys/fs/bpf/verity", sizeof("/sys/fs/bpf/verity") - 1, 0},
};

/* Whether a path is one of these, or below it. */
__noinline int is_trust_path(const struct path_key *path)
{
	const __u8 *bytes;

	if (!path)
		return 1;
	bytes = (const void *)path->word;
	for (__u32 i = 0; i < sizeof(trust_places) / sizeof(*trust_places); i++) {
		const __u64 *word = (const void *)trust_places[i].text;
		__u32 len = trust_places[i].len;
		__u64 differs = 0;

		for (__u32 j = 0; j < TRUST_WORDS; j++) {
			__u64 other = path->word[j] ^ word[j];

			if (len <= j * 8)
				break;
			if (len < j * 8 + 8)
				other <<= (8 - (len & 7)) * 8;
			differs |= other;
		}
		if (!differs && (!bytes[len & 31] || bytes[len & 31] == '/'))
			return 1;
	}
	return 0;
}

/* --- what is live ------------------------------------------------------------------------- */

#define ASKED_NOTHING 0u /* of no file */
#define ASKED_CODE 1u	 /* of a file that is run, at scratch->seen */
#define ASKED_SEEN 2u	 /* scratch->seen is, or leads to, a signed place */
#define ASKED_REAL 4u	 /* likewise scratch->real */

struct unlock_search {
	struct path_scratch *scratch;
	const struct digest *digest; /* NULL: it has none */
	__u64 now;
	__u64 used;
	__u32 asked;
	__u32 found; /* VERITY_UNLOCKED_*, and bit 0 if any is live */
};

static __always_inline int is_same_digest(const struct digest *digest, const struct path_key *operand)
{
	__u64 differs = 0;

	for (int i = 0; i < 4; i++)
		differs |= digest->word[i] ^ operand->word[i];
	return !differs;
}

/*
 * By one of its places, or both, it is the token's; and by neither it is a signed place that the token
 * isn't about.
 */
static __always_inline int is_token_place(const struct unlock_search *search,
					  const struct unlock *unlock)
{
	struct path_scratch *scratch = search->scratch;
	int seen, real;

	if (!scratch || !(search->asked & (ASKED_SEEN | ASKED_REAL)))
		return 0;
	seen = is_below(&scratch->seen, &unlock->operand, unlock->operand_len);
	real = scratch->real_len && is_below(&scratch->real, &unlock->operand, unlock->operand_len);
	return (seen || real) && (seen || !(search->asked & ASKED_SEEN)) &&
	       (real || !(search->asked & ASKED_REAL));
}

static long ask_unlock(__u32 index, struct unlock_search *search)
{
	const struct unlock *unlock = bpf_map_lookup_elem(&unlocks, &index);
	int about = 0;

	if (!unlock || index >= search->used)
		return 1;
	if (!is_live(unlock, search->now))
		return 0;
	search->found |= 1;
	if (unlock->scope == VERITY_UNLOCK_OBSERVE_ONLY || unlock->scope == VERITY_UNLOCK_OFF)
		about = 1;
	else if (unlock->scope == VERITY_UNLOCK_DIGEST)
		about = search->digest && is_same_digest(search->digest, &unlock->operand);
	else if (unlock->scope == VERITY_UNLOCK_PATH_PREFIX)
		about = search->asked & ASKED_CODE && search->scratch &&
			is_below(&search->scratch->seen, &unlock->operand, unlock->operand_len);
	else if (unlock->scope == VERITY_UNLOCK_CONFIG_PATH)
		about = is_token_place(search, unlock);
	if (about)
		search->found |= 1u << (unlock->scope & 7);
	return 0;
}

/*
 * Asks each live token; bit 0 says whether there is one. Where none is left the word that leads here
 * is cleared, unless another token came meanwhile, which has put another number there.
 */
__noinline __u32 ask_unlocks(struct path_scratch *scratch, const struct digest *digest, __u32 asked)
{
	struct unlock_search search = {.scratch = scratch, .digest = digest, .asked = asked};
	struct control *all = THE(control);
	__u64 last;

	if (!all)
		return 0;
	last = all->unlocked;
	if (!last)
		return 0;
	search.used = all->unlocks;
	search.now = bpf_ktime_get_boot_ns();
	bpf_loop(VERITY_UNLOCKS, ask_unlock, &search, 0);
	if (!search.found)
		__sync_val_compare_and_swap(&all->unlocked, last, 0);
	return search.found;
}

static __always_inline int is_unlocked(void)
{
	struct control *all = THE(control);

	return all && all->unlocked;
}

/* --- sessions ----------------------------------------------------------------------------- */

/* Of the task at hand: VERITY_UNLOCKED_SESSION, _OVER, or 0 if it is of none. */
static __always_inline __u32 session(void)
{
	struct control *all = THE(control);
	const struct unlock *unlock;
	__u32 index;
	__u64 *tag;

	if (!all || !all->sessions_begun)
		return 0;
	tag = bpf_task_storage_get(&session_tags, bpf_get_current_task_btf(), 0, 0);
	if (!tag)
		return 0;
	index = *tag - 1;
	unlock = bpf_map_lookup_elem(&unlocks, &index);
	return unlock && is_live(unlock, bpf_ktime_get_boot_ns()) ? VERITY_UNLOCKED_SESSION
								   : VERITY_UNLOCKED_OVER;
}

/* --- facts -------------------------------------------------------------------------------- */

/* Whether a place that was looked for is one of the trust files, or wasn't found. */
static __always_inline __u32 is_trust_place(const struct path_scratch *scratch)
{
	return (!scratch->seen_len && !scratch->real_len) || is_trust_path(&scratch->seen) ||
	       (scratch->real_len && is_trust_path(&scratch->real));
}

/* What live tokens have to do with an act that would be denied, of a file or, if it is NULL, of none. */
static __noinline void know_unlocks(struct verity_facts *facts, struct file *file)
{
	struct path_scratch *scratch = path_scratch();
	struct task_scratch *measured = task_scratch();
	const struct digest *digest = NULL;
	__u32 act = facts->act, asked = ASKED_NOTHING;

	facts->unlocked |= session();
	if (!is_unlocked() || !scratch)
		return;
	if (file && (act == VERITY_ACT_EXEC || act == VERITY_ACT_ELEVATE || act == VERITY_ACT_MAP)) {
		asked = ASKED_CODE;
		locate(scratch, (__u64)file->f_path.dentry, mount_of(file->f_path.mnt));
		facts->trust = is_trust_place(scratch);
		if (facts->digest == VERITY_DIGEST_KNOWN && measured &&
		    measure(file, measured) == VERITY_DIGEST_KNOWN)
			digest = &measured->digest;
	}
	facts->unlocked |= ask_unlocks(scratch, digest, asked) & ~1u;
}

/* Likewise, at a place that the scratch has. Apart from the above, or its stack would be too deep. */
static __noinline void know_place_unlocks(struct verity_facts *facts)
{
	struct path_scratch *scratch = path_scratch();
	__u32 asked = ASKED_NOTHING;

	facts->unlocked |= session();
	if (!scratch) {
		facts->trust = 1;
		return;
	}
	facts->trust = is_trust_place(scratch);
	if (!is_unlocked() || facts->trust)
		return;
	if (class_of_way(&scratch->seen, scratch->seen_len) == VERITY_CLASS_SIGNED)
		asked |= ASKED_SEEN;
	if (scratch->real_len &&
	    class_of_way(&scratch->real, scratch->real_len) == VERITY_CLASS_SIGNED)
		asked |= ASKED_REAL;
	facts->unlocked |= ask_unlocks(scratch, NULL, asked) & ~1u;
}

#endif
