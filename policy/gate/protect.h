/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_PROTECT_H
#define VERITY_PROTECT_H
/*
 * What belongs to the gate itself: how its objects, pins and keys are recognised.
 */
#include "deny.h"

#define MOUNT_DEPTH 32

static __always_inline int is_own(__u32 type, __u32 id)
{
	struct verity_id wanted = {.type = type, .id = id};

	return bpf_map_lookup_elem(&own_ids, &wanted) != NULL;
}

static __always_inline int is_pin_device(__u32 device)
{
	struct verity_config *found = THE(config);

	return found && found->gate_dev && found->gate_dev == device;
}

static __always_inline int is_pin_mount(struct vfsmount *mount)
{
	return is_pin_device(BPF_CORE_READ(mount, mnt_sb, s_dev));
}

/*
 * Whether mount(2) puts something over a mount or changes its file system, in the order in which
 * the kernel looks at the flags (path_mount in fs/namespace.c). What is left makes this one mount
 * read-only, as systemd does in the namespace of every service that it shields from /sys, or says
 * where later mounts propagate to.
 */
static __always_inline int covers_mount(unsigned long flags)
{
	if ((flags & (MS_REMOUNT | MS_BIND)) == (MS_REMOUNT | MS_BIND))
		return 0;
	if (flags & (MS_REMOUNT | MS_BIND))
		return 1;
	return !(flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE));
}

/*
 * Whether unmounting `gone` would take the pins' file system along: it is a mount of it, or one
 * that the pins' mount stands on, or a peer of one of those, from where the unmount would
 * propagate (fs/pnode.c).
 */
static __noinline int holds_pins(struct vfsmount *gone)
{
	struct verity_config *found = THE(config);
	struct mount *removed = (void *)gone - bpf_core_field_offset(struct mount, mnt);
	struct mount *at, *parent, *removed_from;
	struct dentry *removed_at;
	int group;

	if (!found || !found->mount)
		return 0;
	if (is_pin_mount(gone))
		return 1;
	removed_from = BPF_CORE_READ(removed, mnt_parent);
	removed_at = BPF_CORE_READ(removed, mnt_mountpoint);
	group = BPF_CORE_READ(removed_from, mnt_group_id);
	at = (void *)found->mount - bpf_core_field_offset(struct mount, mnt);
	for (int i = 0; i < MOUNT_DEPTH; i++) {
		if (at == removed)
			return 1;
		parent = BPF_CORE_READ(at, mnt_parent);
		if (!parent || parent == at)
			return 0;
		if (group && group == BPF_CORE_READ(parent, mnt_group_id) &&
		    removed_at == BPF_CORE_READ(at, mnt_mountpoint))
			return 1;
		at = parent;
	}
	return 1;
}

/*
 * Whether a name is about to go on which the pins' mount stands, or one below it. In a mount
 * namespace that hasn't that mount the name can be removed, and then the kernel unmounts what is on
 * it everywhere (detach_mounts in fs/namespace.c).
 */
static __noinline int is_under_pins(struct dentry *dentry)
{
	struct verity_config *found = THE(config);
	struct mount *at, *parent;

	if (!found || !found->mount || !(BPF_CORE_READ(dentry, d_flags) & DCACHE_MOUNTED))
		return 0;
	at = (void *)found->mount - bpf_core_field_offset(struct mount, mnt);
	for (int i = 0; i < MOUNT_DEPTH; i++) {
		if (BPF_CORE_READ(at, mnt_mountpoint) == dentry)
			return 1;
		parent = BPF_CORE_READ(at, mnt_parent);
		if (!parent || parent == at)
			return 0;
		at = parent;
	}
	return 1;
}

static __always_inline int is_named(struct dentry *dentry, const char *name, int size)
{
	char found[16];

	if (bpf_probe_read_kernel_str(found, sizeof(found), BPF_CORE_READ(dentry, d_name.name)) !=
	    size)
		return 0;
	for (int i = 0; i < size; i++)
		if (found[i] != name[i])
			return 0;
	return 1;
}

/* /proc/sys/kernel/ftrace_enabled: at 0 no hook of the gate is called any more. */
static __always_inline int is_ftrace_switch(struct file *file)
{
	struct dentry *dentry = file->f_path.dentry;

	return file->f_inode->i_sb->s_magic == PROC_SUPER_MAGIC &&
	       is_named(dentry, "ftrace_enabled", sizeof("ftrace_enabled")) &&
	       is_named(BPF_CORE_READ(dentry, d_parent), "kernel", sizeof("kernel"));
}

#endif
