/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* syncfs, syscall */
#include "inode.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VERITY_AT_EMPTY_PATH 0x1000 /* linux/fcntl.h, which clashes with fcntl.h */

int verity_statx(int fd, uint64_t *attributes, uint64_t *mask)
{
	struct statx st;

	if (fd < 0)
		return -EBADF;
	if (!attributes || !mask)
		return -EFAULT;

	/* By number: sys/stat.h and linux/stat.h both define struct statx. */
	memset(&st, 0, sizeof(st));
	if (syscall(SYS_statx, fd, "", VERITY_AT_EMPTY_PATH, 0U, &st) != 0)
		return -errno;
	*attributes = st.stx_attributes;
	*mask = st.stx_attributes_mask;
	return 0;
}

int verity_getflags(int fd, uint32_t *flags)
{
	/* The request is declared with long, yet file systems write an int. */
	union {
		int written;
		long room;
	} value = { .room = 0 };

	if (fd < 0)
		return -EBADF;
	if (!flags)
		return -EFAULT;
	if (ioctl(fd, FS_IOC_GETFLAGS, &value) != 0)
		return -errno;
	*flags = (uint32_t)value.written;
	return 0;
}

int verity_syncfs(int fd)
{
	if (fd < 0)
		return -EBADF;
	return syncfs(fd) == 0 ? 0 : -errno;
}
