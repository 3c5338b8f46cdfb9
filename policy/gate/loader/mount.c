/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the pins are, the page cache, and kernel lockdown.
 *
 * The gate has a bpffs of its own, so that its device number alone says that an inode is the
 * gate's, and so that a single umount removes every pin of a load that failed.
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define LOCKDOWN "/sys/kernel/security/lockdown"

static int make(struct place *place, struct failure *f)
{
	struct stat st;

	/* 1. The folder; an empty one that a killed loader left is taken over. */
	if (mkdir(VERITY_PINS, 0755) != 0 && (errno != EEXIST || rmdir(VERITY_PINS) != 0 ||
					      mkdir(VERITY_PINS, 0755) != 0))
		return cannot(f, errno,
			      "a load was interrupted or another gate is there: umount "
			      VERITY_PINS ", or reboot", VERITY_PINS " can't be made");
	place->made = 1;
	/* 2. Its file system. */
	if (mount("bpf", VERITY_PINS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755") != 0)
		return cannot(f, errno, HINT_LOG,
			      "no bpffs can be mounted at " VERITY_PINS);
	place->mounted = 1;
	if (stat(VERITY_PINS, &st) != 0 || mkdir(VERITY_PIN_LINKS, 0700) != 0)
		return cannot(f, errno, HINT_LOG,
			      VERITY_PINS " can't be used");
	place->dev = VERITY_KERNEL_DEV(major(st.st_dev), minor(st.st_dev));
	/* 3. Others may pass: systemd mounts /sys/fs/bpf with 0700, and status is for everybody. */
	if (stat(VERITY_BPFFS, &st) != 0 || chmod(VERITY_BPFFS, 0711) != 0)
		return cannot(f, errno, HINT_LOG,
			      VERITY_BPFFS " can't be opened to other users");
	place->old_mode = st.st_mode & 07777;
	place->opened = 1;
	return 0;
}

int place_make(struct place *place, struct failure *f)
{
	/* mkdir and pins get the modes that are asked for, whoever called */
	mode_t mask = umask(022);
	int result = make(place, f);

	umask(mask);
	return result;
}

int place_remove(struct place *place)
{
	int result = 0;

	if (place->mounted && umount2(VERITY_PINS, 0) != 0 &&
	    umount2(VERITY_PINS, MNT_DETACH) != 0)
		result = -errno;
	if (!result && place->made && rmdir(VERITY_PINS) != 0)
		result = -errno;
	if (!result && place->opened && chmod(VERITY_BPFFS, place->old_mode) != 0)
		result = -errno;
	memset(place, 0, sizeof(*place));
	return result;
}

/*
 * Pages that were cached before verity was enabled on their file are never verified: let go of
 * every page that can be read anew.
 */
int drop_caches(struct failure *f)
{
	int result;

	sync();
	result = write_text("/proc/sys/vm/drop_caches", "3");
	if (result)
		return cannot(f, -result, "mount /proc writable",
			      "/proc/sys/vm/drop_caches can't be written");
	return 0;
}

static int locked_down(void)
{
	char text[128];
	ssize_t len = read_text(LOCKDOWN, text, sizeof(text));

	if (len < 0)
		return (int)len;
	return strstr(text, "[integrity]") || strstr(text, "[confidentiality]");
}

int lock_kernel_down(void)
{
	int result = locked_down();

	if (result > 0)
		return 0;
	if (!result)
		result = write_text(LOCKDOWN, "integrity");
	if (result)
		return result;
	return locked_down() > 0 ? 0 : -EIO;
}
