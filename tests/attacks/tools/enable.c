/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enable FILE...: fs-verity in the canonical tuple, the honest way: written out first, and nothing
 * left in the page cache, so that what is read later has been verified. Passes over files that have
 * it. A refused file ends it with status 1.
 */
#include "tool.h"
#include <linux/fsverity.h>
#include <sys/ioctl.h>

int main(int argc, char **argv)
{
	struct fsverity_enable_arg arg = {
		.version = 1, .hash_algorithm = FS_VERITY_HASH_ALG_SHA256, .block_size = 4096
	};

	for (int i = 1; i < argc; i++) {
		int fd = open(argv[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0 || fsync(fd) < 0)
			trouble(argv[i]);
		if (ioctl(fd, FS_IOC_ENABLE_VERITY, &arg) < 0 && errno != EEXIST)
			return refused(argv[i]);
		fsync(fd);
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
		/* Whoever marks files until their cache is empty sees it here. */
		fd = open(argv[i], O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			trouble(argv[i]);
		close(fd);
	}
	return succeeded();
}
