/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Loading from an initramfs (--boot ROOT): what the initial root is, and what the next boot comes from.
 *
 * It changes nothing and trusts nothing that the root file system says: a directory there is only
 * looked up by its name. What can't be told ends the load: a gate that guards half is none.
 */
#define _GNU_SOURCE /* O_PATH */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/magic.h>

/* Below the root. One that is a file system of its own may be mounted later: then it is a device. */
static const char *const places[] = { "boot", "efi", "boot/efi" };

static uint32_t kernel_dev(dev_t dev)
{
	return VERITY_KERNEL_DEV(major(dev), minor(dev));
}

/* 1. The initial root: this program's and the first process's, in memory. */
static int find_initial(struct verity_boot *out, struct failure *f)
{
	const char *hint = "it is for an initramfs; in the running system leave --boot out";
	struct stat own, first;
	struct statfs kind;

	if (stat("/", &own) != 0 || stat("/proc/1/root", &first) != 0 || statfs("/", &kind) != 0)
		return cannot(f, errno, "mount /proc", "the initial root can't be told");
	if (own.st_dev != first.st_dev || own.st_ino != first.st_ino)
		return cannot(f, 0, hint, "--boot: / isn't the root of the first process");
	if ((uint64_t)kind.f_type != TMPFS_MAGIC && (uint64_t)kind.f_type != RAMFS_MAGIC)
		return cannot(f, 0, hint, "--boot: / is no initial root: a file system on a disk");
	out->initial = kernel_dev(own.st_dev);
	return 0;
}

/* 2. The directories, those that are there. */
static int find_places(const char *root, struct verity_boot *out, struct failure *f)
{
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs kind;
	struct stat st;
	size_t i, n = 0;
	int result = 0;

	if (fd < 0)
		return cannot(f, errno, "name where the root file system is mounted",
			      "--boot %s can't be opened", root);
	if (fstat(fd, &st) != 0 || fstatfs(fd, &kind) != 0)
		result = cannot(f, errno, HINT_LOG, "--boot %s can't be examined", root);
	else if (kernel_dev(st.st_dev) == out->initial)
		result = cannot(f, 0, "mount the root file system there first",
				"--boot %s: nothing is mounted there", root);
	else if ((uint64_t)kind.f_type == BTRFS_SUPER_MAGIC)
		/* stat(2) tells another device than the kernel's hooks do. */
		result = cannot(f, 0, "put /boot on a file system of its own, or load the gate by "
				"its unit", "--boot %s: /boot on btrfs can't be guarded", root);
	for (i = 0; !result && i < sizeof(places) / sizeof(*places); i++) {
		if (fstatat(fd, places[i], &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode))
			continue;
		out->places[n].inode = st.st_ino;
		out->places[n++].device = kernel_dev(st.st_dev);
	}
	close(fd);
	return result;
}

/* 3. The block devices that the initramfs was told of. */
static int find_devices(const struct options *options, struct verity_boot *out, struct failure *f)
{
	struct stat st;
	int i;

	for (i = 0; i < options->n_devices; i++) {
		if (stat(options->devices[i], &st) != 0)
			return cannot(f, errno, "make the initramfs anew: the disk has changed",
				      "--boot-device %s can't be examined", options->devices[i]);
		if (!S_ISBLK(st.st_mode))
			return refuse(f, "name a block device, such as /dev/disk/by-uuid/...",
				      "--boot-device %s: no block device", options->devices[i]);
		out->devices[i] = kernel_dev(st.st_rdev);
	}
	return 0;
}

int boot_find(const struct options *options, struct verity_boot *out, struct failure *f)
{
	int result = find_initial(out, f);

	if (!result)
		result = find_places(options->root, out, f);
	return result ? result : find_devices(options, out, f);
}

int boot_configure(const struct gate *gate, const struct verity_boot *boot, struct failure *f)
{
	int fd = bpf_object__find_map_fd_by_name(gate->object, VERITY_MAP_BOOT);
	uint32_t zero = 0;

	if (fd < 0 || bpf_map_update_elem(fd, &zero, boot, BPF_ANY) != 0)
		return cannot(f, errno, HINT_INSTALL, "map " VERITY_MAP_BOOT);
	return 0;
}

/* --- what a bundle asks for --------------------------------------------------------------- */

int boot_mode(const char *path, const char **mode, uint64_t *serial, struct failure *f)
{
	static const char *const modes[] = { "none", "observe", "trial", "sealed" };
	struct verity_policy_header header;
	struct bundle_cursor cursor = { 0 };
	struct bytes bundle = { 0 };
	struct blob blob;
	int next, result = read_file(path, VERITY_BUNDLE_MAX, &bundle, f);

	*serial = 0;
	*mode = modes[0];
	while (!result && (next = bundle_next(&bundle, &cursor, &blob, f)) != 0) {
		result = next < 0 ? next : 0;
		if (result || blob.kind != VERITY_RECORD_POLICY || blob.len < sizeof(header))
			continue;
		memcpy(&header, blob.data, sizeof(header));
		*serial = header.serial;
		if (header.mode <= VERITY_MODE_SEALED)
			*mode = modes[header.mode];
	}
	free_bytes(&bundle);
	return result;
}
