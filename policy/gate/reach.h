/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_REACH_H
#define VERITY_REACH_H
/*
 * Reaching into what has been checked: a privileged task's memory and files, and the disk below a
 * file system.
 *
 * - Tracing, process_vm_writev, pidfd_getfd and opening /proc/PID/mem ask ptrace_access_check with
 *   ATTACH. Who may look only (ps, /proc/PID/maps) asks with READ, and is let through.
 * - A task's own /proc/self/mem asks nobody and writes even into its code: refused to who is
 *   privileged, when it is opened for writing.
 * - Who gave privilege up and may share its memory with somebody who didn't counts as privileged,
 *   as for what it maps.
 * - A task that is traced already and becomes privileged by execve would stay in the tracer's hand
 *   where the tracer has CAP_SYS_PTRACE: refused, as is asking to be traced.
 * - A block device that is mounted, or claimed by whom ever, is not written behind its owner's back.
 *   Not seen here: descriptors from before the load, and SCSI and NVMe commands sent by hand.
 */
#include "ids.h"
#include "protect.h"

static __noinline int answer_trace(struct file *file)
{
	struct verity_facts facts = {
		.act = VERITY_ACT_TRACE, .state = gate_state(), .privileged = 1};

	facts.observed = observed_reasons();
	return answer(&facts, verity_decide(&facts), file);
}

/* What it maps counts as privileged, since somebody privileged may have the same memory (ids.h). */
static __always_inline int is_marked_child(struct task_struct *child)
{
	__u64 *mark = bpf_task_storage_get(&marks, child, 0, 0);

	return mark && *mark == child->self_exec_id;
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(verity_ptrace_access, struct task_struct *child, unsigned int mode)
{
	if (!(mode & PTRACE_MODE_ATTACH) || gate_state() == VERITY_STATE_OFF)
		return 0;
	return is_privileged(child->real_cred) || is_marked_child(child) ? answer_trace(NULL) : 0;
}

SEC("lsm/ptrace_traceme")
int BPF_PROG(verity_ptrace_traceme, struct task_struct *parent)
{
	if (gate_state() == VERITY_STATE_OFF || !maps_as_privileged())
		return 0;
	return answer_trace(NULL);
}

/*
 * Two forms of PR_SET_MM say which file a task runs, and whether it may have executable memory
 * without a file is asked by that. With the others systemd changes the title of a process. No opinion
 * is -ENOSYS here: 0 would mean that the call has been dealt with.
 */
SEC("lsm/task_prctl")
int BPF_PROG(verity_task_prctl, int option, unsigned long second)
{
	__u32 form = second; /* the kernel looks at no more of it */
	int refused = 0;

	if (option == PR_SET_MM && (form == PR_SET_MM_EXE_FILE || form == PR_SET_MM_MAP) &&
	    gate_state() != VERITY_STATE_OFF && maps_as_privileged())
		refused = answer_trace(NULL);
	return refused ? negative(EPERM) : negative(ENOSYS);
}

static __always_inline int is_own_memory(struct file *file)
{
	return file->f_inode->i_sb->s_magic == PROC_SUPER_MAGIC &&
	       is_named(file->f_path.dentry, "mem", sizeof("mem"));
}

/* What a claim of a part leaves at the whole disk: not a claim of the whole. */
extern const void bd_may_claim __ksym __weak;

/* Whether somebody else has claimed the device, or the whole disk that it is a part of. */
static __always_inline int is_in_use(struct file *file)
{
	struct inode *host = BPF_CORE_READ(file, f_mapping, host);
	struct bdev_inode *around = (void *)host - bpf_core_field_offset(struct bdev_inode, vfs_inode);
	struct block_device *device = &around->bdev, *whole;
	void *holder = BPF_CORE_READ(device, bd_holder);

	/* O_EXCL is a claim of this file itself. */
	if (holder && holder != (void *)file)
		return 1;
	whole = BPF_CORE_READ(device, bd_disk, part0);
	holder = BPF_CORE_READ(whole, bd_holder);
	return whole != device && holder && holder != (void *)&bd_may_claim;
}

/*
 * swapoff(2) opens the device for writing to find out which one is meant, and gives nobody a descriptor. The
 * mark ends with the call itself: what io_uring does on the way out of one comes later.
 */
static __always_inline int mark_swapoff(__u64 begins)
{
	struct task_scratch *scratch =
		bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0,
				     begins ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);

	if (scratch)
		scratch->in_swapoff = begins;
	return 0;
}

SEC("fentry/__x64_sys_swapoff")
int BPF_PROG(verity_swapoff, const struct pt_regs *regs)
{
	return mark_swapoff(1);
}

SEC("fexit/__x64_sys_swapoff")
int BPF_PROG(verity_swapoff_end, const struct pt_regs *regs)
{
	return mark_swapoff(0);
}

static __always_inline int is_swapped_off(void)
{
	struct task_scratch *scratch =
		bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);

	return scratch && scratch->in_swapoff;
}

static __noinline int answer_device(struct file *file)
{
	struct verity_facts facts = {.act = VERITY_ACT_DEVICE, .state = gate_state()};

	if (facts.state == VERITY_STATE_OFF)
		return 0;
	facts.observed = observed_reasons();
	return answer_shut(&facts, verity_decide(&facts), file);
}

static __always_inline int check_written(struct file *file)
{
	if ((file->f_inode->i_mode & S_IFMT) == S_IFBLK)
		return is_in_use(file) && !is_swapped_off() ? answer_device(file) : 0;
	if (!is_own_memory(file) || gate_state() == VERITY_STATE_OFF || !maps_as_privileged())
		return 0;
	return answer_trace(file);
}

#endif
