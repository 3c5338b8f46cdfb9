/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel WHAT [FILE]: gives the kernel something to run.
 *
 *   file    FILE as a module, compressed as distributions have it (finit_module)
 *   memory  the bytes of FILE as a module, not compressed (init_module)
 *   image   FILE as the kernel to start next (kexec_file_load)
 *   kexec   a kernel to start next, from memory, of no parts (kexec_load)
 */
#include "tool.h"
#include <linux/kexec.h>
#include <linux/module.h>
#include <sys/syscall.h>

static int opened(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		trouble(path);
	return fd;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "usage";
	long done = -1;
	size_t size;

	if (!strcmp(what, "kexec")) {
		done = syscall(SYS_kexec_load, 0ul, 0ul, NULL, 0ul);
	} else if (argc < 3) {
		errno = EINVAL;
		trouble(what);
	} else if (!strcmp(what, "file")) {
		done = syscall(SYS_finit_module, opened(argv[2]), "", MODULE_INIT_COMPRESSED_FILE);
	} else if (!strcmp(what, "memory")) {
		void *bytes = contents(argv[2], &size);

		done = syscall(SYS_init_module, bytes, size, "");
	} else if (!strcmp(what, "image")) {
		done = syscall(SYS_kexec_file_load, opened(argv[2]), -1, 1ul, "",
			       (unsigned long)KEXEC_FILE_NO_INITRAMFS);
	}
	return done < 0 ? refused(what) : succeeded();
}
