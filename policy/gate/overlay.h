/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_OVERLAY_H
#define VERITY_OVERLAY_H
/*
 * Code on overlayfs, as in a container: judged by the file of the layer below.
 *
 * A file of an overlay has no digest. The one below has, if it is there unchanged, and only
 * mmap_backing_file has both. So an executable mapping, and the start of an ELF file, is put off until
 * that hook; where the kernel lacks it, both are refused as before.
 *
 * 1. A start is put off once in each execve, for an ELF file alone: nobody maps a script. Never for
 *    the first process, which can't be killed.
 * 2. The first executable mapping of that file is judged as its start. What is refused there ends
 *    the process: execve can't go back any more.
 * 3. An ELF file needn't map anything executable: it may ask for an executable stack and point
 *    into it. And binfmt_misc may hand it to an interpreter. So where 2. hasn't happened when
 *    execve is done, the process is killed before its first instruction.
 *
 * Copying up goes one way: what was read of a file's head came from the layer that is mapped, or
 * from one below it, and then the mapping is refused. An overlay on an overlay stays refused.
 */
#include "ids.h"

#define ELF_MAGIC 0x464c457fu

static __always_inline int is_on_overlay(struct file *file)
{
	return file->f_inode->i_sb->s_magic == OVERLAYFS_SUPER_MAGIC;
}

/* Whether the file below is judged in place of this one. */
static __always_inline int has_backing(struct file *file)
{
	struct verity_config *found = THE(config);

	return found && found->backing && is_on_overlay(file);
}

/* Whether it was ever done, which only a host with privileged containers does. */
static __always_inline int has_put_off(void)
{
	struct control *all = THE(control);

	return !all || all->put_off;
}

/* What an execve before this one has left, which didn't come to its end. */
static __always_inline void begin_exec(const struct linux_binprm *bprm)
{
	struct task_scratch *scratch;

	if (bprm->interp != bprm->filename || !has_put_off())
		return;
	scratch = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);
	if (scratch)
		scratch->pending = 0;
}

/* 1. */
static __always_inline int is_put_off(const struct linux_binprm *bprm)
{
	struct control *all = THE(control);
	struct task_scratch *scratch;
	__u32 magic = 0;

	if (!has_backing(bprm->file) || bpf_get_current_pid_tgid() >> 32 == 1 ||
	    bpf_probe_read_kernel(&magic, sizeof(magic), bprm->buf) || magic != ELF_MAGIC)
		return 0;
	scratch = task_scratch();
	if (!all || !scratch || scratch->pending)
		return 0;
	all->put_off = 1;
	scratch->pending = (__u64)bprm->file;
	return 1;
}

/*
 * Not by its present credentials: overlayfs has put in their place those of who mounted it, root or
 * an ordinary user in a namespace of their own.
 */
static __always_inline int is_mapped_by_privileged(void)
{
	return is_privileged(bpf_get_current_task_btf()->real_cred) || is_marked();
}

SEC("lsm/mmap_backing_file")
int BPF_PROG(verity_mmap_backing_maybe, struct vm_area_struct *vma, struct file *backing,
	     struct file *user)
{
	struct verity_facts facts = {
		.act = VERITY_ACT_MAP, .privileged = 1, .prot = VERITY_PROT_EXEC};
	struct task_scratch *scratch;
	__u32 reason;
	int starts, refused;

	/* Writable, too: mmap_file has decided. */
	if ((vma->vm_flags & (VM_EXEC | VM_WRITE)) != VM_EXEC || !is_on_overlay(user))
		return 0;
	facts.state = gate_state();
	scratch = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);
	starts = scratch && scratch->pending == (__u64)user;
	if (facts.state == VERITY_STATE_OFF || (!starts && !is_mapped_by_privileged()))
		return 0;
	/* 2. */
	if (starts)
		facts.act = VERITY_ACT_EXEC;
	facts.observed = observed_reasons();
	know_file(backing, &facts);
	facts.chained = !starts && is_own_program(user->f_inode);
	reason = verity_decide(&facts);
	refused = reason ? answer(&facts, reason, user) : 0;
	if (starts && !refused)
		scratch->pending = 0;
	return refused;
}

/* 3. */
static __always_inline int check_mapped(void)
{
	struct verity_facts facts = {
		.act = VERITY_ACT_EXEC, .privileged = 1, .digest = VERITY_DIGEST_NONE};
	struct task_scratch *scratch =
		bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);

	if (!scratch || !scratch->pending)
		return 0;
	scratch->pending = 0;
	facts.state = gate_state();
	facts.observed = observed_reasons();
	if (answer(&facts, verity_decide(&facts), NULL))
		bpf_send_signal(SIGKILL);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(verity_exec_end)
{
	return has_put_off() ? check_mapped() : 0;
}

#endif
