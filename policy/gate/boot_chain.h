/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_BOOT_CHAIN_H
#define VERITY_BOOT_CHAIN_H
/*
 * What a gate has to do that an initramfs loaded: enter the root, and keep from then on what the next
 * boot comes from. The loader loads these programs only then (VERITY_PROGRAM_BOOT).
 *
 * Nobody writes what the machine boots from, whatever they are privileged to: a directory such as
 * /boot of the root file system, a whole file system such as the ESP, EFI variables, and the block
 * devices of these, in use or not.
 *
 * - A directory is known by its number, and what is below it by the walk over dentries: mounts and
 *   names make no difference. What isn't known to be outside, in a file system that has such a
 *   directory, counts as inside: a file that was opened by its handle has no parents.
 * - Writes are asked about in file_open: an overlay opens the files below it by no other hook.
 * - Not seen: descriptors and hard links out of it from before the load, what the kernel itself does to
 *   a device for who may configure device-mapper, and commands sent by hand to a disk.
 */
#include "deny.h"
#include "protect.h"

#define BOOT_STEPS 512

/* --- entering the root -------------------------------------------------------------------- */

struct pins_search {
	struct mount *root;
	struct list_head *next, *end;
	struct mount *found;
};

static long search_pins(__u32 unused, struct pins_search *search)
{
	struct list_head *place = search->next;
	struct mount *copy;

	if (!place || place == search->end)
		return 1;
	copy = (void *)place - bpf_core_field_offset(struct mount, mnt_instance);
	search->next = BPF_CORE_READ(place, next);
	if (!stands_on(copy, search->root))
		return 0;
	search->found = copy;
	return 1;
}

/* Whoever enters a root by copies of its mounts leaves the one behind that was to be kept. */
static __noinline void keep_pins_of(struct mount *root)
{
	struct verity_config *configured = THE(config);
	struct mount *pins = pins_mount();
	struct pins_search search = {.root = root};
	struct super_block *pinned;

	if (!pins || !configured || stands_on(pins, root))
		return;
	pinned = BPF_CORE_READ(pins, mnt.mnt_sb);
	search.end = (void *)pinned + bpf_core_field_offset(struct super_block, s_mounts);
	search.next = BPF_CORE_READ(pinned, s_mounts.next);
	bpf_loop(MOUNT_COPIES, search_pins, &search, 0);
	if (search.found)
		configured->mount =
			(__u64)search.found + bpf_core_field_offset(struct mount, mnt);
}

/*
 * The first process has started something that isn't of the initial root, and was let: the root is
 * entered, and the trust in the initial root is over. Nothing of the new program is mapped yet.
 */
SEC("lsm/bprm_committed_creds")
int BPF_PROG(verity_boot_enter, const struct linux_binprm *bprm)
{
	struct verity_config *configured = THE(config);
	struct verity_boot *found = THE(boot);

	if (bpf_get_current_pid_tgid() >> 32 != 1 || !configured || !found || !trusts_initial() ||
	    configured->state == VERITY_STATE_LOADING || is_initial(bprm->file->f_inode))
		return 0;
	keep_pins_of((void *)bpf_get_current_task_btf()->fs->root.mnt -
		     bpf_core_field_offset(struct mount, mnt));
	found->entered_ns = bpf_ktime_get_boot_ns();
	if (configured->state == VERITY_STATE_BOOT)
		configured->state = VERITY_STATE_SEALED;
	return 0;
}

/* --- what is booted from ------------------------------------------------------------------ */

static __always_inline int is_boot_device(__u32 device)
{
	const struct verity_boot *found = THE(boot);

	for (__u32 i = 0; found && i < VERITY_BOOT_PLACES; i++)
		if (found->devices[i] && found->devices[i] == device)
			return 1;
	return 0;
}

/* Whether a directory that is booted from is there, by its number; 0: any of this device. */
static __always_inline int is_boot_place(__u32 device, __u64 inode)
{
	const struct verity_boot *found = THE(boot);

	for (__u32 i = 0; found && i < VERITY_BOOT_PLACES; i++)
		if (found->places[i].inode && found->places[i].device == device &&
		    (!inode || found->places[i].inode == inode))
			return 1;
	return 0;
}

struct boot_walk {
	struct dentry *at, *top;
	__u32 device;
	__u32 inside; /* until it is known better */
};

static long walk_up(__u32 unused, struct boot_walk *walk)
{
	/* Or the compiler would look for the walk's own field in the kernel. */
	struct dentry *at = walk->at, *parent = BPF_CORE_READ(at, d_parent);
	struct inode *inode = BPF_CORE_READ(at, d_inode);

	if (inode && is_boot_place(walk->device, BPF_CORE_READ(inode, i_ino)))
		return 1;
	if (at == walk->top) {
		walk->inside = 0;
		return 1;
	}
	if (!parent || parent == at)
		return 1;
	walk->at = parent;
	return 0;
}

/* `beside`: of the same file system, for a name that isn't there yet. */
static __noinline int is_booted_from(struct dentry *dentry, struct inode *beside)
{
	struct super_block *file_system = BPF_CORE_READ(beside, i_sb);
	struct boot_walk walk = {.at = dentry, .inside = 1};

	walk.device = BPF_CORE_READ(file_system, s_dev);
	if (BPF_CORE_READ(file_system, s_magic) == EFIVARFS_MAGIC || is_boot_device(walk.device))
		return 1;
	if (!is_boot_place(walk.device, 0))
		return 0;
	walk.top = BPF_CORE_READ(file_system, s_root);
	bpf_loop(BOOT_STEPS, walk_up, &walk, 0);
	return walk.inside;
}

static __always_inline int answer_boot(struct file *file)
{
	struct verity_facts facts = {.act = VERITY_ACT_BOOT, .state = gate_state()};

	return answer_shut(&facts, verity_decide(&facts), file);
}

static __always_inline int check_boot(struct dentry *dentry, struct inode *beside)
{
	return is_booted_from(dentry, beside) ? answer_boot(NULL) : 0;
}

SEC("lsm.s/file_open")
int BPF_PROG(verity_boot_open, struct file *file)
{
	struct inode *inode = file->f_inode;

	if (!(file->f_mode & FMODE_WRITE))
		return 0;
	if ((inode->i_mode & S_IFMT) == S_IFBLK ? is_boot_device(inode->i_rdev)
						 : is_booted_from(file->f_path.dentry, inode))
		return answer_boot(file);
	return 0;
}

SEC("lsm.s/inode_create")
int BPF_PROG(verity_boot_create, struct inode *dir, struct dentry *dentry)
{
	return check_boot(dentry, dir);
}

SEC("lsm/inode_mkdir")
int BPF_PROG(verity_boot_mkdir, struct inode *dir, struct dentry *dentry)
{
	return check_boot(dentry, dir);
}

SEC("lsm.s/inode_mknod")
int BPF_PROG(verity_boot_mknod, struct inode *dir, struct dentry *dentry)
{
	return check_boot(dentry, dir);
}

SEC("lsm.s/inode_symlink")
int BPF_PROG(verity_boot_symlink, struct inode *dir, struct dentry *dentry)
{
	return check_boot(dentry, dir);
}

/* A name in it, or a name outside by which a file of it could be written. */
SEC("lsm/inode_link")
int BPF_PROG(verity_boot_link, struct dentry *old, struct inode *dir, struct dentry *dentry)
{
	return is_booted_from(old, dir) || is_booted_from(dentry, dir) ? answer_boot(NULL) : 0;
}

SEC("lsm.s/inode_unlink")
int BPF_PROG(verity_boot_unlink, struct inode *dir, struct dentry *dentry)
{
	return check_boot(dentry, dir);
}

SEC("lsm.s/inode_rmdir")
int BPF_PROG(verity_boot_rmdir, struct inode *dir, struct dentry *dentry)
{
	return check_boot(dentry, dir);
}

SEC("lsm.s/inode_rename")
int BPF_PROG(verity_boot_rename, struct inode *dir, struct dentry *dentry, struct inode *new_dir,
	     struct dentry *new_dentry)
{
	return is_booted_from(dentry, dir) || is_booted_from(new_dentry, new_dir)
		       ? answer_boot(NULL) : 0;
}

SEC("lsm.s/inode_setattr")
int BPF_PROG(verity_boot_setattr, void *idmap, struct dentry *dentry)
{
	return check_boot(dentry, dentry->d_inode);
}

SEC("lsm.s/inode_setxattr")
int BPF_PROG(verity_boot_setxattr, void *idmap, struct dentry *dentry)
{
	return check_boot(dentry, dentry->d_inode);
}

SEC("lsm/inode_removexattr")
int BPF_PROG(verity_boot_removexattr, void *idmap, struct dentry *dentry)
{
	return check_boot(dentry, dentry->d_inode);
}

#endif
