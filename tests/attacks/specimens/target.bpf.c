/* SPDX-License-Identifier: Apache-2.0 */
/* A program with a function of its own, which extension.bpf.c replaces. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__attribute__((noinline)) int answer(struct __sk_buff *packet)
{
	volatile int nothing = packet->len & 1;

	return nothing;
}

SEC("socket")
int target(struct __sk_buff *packet)
{
	return answer(packet);
}

char LICENSE[] SEC("license") = "GPL";
