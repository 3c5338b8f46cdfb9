/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_PROTECT_H
#define VERITY_PROTECT_H
/*
 * What belongs to the gate itself: how its objects, pins and keys are recognised.
 */
#include "deny.h"

#define MOUNT_DEPTH 32
#define MOUNT_MASTERS 16
#define MOUNT_COPIES 4096 /* of the pins' mount, in all namespaces together */

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

/* --- what an unmount takes along ------------------------------------------------------------ */

static __always_inline struct mount *pins_mount(void)
{
	struct verity_config *found = THE(config);

	if (!found || !found->mount)
		return NULL;
	return (void *)found->mount - bpf_core_field_offset(struct mount, mnt);
}

/* Whether unmounting `top` with all that stands on it unmounts `at`; too deep to tell: yes. */
static __noinline int stands_on(struct mount *at, struct mount *top)
{
	struct mount *parent;

	for (int i = 0; i < MOUNT_DEPTH; i++) {
		if (at == top)
			return 1;
		parent = BPF_CORE_READ(at, mnt_parent);
		if (!parent || parent == at)
			return 0;
		at = parent;
	}
	return 1;
}

/*
 * Whether what happens on `from` happens on `to`, too: its peers, and the slaves of those, down to
 * any depth (fs/pnode.c). More masters than are looked at: yes.
 */
static __noinline int propagates(struct mount *from, struct mount *to)
{
	int group = BPF_CORE_READ(from, mnt_group_id);

	if (!group)
		return 0;
	for (int i = 0; i < MOUNT_MASTERS; i++) {
		if (BPF_CORE_READ(to, mnt_group_id) == group)
			return 1;
		to = BPF_CORE_READ(to, mnt_master);
		if (!to)
			return 0;
	}
	return 1;
}

struct removal {
	struct mount *pins;
	struct mount *top; /* what is unmounted, with all that stands on it */
	struct list_head *next, *end;
	int reaches;
};

/* One mount of the pins' file system. */
static long check_copy(__u32 index, struct removal *removal)
{
	struct mount *pins = removal->pins, *copy;
	struct list_head *place = removal->next;

	if (!place || place == removal->end)
		return 1;
	copy = (void *)place - bpf_core_field_offset(struct mount, mnt_instance);
	removal->next = BPF_CORE_READ(place, next);
	removal->reaches =
		index == MOUNT_COPIES - 1 ||
		(copy != pins &&
		 BPF_CORE_READ(copy, mnt_mountpoint) == BPF_CORE_READ(pins, mnt_mountpoint) &&
		 propagates(BPF_CORE_READ(copy, mnt_parent), BPF_CORE_READ(pins, mnt_parent)) &&
		 stands_on(copy, removal->top));
	return removal->reaches;
}

/*
 * Whether unmounting `gone` takes the pins' mount along.
 *
 * 1. It is that mount, or the pins stand on it.
 * 2. It takes another mount of their file system along, at the same place of a mount from which
 *    unmounting propagates to the pins. A lazy unmount propagates from each mount that it takes;
 *    and the kernel never takes a mount by propagation and leaves the pins on it.
 *
 * Any other mount of the file system is somebody's own: systemd unmounts the one in the namespace
 * of a service that must not see it.
 */
static __noinline int holds_pins(struct vfsmount *gone)
{
	struct mount *pins = pins_mount();
	struct removal removal = {.pins = pins};
	struct super_block *pinned;

	if (!pins)
		return 0;
	removal.top = (void *)gone - bpf_core_field_offset(struct mount, mnt);
	/* 1. */
	if (stands_on(pins, removal.top))
		return 1;
	/* 2. */
	pinned = BPF_CORE_READ(pins, mnt.mnt_sb);
	removal.end = (void *)pinned + bpf_core_field_offset(struct super_block, s_mounts);
	removal.next = BPF_CORE_READ(pinned, s_mounts.next);
	bpf_loop(MOUNT_COPIES, check_copy, &removal, 0);
	return removal.reaches;
}

/*
 * Whether a name is about to go on which the pins' mount stands, or one below it. In a mount
 * namespace that hasn't that mount the name can be removed, and then the kernel unmounts what is on
 * it everywhere (detach_mounts in fs/namespace.c).
 */
static __noinline int is_way_to_pins(struct dentry *dentry)
{
	struct mount *at = pins_mount(), *parent;

	if (!at)
		return 0;
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

/* Nothing stands on nearly any name. */
static __always_inline int is_under_pins(struct dentry *dentry)
{
	return dentry->d_flags & DCACHE_MOUNTED && is_way_to_pins(dentry);
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
