/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An iterator that prints how often each BPF program of the first processor has run, and for how many
 * nanoseconds altogether, while kernel.bpf_stats_enabled is 1. It is loaded before the gate, which gives
 * nobody a descriptor of its programs; tests/bench alone has it.
 */
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define RELOCATED __attribute__((preserve_access_index))

/* A structure around a counter of 64 bits, which alone is what 64-bit kernels have in it. */
typedef struct {
	__u64 v;
} u64_stats_t;

struct bpf_prog_stats {
	u64_stats_t cnt, nsecs;
} RELOCATED;

struct bpf_prog_aux {
	__u32 id;
	char name[16];
} RELOCATED;

struct bpf_prog {
	struct bpf_prog_stats *stats; /* of each processor: an offset */
	struct bpf_prog_aux *aux;
} RELOCATED;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} RELOCATED;

struct bpf_iter__bpf_prog {
	struct bpf_iter_meta *meta;
	struct bpf_prog *prog;
} RELOCATED;

extern const void __per_cpu_offset __ksym;

SEC("iter/bpf_prog")
int runs(struct bpf_iter__bpf_prog *ctx)
{
	__u64 count = 0, spent = 0, offset = 0, stats;
	struct bpf_prog *prog = ctx->prog;

	if (!prog)
		return 0;
	bpf_probe_read_kernel(&offset, sizeof(offset), &__per_cpu_offset);
	stats = (__u64)BPF_CORE_READ(prog, stats) + offset;
	bpf_probe_read_kernel(&count, sizeof(count),
			      (void *)(stats + bpf_core_field_offset(struct bpf_prog_stats, cnt)));
	bpf_probe_read_kernel(&spent, sizeof(spent),
			      (void *)(stats + bpf_core_field_offset(struct bpf_prog_stats, nsecs)));
	BPF_SEQ_PRINTF(ctx->meta->seq, "%u %llu %llu %s\n", prog->aux->id, count, spent,
		       prog->aux->name);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
