/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef VERITY_BOOT_H
#define VERITY_BOOT_H
/*
 * A gate that an initramfs loads, before the root is entered: which files it takes on trust, until
 * when, and where it learns that it is over.
 *
 * Files of the initial root, the file system of the initramfs, have no fs-verity. From the load on they
 * count as granted, for everybody, since nothing else runs yet; what isn't of it is decided as always.
 * The trust ends for good when the first process starts a file that isn't of it and is granted: that
 * is how the root is entered, by whatever program. No call is needed, so none can be forgotten.
 *
 * The call `enter` ends nothing: by it the loader says that it has looked at what runs (ADR 53).
 */
#include "maps.h"

/* Whether files of the initial root count as granted still. */
static __always_inline int trusts_initial(void)
{
	const struct verity_boot *found = THE(boot);

	return found && found->initial && !found->entered_ns;
}

static __always_inline int is_initial(const struct inode *inode)
{
	const struct verity_boot *found = THE(boot);

	return found && found->initial && !found->entered_ns &&
	       BPF_CORE_READ(inode, i_sb, s_dev) == found->initial;
}

#endif
