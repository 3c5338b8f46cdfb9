/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_REPORT_UNLOCK_H
#define VERITY_REPORT_UNLOCK_H
/*
 * What the status says of unlocks: what a token must name, and those that this boot has taken. All of
 * it is public. The rest of the status is in report.h.
 */
#include "documents.h"
#include "unlock.h"

#define NAME_SIZE 20

static const char scope_names[][NAME_SIZE] = {"none",	 "digest",	 "path-prefix", "config-path",
					      "session", "observe-only", "off",	 "none"};

static __always_inline void print_hex(struct seq_file *seq, const __u8 *bytes, int size)
{
	for (int i = 0; i < size; i++)
		BPF_SEQ_PRINTF(seq, "%02x", bytes[i]);
}

/* As in a manifest: \xHH for every byte outside 0x21 to 0x7e, and for the backslash. */
static __always_inline void print_escaped(struct seq_file *seq, const char *text, int size)
{
	for (int i = 0; i < size; i++) {
		__u8 byte = text[i];

		if (!byte)
			break;
		if (byte < 0x21 || byte > 0x7e || byte == '\\' || (byte == '-' && !i && !text[1]))
			BPF_SEQ_PRINTF(seq, "\\x%02x", byte);
		else
			bpf_seq_write(seq, &byte, 1);
	}
}

/* What is in a place of `unlocks`: a line for each token that this boot has taken. */
static __always_inline void print_unlock(struct seq_file *seq, const struct unlock *unlock)
{
	__u64 until = unlock->until_ns, now = bpf_ktime_get_boot_ns();

	if (!until)
		return;
	BPF_SEQ_PRINTF(seq, "%s ", unlock->drill ? "drill" : "unlock");
	print_hex(seq, (const __u8 *)&unlock->id, sizeof(unlock->id));
	if (unlock->drill) {
		BPF_SEQ_PRINTF(seq, " %llu\n", unlock->applied_ns / NS_PER_S);
		return;
	}
	if (unlock->relocked_ns)
		until = unlock->relocked_ns;
	BPF_SEQ_PRINTF(seq, " %s %u %llu %llu ", scope_names[unlock->scope & 7], unlock->owners,
		       unlock->applied_ns / NS_PER_S, until / NS_PER_S);
	if (unlock->relocked_ns)
		BPF_SEQ_PRINTF(seq, "relocked ");
	else if (until > now)
		BPF_SEQ_PRINTF(seq, "live ");
	else
		BPF_SEQ_PRINTF(seq, "expired ");
	print_hex(seq, unlock->reason, sizeof(unlock->reason));
	BPF_SEQ_PRINTF(seq, " ");
	if (unlock->scope == VERITY_UNLOCK_DIGEST)
		print_hex(seq, (const __u8 *)&unlock->operand, VERITY_SHA256_SIZE);
	else if (unlock->operand_len)
		print_escaped(seq, (const char *)&unlock->operand, VERITY_OPERAND_SIZE);
	else
		BPF_SEQ_PRINTF(seq, "-");
	BPF_SEQ_PRINTF(seq, "\n");
}

static __always_inline void print_challenge(struct seq_file *seq, const struct control *all,
					    const struct verity_config *configured)
{
	BPF_SEQ_PRINTF(seq, "boot_nonce ");
	print_hex(seq, configured->boot_nonce, sizeof(configured->boot_nonce));
	BPF_SEQ_PRINTF(seq, "\nhost_id ");
	print_hex(seq, configured->host_id, sizeof(configured->host_id));
	BPF_SEQ_PRINTF(seq, "\nunlocked %u\n", ask_unlocks(NULL, NULL, ASKED_NOTHING) & 1);
	BPF_SEQ_PRINTF(seq, "unlock_used %llu %u\n", all->unlocks, VERITY_UNLOCKS);
	if (all->tainted)
		BPF_SEQ_PRINTF(seq, "taint off\n");
}

#endif
