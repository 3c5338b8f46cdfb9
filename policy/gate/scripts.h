/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_SCRIPTS_H
#define VERITY_SCRIPTS_H
/*
 * Which tasks run an interpreter that was started for a granted script. The seal asks it of what runs
 * by then (loader/late.c), and an interpreter that runs doesn't show what it was started for.
 *
 * 1. A granted file that begins with `#!` leaves the number of its execve.
 * 2. A listed interpreter that is let start in the same execve leaves the number that self_exec_id has
 *    from then on: the next execve makes it void.
 * 3. A child goes on with the same program, so it has its parent's mark.
 *
 * Only while the gate observes: what is older has no mark, and once sealed nothing else is let. Without
 * memory there is no mark, and what was refused takes it away: then the seal fails, and nothing passes.
 */
#include "deny.h"

/* 1. */
static __always_inline void begin_script(const struct linux_binprm *bprm)
{
	__u64 *mark;

	if (gate_state() != VERITY_STATE_OBSERVE || bprm->buf[0] != '#' || bprm->buf[1] != '!')
		return;
	mark = bpf_task_storage_get(&scripts, bpf_get_current_task_btf(), 0,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (mark)
		*mark = (__u64)bprm;
}

/* 2. The answer for a file of this execve is `reason`. */
static __always_inline void mark_script(const struct linux_binprm *bprm,
					const struct verity_facts *facts, __u32 reason)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 *mark;

	if (!reason && !(facts->granted & VERITY_CODE_INTERPRETER))
		return begin_script(bprm);
	mark = bpf_task_storage_get(&scripts, task, 0, 0);
	if (mark && (reason || *mark == (__u64)bprm))
		*mark = reason ? 0 : task->self_exec_id + 1;
}

static __always_inline int runs_script(struct task_struct *task)
{
	__u64 *mark = bpf_task_storage_get(&scripts, task, 0, 0);

	return mark && *mark && *mark == task->self_exec_id;
}

/* 3. */
static __always_inline void keep_script(struct task_struct *child)
{
	__u64 *mark;

	if (gate_state() != VERITY_STATE_OBSERVE || !runs_script(bpf_get_current_task_btf()))
		return;
	mark = bpf_task_storage_get(&scripts, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (mark)
		*mark = child->self_exec_id;
}

/* A line for each, its number. */
SEC("iter/task")
int verity_scripts(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task && runs_script(task))
		BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}

#endif
