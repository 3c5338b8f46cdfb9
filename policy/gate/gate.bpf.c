/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate. So far one program: the status that anyone can `cat`.
 *
 * verity_status is a BPF iterator, to be pinned as /sys/fs/bpf/verity/status. Reading it gives
 * out no map and no program. A pin is born 0600, and systemd mounts /sys/fs/bpf with mode 0700:
 * the loader has to open both for others than root to read it.
 *
 * It decides nothing and denies nothing yet: no LSM hook is attached, and its state says so.
 *
 * The output is `key value` lines; readers must ignore keys that they don't know.
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "verity.h"

/* Only the fields that are read, found in the running kernel's BTF by name (CO-RE). */
struct seq_file;
struct bpf_map;

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
} __attribute__((preserve_access_index));

#define NS_PER_S 1000000000ULL

SEC("iter/bpf_map")
int verity_status(struct bpf_iter__bpf_map *ctx)
{
	struct seq_file *seq = ctx->meta->seq;

	/* Called for each map and then exactly once with none, even where there are no maps. */
	if (ctx->map)
		return 0;

	BPF_SEQ_PRINTF(seq, "version %u\n", VERITY_GATE_VERSION);
	BPF_SEQ_PRINTF(seq, "state off\n");
	BPF_SEQ_PRINTF(seq, "boot_clock_s %llu\n", bpf_ktime_get_boot_ns() / NS_PER_S);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
