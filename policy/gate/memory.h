/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_MEMORY_H
#define VERITY_MEMORY_H
/*
 * Executable memory: what is mapped so, and what becomes so later. Files on an overlay are decided in
 * overlay.h, once the file below is known.
 */
#include "overlay.h"

/* What its program is granted; nobody who is privileged can say that it is another (reach.h). */
static __noinline __u32 may_jit(void)
{
	struct verity_facts facts = {};
	struct file *program = bpf_get_task_exe_file(bpf_get_current_task_btf());

	if (!program)
		return 0;
	know_file(program, &facts);
	bpf_put_file(program);
	return facts.digest == VERITY_DIGEST_KNOWN && facts.granted & VERITY_CODE_JIT;
}

/* `given`: there is a file. What nearly all come by is asked before this. */
static __always_inline int check_map(struct file *file, __u32 prot, __u64 given)
{
	struct verity_facts facts = {.act = VERITY_ACT_MAP, .prot = prot};
	__u32 reason;

	facts.state = gate_state();
	if (facts.state == VERITY_STATE_OFF || !maps_as_privileged())
		return 0;
	facts.privileged = 1;
	facts.observed = observed_reasons();
	if (!given || !file) {
		facts.digest = VERITY_DIGEST_NO_FILE;
		facts.jit = may_jit();
		reason = verity_decide(&facts);
		return reason ? answer(&facts, reason, NULL) : 0;
	}
	if (!(facts.prot & VERITY_PROT_WRITE) && has_backing(file))
		return 0;
	know_file(file, &facts);
	facts.chained = is_own_program(file->f_inode);
	reason = verity_decide(&facts);
	return reason ? answer(&facts, reason, file) : 0;
}

SEC("lsm.s/mmap_file")
int BPF_PROG(verity_mmap_file, struct file *file, unsigned long reqprot, unsigned long prot,
	     unsigned long flags)
{
	/* `prot` alone has what READ_IMPLIES_EXEC adds. */
	__u32 wanted = (reqprot | prot) & (VERITY_PROT_WRITE | VERITY_PROT_EXEC);
	__u64 given = 0;

	if (!(wanted & VERITY_PROT_EXEC))
		return 0;
	if (is_session_over())
		return end_session(VERITY_ACT_MAP);
	bpf_get_func_arg(ctx, 0, &given);
	if (given && file && !(wanted & VERITY_PROT_WRITE) &&
	    is_granted(file->f_inode, VERITY_CODE_EXEC | VERITY_CODE_LIBRARY,
		       VERITY_CODE_INTERPRETER))
		return 0;
	return check_map(file, wanted, given);
}

static __always_inline int check_protect(struct vm_area_struct *vma, __u32 prot)
{
	struct verity_facts facts = {.act = VERITY_ACT_PROTECT, .prot = prot};
	struct file *file;
	__u32 reason;

	/* Executable already and not writable: nothing becomes executable. */
	if (!(facts.prot & VERITY_PROT_WRITE) && (vma->vm_flags & (VM_EXEC | VM_WRITE)) == VM_EXEC)
		return 0;
	facts.state = gate_state();
	if (facts.state == VERITY_STATE_OFF || !maps_as_privileged())
		return 0;
	facts.privileged = 1;
	facts.observed = observed_reasons();
	file = vma->vm_file;
	if (!BPF_CORE_READ(vma, vm_file)) {
		facts.digest = VERITY_DIGEST_NO_FILE;
		facts.jit = may_jit();
	} else {
		facts.digest = VERITY_DIGEST_KNOWN;
		if (BPF_CORE_READ(vma, anon_vma))
			facts.mapped |= VERITY_MAPPED_DIRTY;
		if (file && is_initial(BPF_CORE_READ(file, f_inode)))
			facts.mapped |= VERITY_MAPPED_VERIFIED;
		if (file && is_granted(file->f_inode, VERITY_CODE_EXEC | VERITY_CODE_LIBRARY,
				       is_own_program(file->f_inode) ? 0 : VERITY_CODE_INTERPRETER))
			facts.mapped |= VERITY_MAPPED_VERIFIED;
	}
	reason = verity_decide(&facts);
	return reason ? answer(&facts, reason, NULL) : 0;
}

SEC("lsm/file_mprotect")
int BPF_PROG(verity_file_mprotect, struct vm_area_struct *vma, unsigned long reqprot,
	     unsigned long prot)
{
	__u32 wanted = (reqprot | prot) & (VERITY_PROT_WRITE | VERITY_PROT_EXEC);

	return wanted & VERITY_PROT_EXEC ? check_protect(vma, wanted) : 0;
}

/*
 * personality(2) has no hook, and brk(2) and aio make executable memory by READ_IMPLIES_EXEC without
 * asking one. So who sets it is ended before the call returns.
 */
static __always_inline int check_personality(__u32 wanted)
{
	struct verity_facts facts = {.act = VERITY_ACT_MAP,
				     .prot = VERITY_PROT_EXEC,
				     .digest = VERITY_DIGEST_NO_FILE,
				     .privileged = 1};
	__u32 reason;

	if (!(wanted & READ_IMPLIES_EXEC) || wanted == PERSONALITY_QUERY)
		return 0;
	facts.state = gate_state();
	if (facts.state == VERITY_STATE_OFF || !maps_as_privileged())
		return 0;
	facts.observed = observed_reasons();
	reason = verity_decide(&facts);
	if (reason && answer(&facts, reason, NULL))
		bpf_send_signal(SIGKILL);
	return 0;
}

SEC("fentry/__x64_sys_personality")
int BPF_PROG(verity_personality, const struct pt_regs *regs)
{
	return check_personality(BPF_CORE_READ(regs, di));
}

SEC("fentry/__ia32_sys_personality")
int BPF_PROG(verity_personality_ia32, const struct pt_regs *regs)
{
	return check_personality(BPF_CORE_READ(regs, bx));
}

#endif
