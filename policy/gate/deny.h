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
#include "object.h"

static __always_inline void copy_denial(__u32 index, const struct denial *draft)
{
	struct denial *place = bpf_map_lookup_elem(&denials, &index);

	if (place)
		bpf_probe_read_kernel(place, sizeof(*place), draft);
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
	return observed;
}

/*
 * `file` may be NULL; it must be one that the verifier trusts. `path`, where it isn't NULL, is what is
 * written down of it.
 */
static __always_inline int answer_at(const struct verity_facts *facts, __u32 reason,
				     struct file *file, const struct path_key *path)
{
	__u32 enforced = verity_denies(facts, reason) ? 1 : 0;
	__u32 index = reason < VERITY_REASONS ? reason : VERITY_UNDECIDED;
	struct count *count = bpf_map_lookup_elem(&counts, &index);
	struct task_struct *task = bpf_get_current_task_btf();
	struct control *all = THE(control);
	struct denial *draft;

	/* Until all grants are in (the census is what follows) nothing true can be said of others. */
	if (facts->state == VERITY_STATE_LOADING && !enforced && all && !all->counted)
		return 0;
	if (count)
		__sync_fetch_and_add(enforced ? &count->denied : &count->observed, 1);
	draft = bpf_task_storage_get(&drafts, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!draft || !all)
		return negative(enforced * EPERM);
	draft->boot_ns = bpf_ktime_get_boot_ns();
	draft->enforced = enforced;
	draft->reason = index;
	draft->act = facts->act;
	draft->uid = bpf_get_current_uid_gid();
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

static __always_inline int answer(const struct verity_facts *facts, __u32 reason, struct file *file)
{
	return answer_at(facts, reason, file, NULL);
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
	return answer(&facts, reason, NULL);
}

#endif
