/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_IDS_H
#define VERITY_IDS_H
/*
 * Ids and capabilities that change without an execve, and memory that is shared across that.
 *
 * Nobody becomes privileged but by execve, which drops all that was mapped: whoever isn't privileged
 * may map what it likes. Setting ids would do it in a child user namespace with an id of the host's
 * in its map, and with capabilities that the policy doesn't name.
 *
 * Whoever gives privilege up while others have the same memory is marked, and what it maps goes on
 * to count as privileged: one of the others would run it. So no task that is neither privileged nor
 * marked has the same memory as a privileged one:
 *
 * 1. Only a task gives up its own privilege, in one of the system calls below, and only a task makes
 *    others that have its memory (CLONE_VM). So while the hook looks, the task itself makes none;
 *    one that it made before is counted in mm_users before clone(2) returns to it.
 * 2. mm_users is 1: the task has the memory alone and needs no mark. Whoever has it later descends
 *    from this task, isn't privileged either, and becomes so by execve only, with memory of its own.
 * 3. mm_users is more: the mark. Others may only look at the memory (/proc/PID/, a kernel thread, a
 *    worker of io_uring): then the mark is one too many, and never one too few.
 * 4. A child of a marked or privileged task with the same memory that isn't privileged itself is marked
 *    before it can run. One with memory of its own isn't: nobody who is privileged runs what is in there.
 * 5. The mark is of one execve (self_exec_id): the next one has other memory. And it is void once
 *    the task has its memory alone, by 2.
 *
 * What gives up what makes a subject privileged (subject.h):
 *   user ids                    task_fix_setuid, setfsuid(2) included
 *   groups                      task_fix_setgid, task_fix_setgroups
 *   capabilities, permitted and inheritable: capset; and task_fix_setuid, where the capability
 *                               module, always the first, has taken them from `new` already
 *   capabilities, ambient       never more than the permitted ones, so what prctl(2) takes away
 *                               changes nothing; likewise the bounding set and securebits
 *   capabilities, all, by entering another user namespace: userns_create for unshare(2), task_alloc
 *                               for clone(2), and capable for setns(2), which asks for CAP_SYS_ADMIN
 *                               in the namespace that it enters and has no hook of its own
 */
#include "deny.h"
#include "scripts.h"
#include "subject.h"

/* --- marks ---------------------------------------------------------------------------------- */

static __always_inline int is_shared(struct task_struct *task)
{
	return task->mm->mm_users.counter > 1;
}

static __always_inline int is_marked(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 *mark = bpf_task_storage_get(&marks, task, 0, 0);

	if (!mark || *mark != task->self_exec_id)
		return 0;
	if (is_shared(task))
		return 1;
	/* Void for good: who comes to share the memory now isn't privileged. */
	*mark = 0;
	return 0;
}

/* Without a mark the answer is no: what the task would map then could not be judged. */
static __always_inline int put_mark(struct task_struct *task)
{
	struct verity_facts facts = {.act = VERITY_ACT_MAP,
				     .state = gate_state(),
				     .privileged = 1,
				     .prot = VERITY_PROT_EXEC,
				     .digest = ~0u};
	__u64 *mark = bpf_task_storage_get(&marks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!mark)
		return answer(&facts, verity_decide(&facts), NULL);
	*mark = task->self_exec_id;
	return 0;
}

/* The task is about to give privilege up. */
static __always_inline int mark_if_shared(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return is_shared(task) ? put_mark(task) : 0;
}

/* Whether what the task maps may be run by somebody who is privileged. */
static __always_inline int maps_as_privileged(void)
{
	return is_privileged(current_cred()) || is_marked();
}

/*
 * Whoever is begun by a task of a session is of it, too; without a tag it isn't begun. One that is over
 * begins nothing.
 */
static __always_inline int keep_session(struct task_struct *child)
{
	struct verity_facts facts = {.act = VERITY_ACT_EXEC,
				     .state = gate_state(),
				     .privileged = 1,
				     .digest = ~0u};
	__u64 *tag, *own;

	own = bpf_task_storage_get(&session_tags, bpf_get_current_task_btf(), 0, 0);
	if (!own)
		return 0;
	if (is_session_over())
		return end_session(VERITY_ACT_EXEC);
	tag = bpf_task_storage_get(&session_tags, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!tag)
		return answer(&facts, verity_decide(&facts), NULL);
	*tag = *own;
	return 0;
}

SEC("lsm/task_alloc")
int BPF_PROG(verity_task_alloc, struct task_struct *child, unsigned long flags)
{
	struct control *all = THE(control);

	if (all && all->sessions_begun) {
		int refused = keep_session(child);

		if (refused)
			return refused;
	}
	keep_script(child);
	/* What is privileged needs no mark until it gives that up, and is asked then. */
	if (!(flags & CLONE_VM) || gate_state() == VERITY_STATE_OFF || is_privileged(child->cred))
		return 0;
	return is_privileged(current_cred()) || is_marked() ? put_mark(child) : 0;
}

/* --- ids ------------------------------------------------------------------------------------ */

static __always_inline int check_ids(const struct cred *new, const struct cred *old)
{
	struct verity_facts facts = {.act = VERITY_ACT_ELEVATE, .raises = 1, .privileged = 1};
	int before, after;

	facts.state = gate_state();
	if (facts.state == VERITY_STATE_OFF)
		return 0;
	facts.observed = observed_reasons();
	before = is_privileged(old);
	after = is_privileged(new);
	if (before == after)
		return 0;
	return before ? mark_if_shared() : answer(&facts, verity_decide(&facts), NULL);
}

SEC("lsm/task_fix_setuid")
int BPF_PROG(verity_fix_setuid, struct cred *new, const struct cred *old, int flags)
{
	return check_ids(new, old);
}

SEC("lsm/task_fix_setgid")
int BPF_PROG(verity_fix_setgid, struct cred *new, const struct cred *old, int flags)
{
	return check_ids(new, old);
}

SEC("lsm/task_fix_setgroups")
int BPF_PROG(verity_fix_setgroups, struct cred *new, const struct cred *old)
{
	return check_ids(new, old);
}

SEC("lsm/capset")
int BPF_PROG(verity_capset, struct cred *new, const struct cred *old)
{
	return check_ids(new, old);
}

/* --- user namespaces ------------------------------------------------------------------------ */

/* The task may be about to enter another one, where only its ids keep it privileged. */
static __always_inline int check_entry(void)
{
	const struct cred *cred = current_cred();

	if (gate_state() == VERITY_STATE_OFF || is_privileged_by_id(cred) || !is_privileged(cred))
		return 0;
	return mark_if_shared();
}

/*
 * Who makes one is not asked: root would make it for an ordinary user, who may run what nobody signed
 * and is the one to be kept from the kernel's many corners (ADR 34).
 */
SEC("lsm/userns_create")
int BPF_PROG(verity_userns_create, const struct cred *new)
{
	struct verity_facts facts = {.act = VERITY_ACT_USER_NAMESPACE, .state = gate_state()};
	int refused;

	if (facts.state == VERITY_STATE_OFF)
		return 0;
	facts.observed = observed_reasons();
	refused = answer(&facts, verity_decide(&facts), NULL);
	return refused ? refused : check_entry();
}

SEC("lsm/capable")
int BPF_PROG(verity_capable, const struct cred *cred, struct user_namespace *target, int cap)
{
	return cap == CAP_SYS_ADMIN && target->level ? check_entry() : 0;
}

#endif
