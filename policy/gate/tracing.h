/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_TRACING_H
#define VERITY_TRACING_H
/*
 * Tracing, and BPF programs of others, as the policy says.
 *
 * Kernel lockdown leaves tracing to its mode confidentiality: with integrity, which the seal sets,
 * kprobes, perf and ftrace stay open to root. What integrity does stop (bpf_probe_write_user, debugfs,
 * mmiotrace, MSRs) has no second rule here.
 *
 * - perf_event_open(2): refused to who is privileged; to everybody where it asks for more than events
 *   of their own in user space: a whole processor, the kernel, a raw tracepoint. Whether they might
 *   is for the kernel to say, and kernel.perf_event_paranoid is root's to lower.
 * - tracefs: no file of it is opened for writing. Reading stays: it shows what was set up before.
 * - a kprobe event through a descriptor of before the load: `locked_down`, which asks for each.
 * - BPF programs for many kprobes at once, raw tracepoints, and the kernel's functions and iterators
 *   are tracing, and BPF programs, too: both reactions must let them through. Those for a tracepoint, a
 *   single kprobe or a perf event run by a perf event only, and that is asked about; libbpf loads some
 *   to find out what the kernel can do, in PID 1 as well. What could change an answer of the gate is
 *   neither, and always refused (report.h). Classic filters, as of seccomp, are not asked about.
 */
#include "deny.h"
#include "subject.h"

static __noinline int answer_tracing(struct file *file)
{
	struct verity_facts facts = {
		.act = VERITY_ACT_TRACING, .state = gate_state(), .privileged = 1};

	if (facts.state == VERITY_STATE_OFF)
		return 0;
	facts.observed = observed_reasons();
	return answer(&facts, verity_decide(&facts), file);
}

/* Newer kernels have left out the first argument: the type is the last one. */
SEC("lsm/perf_event_open")
int BPF_PROG(verity_perf_event_open)
{
	__u64 type = PERF_SECURITY_KERNEL;

	bpf_get_func_arg(ctx, bpf_get_func_arg_cnt(ctx) - 1, &type);
	if ((__u32)type == PERF_SECURITY_OPEN && !is_privileged(current_cred()))
		return 0;
	return answer_tracing(NULL);
}

SEC("lsm/locked_down")
int BPF_PROG(verity_locked_down, __u32 what)
{
	return what == bpf_core_enum_value(enum lockdown_reason, LOCKDOWN_KPROBES)
		       ? answer_tracing(NULL)
		       : 0;
}

/* Called where a file has been opened for writing. */
static __always_inline int check_tracing_file(struct file *file)
{
	return file->f_inode->i_sb->s_magic == TRACEFS_MAGIC ? answer_tracing(file) : 0;
}

static __always_inline int traces(const struct bpf_prog *prog)
{
	switch (prog->type) {
	case BPF_PROG_TYPE_KPROBE:
		return prog->expected_attach_type != 0;
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
	case BPF_PROG_TYPE_TRACING:
		return 1;
	default:
		return 0;
	}
}

static __always_inline int check_program(const struct bpf_prog *prog)
{
	struct verity_facts facts = {.act = VERITY_ACT_BPF_PROGRAM, .state = gate_state()};
	int refused = traces(prog) ? answer_tracing(NULL) : 0;

	if (refused || facts.state == VERITY_STATE_OFF)
		return refused;
	facts.observed = observed_reasons();
	return answer(&facts, verity_decide(&facts), NULL);
}

#endif
