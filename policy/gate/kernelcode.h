/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_KERNELCODE_H
#define VERITY_KERNELCODE_H
/*
 * What the kernel itself runs or hands to a device: modules, firmware, the next kernel.
 *
 * Whoever asks: most of it is read by the kernel's own threads, for everybody. A module or firmware
 * is granted by the digest of the file that the kernel reads, compressed or not. A kernel for kexec
 * never is: it would start without a gate. Other things that the kernel reads as files are left to
 * the kernel: an IMA policy and certificates, neither of which is code.
 *
 * What comes from memory has no digest, and is refused.
 */
#include "deny.h"

static __always_inline __u32 act_of(__u32 id)
{
	/* By name: another kernel may number them otherwise. */
	if (id == bpf_core_enum_value(enum kernel_read_file_id, READING_MODULE) ||
	    id == bpf_core_enum_value(enum kernel_read_file_id, READING_FIRMWARE))
		return VERITY_ACT_MODULE;
	if (id == bpf_core_enum_value(enum kernel_read_file_id, READING_KEXEC_IMAGE) ||
	    id == bpf_core_enum_value(enum kernel_read_file_id, READING_KEXEC_INITRAMFS))
		return VERITY_ACT_KEXEC;
	return 0;
}

SEC("lsm.s/kernel_read_file")
int BPF_PROG(verity_kernel_read, struct file *file, __u32 id, _Bool contents)
{
	struct verity_facts facts = {.act = act_of(id), .state = gate_state()};
	__u32 reason;

	if (!facts.act || facts.state == VERITY_STATE_OFF)
		return 0;
	know_file(file, &facts);
	reason = verity_decide(&facts);
	return reason ? answer_shut(&facts, reason, file) : 0;
}

SEC("lsm/kernel_load_data")
int BPF_PROG(verity_kernel_load, __u32 id, _Bool contents)
{
	struct verity_facts facts = {.act = act_of(id),
				     .state = gate_state(),
				     .digest = VERITY_DIGEST_NO_FILE};

	if (!facts.act || facts.state == VERITY_STATE_OFF)
		return 0;
	return answer_shut(&facts, verity_decide(&facts), NULL);
}

#endif
