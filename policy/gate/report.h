/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_REPORT_H
#define VERITY_REPORT_H
/*
 * What anyone may `cat`: the status, the denials; and for the loader the census of programs.
 *
 * Iterators give out no map and no program. The status is `key value...` lines; readers must
 * ignore keys that they don't know. A denial is one line of ten fields, see docs/formats.md; an
 * eleventh, `torn`, says that the record was overwritten while it was printed.
 */
#include "protect.h"
#include "report_unlock.h"
#include "revocations.h"

static const char state_names[][NAME_SIZE] = {"off", "loading", "observe", "sealed",
						"boot",  "off",	    "off",     "off"};
static const char mode_names[][NAME_SIZE] = {"none", "observe", "trial", "sealed"};
static const char party_names[][NAME_SIZE] = {"none", "vendor", "user", "none"};
static const char role_names[][NAME_SIZE] = {"none", "root",	  "os",	    "etc",
					     "extension", "policy", "unlock", "evidence"};
static const char act_names[][NAME_SIZE] = {"unknown", "exec", "elevate", "map",     "protect",
					    "object",  "pin",  "key",	  "program", "ftrace",
					    "module",  "kexec", "trace",  "device",  "config",
					    "link",    "mount", "user-namespace", "tracing",
					    "bpf-program", "remove", "boot", "unknown",
					    "unknown", "unknown", "unknown", "unknown", "unknown",
					    "unknown", "unknown", "unknown", "unknown"};
static const char reason_names[VERITY_REASONS][NAME_SIZE] = {
	"allow",       "no-digest",    "other-digest", "stale",	       "not-granted", "wrong-use",
	"anonymous",   "writable",     "dirty",	       "unverified",   "not-elevated", "gate-object",
	"gate-pin",    "gate-key",     "foreign-program", "ftrace",       "revoked",     "traced",
	"device",      "interpreter",  "undecided",    "config-unsigned", "config-link",
	"config-mount", "user-namespace", "tracing",   "bpf-program", "config-removed", "session-over", "boot-chain"};
static const char outcome_names[][NAME_SIZE] = {"observed", "denied", "unlocked", "denied"};

static __always_inline const char *reason_name(__u32 reason)
{
	return reason_names[reason < VERITY_REASONS ? reason : VERITY_UNDECIDED];
}

/* --- the census --------------------------------------------------------------------------- */

struct call_search {
	const struct bpf_prog *prog;
	__s32 wanted;
	__u32 found;
};

static long search_call(__u32 index, struct call_search *search)
{
	__u64 at = (__u64)search->prog + bpf_core_field_offset(struct bpf_prog, insnsi);
	struct bpf_insn insn;

	if (bpf_probe_read_kernel(&insn, sizeof(insn), (void *)(at + index * sizeof(insn))) ||
	    (insn.code == (BPF_JMP | BPF_CALL) && !insn.src_reg && insn.imm == search->wanted)) {
		search->found = 1;
		return 1;
	}
	return 0;
}

/*
 * Whether a program calls bpf_set_retval. The verifier puts the distance from __bpf_call_base in the
 * place of a helper's number; where addresses can't be had: yes.
 */
static __noinline int sets_answer(const struct bpf_prog *prog, int verified)
{
	struct call_search search = {.prog = prog, .wanted = BPF_FUNC_set_retval};
	__u64 base = (__u64)&__bpf_call_base, helper = (__u64)&bpf_set_retval;
	__u32 len = prog->len;

	if (verified && (!base || !helper))
		return 1;
	if (verified)
		search.wanted = helper - base;
	/* More instructions than the kernel takes would not all be looked at. */
	return bpf_loop(len, search_call, &search, 0) < 0 || search.found;
}

/*
 * Whether a program can change what a hook answers, or replace a part of another program.
 * - Modify-return programs and extensions.
 * - LSM programs of a cgroup: what they set with bpf_set_retval isn't held to the range of their hook,
 *   and 1 is the same there as from a modify-return program, a permission to callers that test for
 *   less than 0.
 * - Programs on sysctl that call bpf_set_retval: what runs last says whether a write is allowed. One
 *   that only watches, such as systemd-networkd's, is nobody's business.
 */
static __always_inline int is_foreign(const struct bpf_prog *prog, int verified)
{
	if (prog->type == BPF_PROG_TYPE_CGROUP_SYSCTL)
		return sets_answer(prog, verified);
	return prog->type == BPF_PROG_TYPE_EXT ||
	       prog->expected_attach_type == BPF_MODIFY_RETURN ||
	       (prog->type == BPF_PROG_TYPE_LSM && prog->expected_attach_type == BPF_LSM_CGROUP);
}

/*
 * Counts the foreign programs, for the seal. Two readings at once are told apart by their session:
 * one that another has overtaken publishes nothing.
 */
SEC("iter/bpf_prog")
int verity_census(struct bpf_iter__bpf_prog *ctx)
{
	struct control *all = THE(control);
	struct bpf_prog *prog = ctx->prog;
	__u64 session = ctx->meta->session_id << CENSUS_BITS;

	if (!all)
		return 0;
	if (!ctx->meta->seq_num) {
		all->counted = 0;
		__sync_lock_test_and_set(&all->census, session);
	}
	if ((all->census & ~CENSUS_MASK) != session)
		return 0;
	if (prog) {
		if (is_foreign(prog, 1))
			__sync_fetch_and_add(&all->census, 1);
		return 0;
	}
	all->foreign = all->census & CENSUS_MASK;
	all->counted = 1;
	BPF_SEQ_PRINTF(ctx->meta->seq, "foreign_programs %llu\n", all->foreign);
	return 0;
}

/* --- the status --------------------------------------------------------------------------- */

static long print_reason(__u32 index, struct seq_file **seq)
{
	struct count *count = bpf_map_lookup_elem(&counts, &index);

	if (count && (count->denied || count->observed))
		BPF_SEQ_PRINTF(*seq, "reason %s %llu\n", reason_name(index),
			       count->denied + count->observed);
	return 0;
}

struct observed_print {
	struct seq_file *seq;
	__u32 observed;
};

static long print_observed(__u32 index, struct observed_print *print)
{
	if (print->observed >> (index & 31) & 1)
		BPF_SEQ_PRINTF(print->seq, "observes %s\n", reason_name(index));
	return 0;
}

/*
 * Whoever looks through all programs and links of the kernel can leave out the gate's: to reach for
 * one is refused, and each time a denial.
 */
static long print_own(struct bpf_map *map, struct verity_id *own, __u32 *value,
		      struct seq_file **seq)
{
	if (own->type == VERITY_ID_PROGRAM)
		BPF_SEQ_PRINTF(*seq, "own program %u\n", own->id);
	else if (own->type == VERITY_ID_LINK)
		BPF_SEQ_PRINTF(*seq, "own link %u\n", own->id);
	return 0;
}

static __always_inline void print_revocations(struct seq_file *seq, const struct control *all,
					      const struct verity_config *configured)
{
	for (__u32 i = 0; i < VERITY_REVOKERS; i++) {
		__u32 number = i;
		struct revocation *last = bpf_map_lookup_elem(&revocations, &number);

		if (last && last->serial)
			BPF_SEQ_PRINTF(seq, "revocations %s %s %llu\n",
				       party_names[i / VERITY_ROLES & 3],
				       role_names[i & (VERITY_ROLES - 1)], last->serial);
	}
	BPF_SEQ_PRINTF(seq, "revoked_keys %llu %u\n", all->revoked_keys, VERITY_REVOKED_KEYS);
	BPF_SEQ_PRINTF(seq, "revoked_digests %llu %u\n", all->revoked_digests,
		       VERITY_REVOKED_DIGESTS);
	BPF_SEQ_PRINTF(seq, "revoked_documents %d\n", documents_stand(configured) ? 0 : 1);
}

static __always_inline void print_streams(struct seq_file *seq)
{
	for (__u32 i = 0; i < VERITY_STREAMS; i++) {
		__u32 number = i;
		struct slot *slot = bpf_map_lookup_elem(&slots, &number);

		if (!slot || !slot->name[0])
			break;
		BPF_SEQ_PRINTF(seq, "stream %s %s %s %llu\n", slot->name,
			       party_names[slot->party & 3], role_names[slot->role & 7],
			       slot->serial);
		if (slot->dead)
			BPF_SEQ_PRINTF(seq, "revoked_stream %s\n", slot->name);
	}
}

/* Only of a gate that an initramfs has loaded. */
static __always_inline void print_boot(struct seq_file *seq)
{
	const struct verity_boot *found = THE(boot);
	__u32 directories = 0, devices = 0;

	if (!found || !found->initial)
		return;
	for (__u32 i = 0; i < VERITY_BOOT_PLACES; i++) {
		directories += found->places[i].inode ? 1 : 0;
		devices += found->devices[i] ? 1 : 0;
	}
	BPF_SEQ_PRINTF(seq, "initial_root %u\n", found->initial);
	BPF_SEQ_PRINTF(seq, "entered_ms %llu\n", found->entered_ns / 1000000);
	BPF_SEQ_PRINTF(seq, "survivors %u\n", found->survivors);
	BPF_SEQ_PRINTF(seq, "boot_chain %u %u\n", directories, devices);
}

static __always_inline void print_status(struct seq_file *seq)
{
	struct verity_config *configured = THE(config);
	struct gate_policy *signed_policy = THE(policy);
	struct control *all = THE(control);
	struct observed_print print = {.seq = seq, .observed = observed_reasons()};
	__u64 denied = 0, observed = 0;

	if (!configured || !signed_policy || !all)
		return;
	BPF_SEQ_PRINTF(seq, "version %u\n", VERITY_GATE_VERSION);
	BPF_SEQ_PRINTF(seq, "state %s\n", state_names[configured->state & 7]);
	BPF_SEQ_PRINTF(seq, "boot_clock_s %llu\n", bpf_ktime_get_boot_ns() / NS_PER_S);
	BPF_SEQ_PRINTF(seq, "policy_serial %llu\n", signed_policy->serial);
	BPF_SEQ_PRINTF(seq, "policy_mode %s\n", mode_names[signed_policy->mode & 3]);
	bpf_loop(VERITY_REASONS, print_observed, &print, 0);
	for (__u32 i = VERITY_PARTY_VENDOR; i <= VERITY_PARTY_USER; i++) {
		__u32 number = i;
		struct party *party = bpf_map_lookup_elem(&parties, &number);

		if (party)
			BPF_SEQ_PRINTF(seq, "keys %s %llu\n", party_names[i & 3], party->version);
	}
	BPF_SEQ_PRINTF(seq, "code %llu %u\n", all->code_entries, VERITY_CODE_CAPACITY);
	BPF_SEQ_PRINTF(seq, "elevations %llu %u\n", all->elevate_entries, VERITY_ELEVATE_CAPACITY);
	BPF_SEQ_PRINTF(seq, "config %llu %u\n", all->config_entries, VERITY_CONFIG_CAPACITY);
	BPF_SEQ_PRINTF(seq, "anchors %llu %u\n", all->anchors, VERITY_ANCHORS);
	BPF_SEQ_PRINTF(seq, "anchors_lost %llu\n", all->anchors_lost);
	print_revocations(seq, all, configured);
	print_streams(seq);
	BPF_SEQ_PRINTF(seq, "foreign_programs %llu\n", all->foreign);
	for (__u32 i = 0; i < VERITY_REASONS; i++) {
		__u32 number = i;
		struct count *count = bpf_map_lookup_elem(&counts, &number);

		if (count) {
			denied += count->denied;
			observed += count->observed;
		}
	}
	BPF_SEQ_PRINTF(seq, "denied %llu\n", denied);
	BPF_SEQ_PRINTF(seq, "observed %llu\n", observed);
	BPF_SEQ_PRINTF(seq, "lost %llu\n",
		       all->denials > VERITY_DENIALS_RING ? all->denials - VERITY_DENIALS_RING : 0);
	bpf_loop(VERITY_REASONS, print_reason, &seq, 0);
	BPF_SEQ_PRINTF(seq, "sealed_ms %llu\n", all->sealed_ns / 1000000);
	bpf_for_each_map_elem(&own_ids, print_own, &seq, 0);
	print_challenge(seq, all, configured);
	print_boot(seq);
}

/*
 * All of it before the first token's line, which has a call of its own: the kernel takes 32 KiB from one
 * call, and so many tokens don't fit.
 */
SEC("iter/bpf_map_elem")
int verity_status(struct bpf_iter__bpf_map_elem *ctx)
{
	const __u32 *key = ctx->key;
	const struct unlock *unlock;
	__u32 index;

	if (!key)
		return 0;
	index = *key;
	unlock = bpf_map_lookup_elem(&unlocks, &index);
	if (!index)
		print_status(ctx->meta->seq);
	if (unlock)
		print_unlock(ctx->meta->seq, unlock);
	return 0;
}

/* --- the denials -------------------------------------------------------------------------- */

SEC("iter/bpf_map_elem")
int verity_denials(struct bpf_iter__bpf_map_elem *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct denial *denial = ctx->value;
	__u64 number;

	if (!denial)
		return 0;
	number = *(volatile __u64 *)&denial->number;
	if (!number)
		return 0;
	BPF_SEQ_PRINTF(seq, "%llu %llu %s %s ", number, denial->boot_ns / 1000000,
		       outcome_names[denial->outcome & 3], reason_name(denial->reason));
	BPF_SEQ_PRINTF(seq, "%s %u %u ", act_names[denial->act & 31], denial->uid, denial->pid);
	print_escaped(seq, denial->comm, sizeof(denial->comm));
	BPF_SEQ_PRINTF(seq, " ");
	if (denial->has_digest)
		for (int i = 0; i < VERITY_SHA256_SIZE; i++)
			BPF_SEQ_PRINTF(seq, "%02x", denial->digest[i]);
	else
		BPF_SEQ_PRINTF(seq, "-");
	BPF_SEQ_PRINTF(seq, " ");
	if (denial->path[0])
		print_escaped(seq, denial->path, sizeof(denial->path));
	else
		BPF_SEQ_PRINTF(seq, "-");
	/* See copy_denial: what was printed is one record if its number stands there still. */
	if (*(volatile __u64 *)&denial->number != number)
		BPF_SEQ_PRINTF(seq, " torn");
	BPF_SEQ_PRINTF(seq, "\n");
	return 0;
}

#endif
