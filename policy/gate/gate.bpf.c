/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate: which file may run with privileges, or configure what does, decided in the kernel.
 *
 * Each hook gathers facts, decide.h decides, deny.h answers. What is granted came in signed
 * through calls.h. It decides about code and about guarded configuration, not about what a granted
 * interpreter is told to do (docs/threat-model.md).
 *
 * Rules, each against a trap that was seen to work (docs/threat-model.md names them):
 * - mmap_file's `file` may be NULL although the verifier says it can't: ask bpf_get_func_arg;
 * - at bprm_check_security the credentials are still the old ones: what execve adds is judged in
 *   bprm_creds_from_file, by its effect;
 * - a digest is first readable at file_post_open, not at file_open;
 * - a digest says nothing about pages that were cached before fs-verity was enabled;
 * - no buffer is shared between tasks: digests and drafts are in task storage, and without that
 *   memory the answer is no.
 */
#include "boot_chain.h"
#include "calls.h"
#include "guarded_stays.h"
#include "kernelcode.h"
#include "memory.h"
#include "overlay.h"
#include "reach.h"
#include "tracing.h"
#include "report.h"

/* --- execve ------------------------------------------------------------------------------- */

/*
 * Whether the file is started for another one, which was asked about before. A script that is called
 * as an option would be one to its interpreter: `-c` with what to run as the next argument.
 */
static __noinline __u32 is_chained(const struct linux_binprm *bprm)
{
	char first = 0;

	if (bprm->interp == bprm->filename ||
	    bpf_probe_read_kernel(&first, sizeof(first), bprm->filename))
		return 0;
	return first != '-';
}

/* `bprm`: of what is about to start; NULL where it was asked about before, or is only asked about. */
static __always_inline int check_exec(struct file *file, __u32 chained,
				      const struct linux_binprm *bprm)
{
	struct verity_facts facts = {
		.act = VERITY_ACT_EXEC, .state = gate_state(), .privileged = 1};
	__u32 reason;

	facts.observed = observed_reasons();
	facts.chained = chained;
	know_file(file, &facts);
	reason = verity_decide(&facts);
	if (bprm)
		mark_script(bprm, &facts, reason);
	return reason ? answer(&facts, reason, file) : 0;
}

/* Every file of the chain: script, then interpreter. */
SEC("lsm.s/bprm_check_security")
int BPF_PROG(verity_bprm_check, struct linux_binprm *bprm)
{
	begin_exec(bprm);
	if (is_session_over())
		return end_session(VERITY_ACT_EXEC);
	if (is_granted(bprm->file->f_inode, VERITY_CODE_EXEC | VERITY_CODE_SCRIPT,
		       VERITY_CODE_INTERPRETER)) {
		begin_script(bprm);
		return 0;
	}
	if (gate_state() == VERITY_STATE_OFF || !is_privileged(current_cred()))
		return 0;
	if (is_put_off(bprm))
		return 0;
	return check_exec(bprm->file, is_chained(bprm), bprm);
}

/* AT_EXECVE_CHECK (Linux 6.14) reaches this hook and not the one above. */
SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(verity_bprm_for_exec, struct linux_binprm *bprm)
{
	if (!bpf_core_field_exists(struct linux_binprm___checked, is_check))
		return 0;
	if (gate_state() == VERITY_STATE_OFF || !is_privileged(current_cred()))
		return 0;
	return check_exec(bprm->file, is_chained(bprm), NULL);
}

/* What this execve adds to what the subject had. */
static __always_inline __u32 effect_of(const struct cred *old, const struct cred *new,
				       struct effect *effect)
{
	int initial = !new->user_ns->level;

	/* Root can be anybody, and regains what it dropped by being root, whatever the file says. */
	if (!old->uid.val || !old->euid.val)
		return 0;
	effect->uid = new->euid.val;
	effect->gid = new->egid.val;
	/* In a child namespace only an id that is root outside raises anything outside. The ids for
	 * files follow the effective ones in every execve. */
	effect->uid_changes = new->euid.val != old->euid.val && (initial || !new->euid.val);
	effect->gid_changes = new->egid.val != old->egid.val && initial;
	effect->caps = initial ? new->cap_permitted.val & ~old->cap_permitted.val : 0;
	return effect->uid_changes || effect->gid_changes || effect->caps;
}

SEC("lsm.s/bprm_creds_from_file")
int BPF_PROG(verity_bprm_creds, struct linux_binprm *bprm, struct file *file)
{
	struct verity_facts facts = {.act = VERITY_ACT_ELEVATE, .state = gate_state()};
	const struct cred *old = current_cred(), *new = bprm->cred;
	struct effect effect = {};
	__u32 reason;

	if (facts.state == VERITY_STATE_OFF || !old || !new)
		return 0;
	facts.raises = effect_of(old, new, &effect);
	facts.privileged = is_privileged(new);
	if (!facts.raises && (!facts.privileged || is_privileged(old)))
		return 0; /* nothing new: bprm_check_security has seen the files */
	if (facts.raises)
		facts.covered = is_covered(file, &effect, &facts.revoked);
	facts.traced = bpf_get_current_task_btf()->ptrace;
	/* Nobody was asked about the first file where the caller wasn't privileged. */
	facts.chained = is_privileged(old) && is_chained(bprm);
	facts.observed = observed_reasons();
	if (facts.privileged)
		know_file(file, &facts);
	reason = verity_decide(&facts);
	if (reason && answer(&facts, reason, file))
		return -EPERM;
	/* binfmt_misc with credentials: the file raises, and the interpreter runs. */
	if (facts.privileged && bprm->file != file)
		return check_exec(bprm->file, facts.chained, NULL);
	return 0;
}

/* --- pages that may be older than the digest ---------------------------------------------- */

/* Marks a file on which fs-verity is about to be enabled; without the mark it must not be. */
static __always_inline int mark_stale(struct file *file, unsigned int cmd)
{
	struct task_scratch *scratch;
	struct inode_tag *tag;

	if (cmd != FS_IOC_ENABLE_VERITY || gate_state() == VERITY_STATE_OFF)
		return 0;
	scratch = task_scratch();
	if (!scratch)
		return -EPERM;
	/* It has fs-verity: enabling fails, and a mark would only lock the file up. */
	if (measure(file, scratch) != VERITY_DIGEST_NONE)
		return 0;
	tag = bpf_inode_storage_get(&inodes, file->f_inode, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!tag)
		return -EPERM;
	tag->stale = 1;
	return 0;
}

SEC("lsm.s/file_ioctl")
int BPF_PROG(verity_file_ioctl, struct file *file, unsigned int cmd, unsigned long arg)
{
	if (is_session_over())
		return end_session(VERITY_ACT_EXEC);
	return mark_stale(file, cmd);
}

SEC("lsm/file_ioctl_compat")
int BPF_PROG(verity_file_ioctl_compat, struct file *file, unsigned int cmd, unsigned long arg)
{
	if (is_session_over())
		return end_session(VERITY_ACT_EXEC);
	return mark_stale(file, cmd);
}

/* Not inlined, as all that answers there: it isn't on the stack while a path is looked for. */
static __noinline int answer_ftrace(struct file *file)
{
	struct verity_facts facts = {.act = VERITY_ACT_FTRACE, .state = gate_state()};

	return answer_shut(&facts, verity_decide(&facts), file);
}

static __always_inline int check_opened_for_writing(struct file *file)
{
	int refused;

	if (is_ftrace_switch(file) && gate_state() != VERITY_STATE_OFF)
		return answer_ftrace(file);
	refused = check_written(file);
	return refused ? refused : check_tracing_file(file);
}

SEC("lsm.s/file_post_open")
int BPF_PROG(verity_file_post_open, struct file *file, int mask)
{
	struct task_scratch *scratch;
	struct moment now = {};
	struct inode_tag *tag;
	int asked, known;

	if (is_session_over())
		return end_session(VERITY_ACT_CONFIG);
	if (file->f_mode & FMODE_WRITE) {
		int refused = check_opened_for_writing(file);

		if (refused)
			return refused;
	}
	asked = is_asked_of_open(file);
	known = asked && is_known_open(file, &now);
	/* Behind what is known: by then who moves the file has marked it, or isn't done (ADR 46). */
	tag = bpf_inode_storage_get(&inodes, file->f_inode, 0, 0);
	if (tag && tag->stale) {
		/* The digest is readable, so fs-verity checks what is read from now on; and nothing
		 * that was read before is left. */
		scratch = task_scratch();
		if (scratch && measure(file, scratch) == VERITY_DIGEST_KNOWN &&
		    !file->f_mapping->nrpages)
			tag->stale = 0;
	}
	if (!asked || (known && !(tag && tag->moved)))
		return 0;
	return check_read(file, &now);
}

/* --- the gate itself ---------------------------------------------------------------------- */

SEC("lsm.s/bpf")
int BPF_PROG(verity_bpf, int cmd, union bpf_attr *attr, unsigned int size)
{
	__u32 command = (__u32)cmd - VERITY_COMMAND_BASE, id = 0;

	if (gate_state() == VERITY_STATE_OFF)
		return 0;
	if (command <= VERITY_COMMAND_RELOCK)
		return answer_call(command, attr, size);
	/* Which link a descriptor means can't be told here, so nobody changes links. */
	if (cmd == BPF_LINK_UPDATE || cmd == BPF_LINK_DETACH)
		return answer_act(VERITY_ACT_OBJECT);
	if (cmd == BPF_LINK_GET_FD_BY_ID) {
		bpf_probe_read_kernel(&id, sizeof(id), attr);
		if (is_own(VERITY_ID_LINK, id))
			return answer_act(VERITY_ACT_OBJECT);
	}
	return 0;
}

SEC("lsm.s/bpf_map")
int BPF_PROG(verity_bpf_map, struct bpf_map *map, unsigned int fmode)
{
	return is_own(VERITY_ID_MAP, map->id) ? answer_act(VERITY_ACT_OBJECT) : 0;
}

SEC("lsm.s/bpf_prog")
int BPF_PROG(verity_bpf_prog, struct bpf_prog *prog)
{
	return is_own(VERITY_ID_PROGRAM, prog->aux->id) ? answer_act(VERITY_ACT_OBJECT) : 0;
}

/*
 * 1. Programs that can turn a hook's no into a yes, whatever they say they do.
 * 2. Those that trace, and all others, as the policy says.
 */
SEC("lsm.s/bpf_prog_load")
int BPF_PROG(verity_bpf_prog_load, struct bpf_prog *prog)
{
	/* 1. */
	if (is_foreign(prog, 0))
		return answer_act(VERITY_ACT_PROGRAM);
	/* 2. */
	return check_program(prog);
}

SEC("lsm.s/inode_unlink")
int BPF_PROG(verity_inode_unlink, struct inode *dir, struct dentry *dentry)
{
	if (is_pin_device(dir->i_sb->s_dev) || is_under_pins(dentry))
		return answer_act(VERITY_ACT_PIN);
	return check_unlinked(dentry);
}

SEC("lsm.s/inode_rmdir")
int BPF_PROG(verity_inode_rmdir, struct inode *dir, struct dentry *dentry)
{
	if (is_pin_device(dir->i_sb->s_dev) || is_under_pins(dentry))
		return answer_act(VERITY_ACT_PIN);
	return check_rmdir(dentry);
}

SEC("lsm.s/inode_rename")
int BPF_PROG(verity_inode_rename, struct inode *dir, struct dentry *dentry, struct inode *new_dir,
	     struct dentry *new_dentry)
{
	int refused;

	if (is_pin_device(dir->i_sb->s_dev) || is_under_pins(dentry) || is_under_pins(new_dentry)) {
		refused = answer_act(VERITY_ACT_PIN);
		if (refused)
			return refused;
	}
	refused = check_replaced(dentry, new_dentry);
	return refused ? refused : check_rename(dentry, new_dentry);
}

SEC("lsm.s/inode_setattr")
int BPF_PROG(verity_inode_setattr, void *idmap, struct dentry *dentry)
{
	/* Three times for each file that tar makes: no helper is called. */
	return is_pin_device(dentry->d_inode->i_sb->s_dev) ? answer_act(VERITY_ACT_PIN) : 0;
}

/*
 * The loader's last step with its pins is a chmod of their directory: so the gate learns which mount
 * it has to keep (kernel pointers can't be had from outside).
 */
SEC("lsm/path_chmod")
int BPF_PROG(verity_path_chmod, struct path *path)
{
	struct verity_config *found = THE(config);

	if (found && found->state == VERITY_STATE_LOADING && !found->mount &&
	    is_pin_mount(path->mnt))
		found->mount = (__u64)path->mnt;
	return 0;
}

SEC("lsm.s/sb_umount")
int BPF_PROG(verity_sb_umount, struct vfsmount *mnt, int flags)
{
	if (!holds_pins(mnt))
		return 0;
	/*
	 * systemd enters a root by copies of the mounts, and tries to unmount what it leaves behind. The
	 * pins are kept until they stand in the root that was entered, and nobody did anything wrong.
	 */
	if (trusts_initial() && bpf_get_current_pid_tgid() >> 32 == 1)
		return -EPERM;
	return answer_act(VERITY_ACT_PIN);
}

/* A mount over the pins would show another status. */
SEC("lsm.s/sb_mount")
int BPF_PROG(verity_sb_mount, const char *source, struct path *path, const char *type,
	     unsigned long flags)
{
	int refused = covers_mount(flags) && is_pin_mount(path->mnt) ? answer_act(VERITY_ACT_PIN) : 0;

	return refused ? refused : check_mounted(path, flags, source);
}

SEC("lsm/move_mount")
int BPF_PROG(verity_move_mount, struct path *from, struct path *to)
{
	int refused = is_pin_mount(to->mnt) ? answer_act(VERITY_ACT_PIN) : 0;

	return refused ? refused : check_moved(from, to);
}

/* The old root put over the pins would show another status, too. */
SEC("lsm/sb_pivotroot")
int BPF_PROG(verity_sb_pivotroot, struct path *put_old, struct path *new_root)
{
	int refused = is_pin_mount(put_old->mnt) ? answer_act(VERITY_ACT_PIN) : 0;

	return refused ? refused : check_mounted(put_old, 0, NULL);
}

/*
 * Everything but looking is refused on the gate's keys; a search only while the gate itself
 * verifies, in the task that asked it to.
 */
SEC("lsm/key_permission")
int BPF_PROG(verity_key_permission, void *reference, const struct cred *cred, unsigned int need)
{
	struct task_scratch *scratch;
	__u64 given = 0;
	__u32 serial;

	if (need == KEY_NEED_VIEW || need == KEY_NEED_READ || need == KEY_DEFER_PERM_CHECK)
		return 0;
	/* A key_ref_t is a forward type; its lowest bit says possession (linux/key.h). */
	bpf_get_func_arg(ctx, 0, &given);
	serial = BPF_CORE_READ((struct key *)(given & ~1ull), serial);
	if (!bpf_map_lookup_elem(&own_keys, &serial))
		return 0;
	scratch = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);
	if (need == KEY_NEED_SEARCH && scratch && scratch->in_verify)
		return 0;
	return answer_act(VERITY_ACT_KEY);
}

/*
 * The second guard of ftrace_enabled: it is called without ftrace, and by a descriptor that was opened
 * before. A program that runs behind it and sets another answer is foreign (report.h).
 */
SEC("cgroup/sysctl")
int verity_sysctl(struct bpf_sysctl *ctx)
{
	const char guarded[] = "kernel/ftrace_enabled";
	char name[32] = {};
	__u32 reason = VERITY_FTRACE;
	struct count *count;

	if (!ctx->write || gate_state() == VERITY_STATE_OFF ||
	    bpf_sysctl_get_name(ctx, name, sizeof(name), 0) < 0)
		return 1;
	for (int i = 0; i < (int)sizeof(guarded); i++)
		if (name[i] != guarded[i])
			return 1;
	count = bpf_map_lookup_elem(&counts, &reason);
	if (count)
		__sync_fetch_and_add(&count->denied, 1);
	return 0;
}

/*
 * The decision by itself, for the vectors: run by BPF_PROG_TEST_RUN in a test machine, never by the
 * loader. The reason, 256 where it is enforced, and 512 where it would be but for an unlock.
 */
SEC("syscall")
int verity_decide_facts(struct verity_facts *facts)
{
	__u32 reason = verity_decide_unlocked(facts);

	return reason | (verity_denies(facts, reason) ? 256 : 0) |
	       (verity_unlocks(facts, reason) ? 512 : 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
