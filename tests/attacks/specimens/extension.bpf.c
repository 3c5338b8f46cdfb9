/* SPDX-License-Identifier: Apache-2.0 */
/* Replaces `answer` of target.bpf.c. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("freplace/answer")
int other_answer(struct __sk_buff *packet)
{
	return packet->len;
}

char LICENSE[] SEC("license") = "GPL";
