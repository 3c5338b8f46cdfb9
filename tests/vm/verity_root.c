/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enables fs-verity, in the canonical tuple, on every file of a list: paths on standard input, each
 * ended by NUL. One process for all of them, since under emulation a process costs more than a
 * file. A file that has fs-verity already (another name of it came before) is passed over; the
 * first other error ends the work with status 1. Prints how many files it enabled.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fsverity.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(void)
{
	struct fsverity_enable_arg arg = {
		.version = 1, .hash_algorithm = FS_VERITY_HASH_ALG_SHA256, .block_size = 4096
	};
	unsigned long enabled = 0;
	char *path = NULL;
	size_t size = 0;

	while (getdelim(&path, &size, '\0', stdin) > 0) {
		int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0 || (ioctl(fd, FS_IOC_ENABLE_VERITY, &arg) < 0 && errno != EEXIST)) {
			fprintf(stderr, "%s: %s\n", path, strerror(errno));
			return 1;
		}
		close(fd);
		enabled++;
	}
	sync();
	printf("%lu\n", enabled);
	return 0;
}
