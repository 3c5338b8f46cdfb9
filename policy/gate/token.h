/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_TOKEN_H
#define VERITY_TOKEN_H
/*
 * Unlock tokens: taken, and taken back. What one that was taken lets through is unlock.h's business.
 *
 * Rules:
 * - the token is copied into storage of the calling thread first, and is read and verified there: it
 *   neither needs the staging area nor waits for who has it;
 * - nothing is used up before the signatures hold: no typing error costs a token;
 * - a token is taken once in a boot: of two calls with the same one, the one that puts its id into
 *   the map has it. The deadline is written last, and is what makes it live;
 * - a task with a token of the scope session begins the session: it is tagged, and what it begins.
 */
#include "documents.h"
#include "unlock.h"

static __always_inline struct verity_unlock_token *token_of(struct upload *upload)
{
	return (void *)upload->part;
}

static __always_inline int is_nothing(const __u8 *bytes, int size)
{
	__u8 any = 0;

	for (int i = 0; i < size; i++)
		any |= bytes[i];
	return !any;
}

static __always_inline int differs(const __u8 *left, const __u8 *right, int size)
{
	__u8 any = 0;

	for (int i = 0; i < size; i++)
		any |= left[i] ^ right[i];
	return any;
}

/* --- the operand -------------------------------------------------------------------------- */

struct operand_walk {
	__u32 len;	/* of the path; 0: it hasn't ended yet */
	__u32 letters;	/* of the component at hand, 3 for more */
	__u32 dots;	/* likewise, that are dots */
	__u32 wrong;
};

/* An empty component, `.` or `..`. */
static __always_inline int is_no_name(const struct operand_walk *walk)
{
	return walk->letters == walk->dots && walk->letters < 3;
}

static long check_letter(__u32 index, struct operand_walk *walk)
{
	struct upload *upload = own_upload();
	__u8 letter;

	if (!upload || index >= VERITY_OPERAND_SIZE) {
		walk->wrong = 1;
		return 1;
	}
	letter = upload->part[__builtin_offsetof(struct verity_unlock_token, operand) + index];
	if (walk->len) {
		walk->wrong |= letter;
		return 0;
	}
	if (!letter || letter == '/') {
		walk->wrong |= index ? is_no_name(walk) : !letter;
		if (!letter)
			walk->len = index;
		walk->letters = 0;
		walk->dots = 0;
		return 0;
	}
	walk->wrong |= !index;
	/* Three are as good as more, and few numbers are quickly verified. */
	if (walk->letters < 3) {
		walk->letters++;
		walk->dots += letter == '.';
	}
	return 0;
}

/* The length of the path that the operand is, absolute and in its one spelling; else 0. */
__noinline __u32 operand_path(void)
{
	struct operand_walk walk = {};

	bpf_loop(VERITY_OPERAND_SIZE, check_letter, &walk, 0);
	return walk.wrong ? 0 : walk.len;
}

/* What the scope wants, and nothing of the trust files. */
static __always_inline int check_operand(struct upload *upload)
{
	const struct verity_unlock_token *token = token_of(upload);
	const struct path_key *operand = (const void *)token->operand;
	__u64 digest = 0, rest = 0;

	upload->operand_len = 0;
	if (token->scope == VERITY_UNLOCK_PATH_PREFIX ||
	    token->scope == VERITY_UNLOCK_CONFIG_PATH) {
		upload->operand_len = operand_path();
		return upload->operand_len && !is_trust_path(operand);
	}
	for (int i = 0; i < PATH_WORDS; i++) {
		if (i < VERITY_SHA256_SIZE / 8)
			digest |= operand->word[i];
		else
			rest |= operand->word[i];
	}
	return !rest && !digest == (token->scope != VERITY_UNLOCK_DIGEST);
}

/* --- taking one --------------------------------------------------------------------------- */

/*
 * 1. A token, and nothing in it that would be anybody's.
 * 2. For this boot, this host and this policy.
 * 3. A scope that the policy opens, about something, for no longer than the policy says.
 * 4. In time.
 * 5. Not taken before, and there is room.
 */
static __always_inline int check_token(struct upload *upload)
{
	const struct verity_unlock_token *token = token_of(upload);
	const struct verity_config *configured = THE(config);
	const struct gate_policy *named = THE(policy);
	const struct control *all = THE(control);
	__u64 now = bpf_ktime_get_boot_ns() / NS_PER_S, longest = 0;

	if (!configured || !named || !all)
		return VERITY_REFUSED_NO_ROOM;
	/* 1. */
	if (!is_kind(token->kind, VERITY_KIND_UNLOCK))
		return VERITY_REFUSED_KIND;
	if (token->zero || !is_serial(token->policy_serial) || !is_serial(token->apply_before_s) ||
	    is_nothing(token->boot_nonce, sizeof(token->boot_nonce)) ||
	    is_nothing(token->token_id, sizeof(token->token_id)) ||
	    is_nothing(token->host_id, sizeof(token->host_id)) ||
	    is_nothing(token->reason, sizeof(token->reason)))
		return VERITY_REFUSED_HEADER;
	/* 2. */
	if (differs(token->boot_nonce, configured->boot_nonce, sizeof(token->boot_nonce)))
		return VERITY_REFUSED_NONCE;
	if (differs(token->host_id, configured->host_id, sizeof(token->host_id)))
		return VERITY_REFUSED_HOST;
	if (token->policy_serial != named->serial)
		return VERITY_REFUSED_POLICY_SERIAL;
	/* 3. */
	if (token->scope < VERITY_SCOPES)
		longest = named->unlock_seconds[token->scope & (VERITY_SCOPES - 1)];
	if (!longest)
		return VERITY_REFUSED_SCOPE;
	if (!check_operand(upload))
		return VERITY_REFUSED_OPERAND;
	if (token->duration_s > longest)
		return VERITY_REFUSED_DURATION;
	/* 4. */
	if (token->apply_before_s <= now)
		return VERITY_REFUSED_APPLY_BEFORE;
	if (token->apply_before_s - now > VERITY_UNLOCK_AHEAD_S)
		return VERITY_REFUSED_APPLY_AHEAD;
	/* 5. */
	if (bpf_map_lookup_elem(&used_tokens, token->token_id))
		return VERITY_REFUSED_USED;
	return all->unlocks < VERITY_UNLOCKS ? 0 : VERITY_REFUSED_USED_FULL;
}

/* As the keys say, or more if the policy does. */
static __always_inline __u32 unlock_threshold(__u32 scope)
{
	const struct gate_policy *named = THE(policy);
	__u32 threshold = threshold_of(VERITY_PARTY_USER, VERITY_ROLE_UNLOCK), more;

	if (!named || !threshold)
		return 0;
	more = named->unlock_owners[scope & (VERITY_SCOPES - 1)];
	return more > threshold ? more : threshold;
}

/* From here on it is used up. */
static __always_inline int keep_token(struct upload *upload)
{
	const struct verity_unlock_token *token = token_of(upload);
	struct control *all = THE(control);
	__u64 now = bpf_ktime_get_boot_ns(), *tag = NULL;
	struct unlock *unlock;
	__u32 one = 1, index;

	if (!all)
		return VERITY_REFUSED_NO_ROOM;
	if (token->scope == VERITY_UNLOCK_SESSION && token->duration_s) {
		tag = bpf_task_storage_get(&session_tags, bpf_get_current_task_btf(), 0,
					   BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (!tag)
			return VERITY_REFUSED_NO_ROOM;
	}
	if (bpf_map_update_elem(&used_tokens, token->token_id, &one, BPF_NOEXIST))
		return bpf_map_lookup_elem(&used_tokens, token->token_id) ? VERITY_REFUSED_USED
									   : VERITY_REFUSED_USED_FULL;
	index = __sync_fetch_and_add(&all->unlocks, 1);
	unlock = bpf_map_lookup_elem(&unlocks, &index);
	if (!unlock)
		return VERITY_REFUSED_USED_FULL;
	__builtin_memcpy(&unlock->id, token->token_id, sizeof(unlock->id));
	__builtin_memcpy(unlock->reason, token->reason, sizeof(unlock->reason));
	__builtin_memcpy(&unlock->operand, token->operand, sizeof(unlock->operand));
	unlock->operand_len = upload->operand_len;
	unlock->scope = token->scope;
	unlock->owners = upload->owners;
	unlock->drill = !token->duration_s;
	unlock->applied_ns = now;
	if (unlock->drill) {
		__sync_lock_test_and_set(&unlock->until_ns, now);
		return 0;
	}
	if (token->scope == VERITY_UNLOCK_OFF)
		all->tainted = 1;
	__sync_lock_test_and_set(&unlock->until_ns, now + token->duration_s * NS_PER_S);
	if (tag) {
		*tag = (__u64)index + 1;
		all->sessions_begun = 1;
	}
	__sync_lock_test_and_set(&all->unlocked, (__u64)index + 1);
	return 0;
}

/*
 * 1. The request; and a gate that is sealed.
 * 2. What the token says.
 * 3. Signed by the threshold of the user's role unlock.
 * 4. It counts from now on.
 */
static __always_inline int call_unlock(const struct verity_request *request)
{
	struct upload *upload;
	__u32 nsig = request->nsig;
	int refusal;

	/* 1. */
	if (request->len != sizeof(struct verity_unlock_token) || !nsig || nsig > VERITY_OWNERS)
		return VERITY_REFUSED_REQUEST;
	if (gate_state() < VERITY_STATE_SEALED)
		return VERITY_REFUSED_NOT_SEALED;
	upload = bpf_task_storage_get(&uploads, bpf_get_current_task_btf(), 0,
				      BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!upload)
		return VERITY_REFUSED_NO_ROOM;
	/* An upload that this thread has begun is over: its place is needed here. */
	upload->session = 0;
	if (bpf_copy_from_user(upload->part, sizeof(struct verity_unlock_token),
			       (const void *)request->data) ||
	    bpf_copy_from_user(upload->signatures, nsig * sizeof(struct verity_signature),
			       (const void *)request->sigs))
		return VERITY_REFUSED_MEMORY;
	/* 2. */
	refusal = check_token(upload);
	if (refusal)
		return refusal;
	/* 3. */
	upload->len = sizeof(struct verity_unlock_token);
	refusal = check_signatures_over(1, nsig, VERITY_PARTY_USER, VERITY_ROLE_UNLOCK,
					unlock_threshold(token_of(upload)->scope));
	if (refusal)
		return refusal;
	/* 4. */
	return keep_token(upload);
}

/* --- taking back -------------------------------------------------------------------------- */

struct relock {
	struct token_id id;
	__u64 now;
	__u32 one; /* only the one with this id */
	__u32 found;
};

static long relock_one(__u32 index, struct relock *relock)
{
	struct unlock *unlock = bpf_map_lookup_elem(&unlocks, &index);

	if (!unlock)
		return 1;
	if (!is_live(unlock, relock->now))
		return 0;
	if (relock->one && (unlock->id.word[0] != relock->id.word[0] ||
			    unlock->id.word[1] != relock->id.word[1]))
		return 0;
	relock->found = 1;
	__sync_lock_test_and_set(&unlock->relocked_ns, relock->now);
	return 0;
}

/* All tokens, of which there may be none; or the one with this id, which must be live. */
static __always_inline int call_relock(const struct verity_request *request)
{
	struct relock relock = {.now = bpf_ktime_get_boot_ns(), .one = request->len != 0};

	if (request->nsig || request->sigs ||
	    (request->len ? request->len != sizeof(relock.id) : request->data != 0))
		return VERITY_REFUSED_REQUEST;
	if (gate_state() < VERITY_STATE_SEALED)
		return VERITY_REFUSED_NOT_SEALED;
	if (relock.one && bpf_copy_from_user(&relock.id, sizeof(relock.id),
					     (const void *)request->data))
		return VERITY_REFUSED_MEMORY;
	bpf_loop(VERITY_UNLOCKS, relock_one, &relock, 0);
	return relock.one && !relock.found ? VERITY_REFUSED_NO_UNLOCK : 0;
}

#endif
