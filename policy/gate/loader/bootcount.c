/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The count that GRUB keeps of the boots of what was staged: /boot/grub/verity.env, an environment block
 * of GRUB's with one variable of one character. GRUB counts it down before it starts a kernel
 * (policy/initramfs/grub.d/01_verity), so that a kernel that dies before its initramfs is counted.
 *
 * It is written in place and one byte changes: after a power cut it is the old one or the new one, and
 * GRUB, which replays no journal, sees the same as the kernel. It is never made here: without it the boot
 * loader doesn't count. What isn't such a block to the byte is none, and isn't written.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK "boot/grub/verity.env"
#define BLOCK_SIZE 1024
#define BEGIN "# GRUB Environment Block\nverity_tries="

/* A descriptor of a block that is one, or -1. */
static int open_block(int root, int flags, char *value)
{
	int fd = openat(root, BLOCK, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char block[BLOCK_SIZE + 1], *rest = block + sizeof(BEGIN);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == BLOCK_SIZE &&
	    pread(fd, block, sizeof(block), 0) == BLOCK_SIZE &&
	    !memcmp(block, BEGIN, sizeof(BEGIN) - 1) && *rest == '\n') {
		block[BLOCK_SIZE] = '\0';
		*value = rest[-1];
		if (strspn(rest + 1, "#") == (size_t)(block + BLOCK_SIZE - rest - 1))
			return fd;
	}
	close(fd);
	return -1;
}

char loader_count(int root)
{
	char value;
	int fd = open_block(root, O_RDONLY, &value);

	if (fd < 0)
		return LOADER_NONE;
	close(fd);
	return (value >= '0' && value <= '0' + BOOT_TRIES) || value == LOADER_FELL ? value :
										 LOADER_IDLE;
}

int loader_count_set(int root, char value)
{
	int fd, result = 0;
	char there;

	fd = open_block(root, O_RDWR, &there);
	if (fd < 0)
		return 0;
	if (there != value &&
	    (pwrite(fd, &value, 1, sizeof(BEGIN) - 1) != 1 || fsync(fd) != 0))
		result = errno ? -errno : -EIO;
	close(fd);
	return result;
}
