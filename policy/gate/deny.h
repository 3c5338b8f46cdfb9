/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_DENY_H
#define VERITY_DENY_H
/*
 * From a reason to an answer: counted, written down, and a denial where the state enforces it.
 *
 * The record is a ring in an array that `cat` reads through an iterator. It is no
 * BPF_MAP_TYPE_RINGBUF: whoever reads one of those holds a descriptor of it, and with a descriptor
 * of their own map root could load a program that writes it (ADR 13). The first record of each
 * reason is kept apart, so that a flood of one can't hide another. First means: since the gate was
 * loaded, whether it was denied or only observed; later ones, the first denial too, go to the ring
 * alone.
 */
#include "unlock.h"

#define FREQUENT_NS 60000000000ull

/*
 * Put a record into its place. A number stands there only while what is behind it is whole: it is
 * taken away before the first byte changes, and set after the last one, so that a reader who finds
 * the same number before and after has read one record. Two writers of one place are 256 refusals
 * apart; the later one leaves it, and an older record never covers a newer one. Either is lost then,
 * as from a ring that was overrun, and readers know it by the number that never comes.
 */
static __always_inline void copy_denial(__u32 index, const struct denial *draft)
{
	struct denial *place = bpf_map_lookup_elem(&denials, &index);

	if (!place || __sync_lock_test_and_set(&place->busy, 1))
		return;
	if (place->number < draft->number) {
		__sync_lock_test_and_set(&place->number, 0);
		bpf_probe_read_kernel(&place->boot_ns,
				      sizeof(*place) - __builtin_offsetof(struct denial, boot_ns),
				      &draft->boot_ns);
		__sync_lock_test_and_set(&place->number, draft->number);
	}
	__sync_lock_test_and_set(&place->busy, 0);
}

/*
 * The reasons that the signed policy has logged only, for what tasks start, map and reach into.
 * Without a policy none; and never for what the kernel itself runs, whatever the reason is called.
 */
static __always_inline __u32 observed_reasons(void)
{
	struct gate_policy *named = THE(policy);
	__u32 observed;

	if (!named)
		return 0;
	observed = named->observed_reasons & VERITY_OBSERVABLE;
	if (named->observed_acts & VERITY_OBSERVED_PTRACE)
		observed |= 1u << VERITY_TRACED;
	if (named->observed_acts & VERITY_OBSERVED_BLOCK_DEVICES)
		observed |= 1u << VERITY_DEVICE;
	if (named->observed_acts & VERITY_OBSERVED_USER_NAMESPACES)
		observed |= 1u << VERITY_USER_NAMESPACE;
	if (named->observed_acts & VERITY_OBSERVED_TRACING)
		observed |= 1u << VERITY_TRACING;
	if (named->observed_acts & VERITY_OBSERVED_BPF_PROGRAMS)
		observed |= 1u << VERITY_BPF_PROGRAM;
	return observed;
}

/*
 * Whether an act that the policy has only observed was written down less than a minute ago. A browser
 * makes user namespaces and systemd loads BPF programs all day: they are counted, and must not drive
 * what was denied out of the ring.
 */
static __always_inline int is_frequent(const struct verity_facts *facts, __u32 reason,
				       struct count *count)
{
	__u64 now = bpf_ktime_get_boot_ns();

	if (reason < VERITY_USER_NAMESPACE || reason > VERITY_BPF_PROGRAM ||
	    !verity_observes(facts, reason))
		return 0;
	if (count->last_ns && now - count->last_ns < FREQUENT_NS)
		return 1;
	count->last_ns = now;
	return 0;
}

/* Decided anew, with what live tokens have to do with it: the reason, and above its bits the outcome. */
#define REASON_BITS 5
_Static_assert(VERITY_REASONS <= 1 << REASON_BITS, "a reason has so many bits");

__noinline __u32 decide_anew(const struct verity_facts *facts)
{
	__u32 reason, outcome = OUTCOME_OBSERVED;

	if (!facts)
		return OUTCOME_DENIED << REASON_BITS | VERITY_UNDECIDED;
	reason = verity_decide_unlocked(facts) & ((1u << REASON_BITS) - 1);
	if (verity_denies(facts, reason))
		outcome = OUTCOME_DENIED;
	else if (verity_unlocks(facts, reason))
		outcome = OUTCOME_UNLOCKED;
	return outcome << REASON_BITS | reason;
}

enum asked_of {
	OF_NOTHING, /* no token opens it */
	OF_FILE,    /* or memory, or whatever else has no place */
	OF_PLACE,   /* of configuration, which the task's path scratch has, or says that it wasn't found */
};

/*
 * `file` may be NULL; it must be one that the verifier trusts. `path`, where it isn't NULL, is what is
 * written down of it. What an unlock of the scope off lets through is neither counted nor written down.
 */
static __always_inline int answer_as(enum asked_of of, struct verity_facts *facts, __u32 reason,
				     struct file *file, const struct path_key *path)
{
	__u32 outcome = verity_enforced(facts->state, reason) && !verity_observes(facts, reason)
				? OUTCOME_DENIED
				: OUTCOME_OBSERVED;
	__u32 index = reason < VERITY_REASONS ? reason : VERITY_UNDECIDED, enforced;
	struct task_struct *task = bpf_get_current_task_btf();
	struct control *all = THE(control);
	struct denial *draft;
	struct count *count;

	if (of != OF_NOTHING && outcome == OUTCOME_DENIED && all &&
	    (all->unlocked || all->sessions_begun)) {
		if (of == OF_PLACE)
			know_place_unlocks(facts);
		else
			know_unlocks(facts, file);
		if (facts->unlocked) {
			outcome = decide_anew(facts);
			reason = outcome & ((1u << REASON_BITS) - 1);
			outcome >>= REASON_BITS;
			index = reason < VERITY_REASONS ? reason : VERITY_UNDECIDED;
		}
		if (outcome == OUTCOME_UNLOCKED && facts->unlocked & VERITY_UNLOCKED_OFF)
			return 0;
	}
	count = bpf_map_lookup_elem(&counts, &index);
	enforced = outcome == OUTCOME_DENIED;
	/* Until all grants are in (the census is what follows) nothing true can be said of others. */
	if (facts->state == VERITY_STATE_LOADING && !enforced && all && !all->counted)
		return 0;
	if (count)
		__sync_fetch_and_add(enforced ? &count->denied : &count->observed, 1);
	if (count && is_frequent(facts, reason, count))
		return 0;
	draft = bpf_task_storage_get(&drafts, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!draft || !all)
		return negative(enforced * EPERM);
	draft->boot_ns = bpf_ktime_get_boot_ns();
	draft->outcome = outcome;
	draft->reason = index;
	draft->act = facts->act;
	draft->uid = task->real_cred->uid.val; /* on an overlay the present ones are another's */
	draft->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(draft->comm, sizeof(draft->comm));
	draft->has_digest = 0;
	draft->path[0] = 0;
	draft->path[sizeof(draft->path) - 1] = 0;
	if (file) {
		struct task_scratch *scratch = task_scratch();

		if (scratch && measure(file, scratch) == VERITY_DIGEST_KNOWN) {
			draft->has_digest = 1;
			__builtin_memcpy(draft->digest, &scratch->digest, sizeof(draft->digest));
		}
		if (bpf_path_d_path(&file->f_path, draft->path, sizeof(draft->path)) < 0)
			bpf_probe_read_kernel_str(draft->path, sizeof(draft->path),
						  BPF_CORE_READ(file, f_path.dentry, d_name.name));
	}
	if (path)
		bpf_probe_read_kernel(draft->path, sizeof(*path) - 1, path);
	draft->number = __sync_fetch_and_add(&all->denials, 1) + 1;
	copy_denial(draft->number % VERITY_DENIALS_RING, draft);
	/* Claimed by a word of its own: the two counts can't be read as one. */
	if (count && !__sync_lock_test_and_set(&count->kept, 1))
		copy_denial(VERITY_DENIALS_RING + index, draft);
	return negative(enforced * EPERM);
}

static __always_inline int answer(struct verity_facts *facts, __u32 reason, struct file *file)
{
	return answer_as(OF_FILE, facts, reason, file, NULL);
}

static __always_inline int answer_at(struct verity_facts *facts, __u32 reason, struct file *file,
				     const struct path_key *path)
{
	return answer_as(OF_PLACE, facts, reason, file, path);
}

/*
 * The task is of a session that is over: what it tries is refused, and it is ended. Asked first in each
 * hook that the tasks of a session come by, since others let through what is granted.
 */
static __noinline int end_session(__u32 act)
{
	struct verity_facts facts = {
		.act = act, .state = gate_state(), .unlocked = VERITY_UNLOCKED_OVER};
	int refused = answer_as(OF_NOTHING, &facts, verity_decide(&facts), NULL, NULL);

	if (refused)
		bpf_send_signal(SIGKILL);
	return refused;
}

static __always_inline int is_session_over(void)
{
	return session() & VERITY_UNLOCKED_OVER;
}

/* Of what no token opens: what becomes part of the kernel, and what is below a file system. */
static __always_inline int answer_shut(struct verity_facts *facts, __u32 reason, struct file *file)
{
	return answer_as(OF_NOTHING, facts, reason, file, NULL);
}

/* An act upon the gate itself. */
static __always_inline int answer_act(__u32 act)
{
	struct verity_facts facts = {.act = act, .state = gate_state()};

	__u32 reason = verity_decide(&facts);

	if (facts.state == VERITY_STATE_OFF)
		return 0;
	/* The loader at work on pins and keys: nothing to tell anybody. */
	if (facts.state == VERITY_STATE_LOADING && act != VERITY_ACT_PROGRAM)
		return negative(verity_enforced(facts.state, reason) ? EPERM : 0);
	return answer_as(OF_NOTHING, &facts, reason, NULL, NULL);
}

#endif
