/* SPDX-License-Identifier: Apache-2.0 */
/* flood TIMES FILE: maps FILE executable so often, whatever comes of it. */
#include "tool.h"

int main(int argc, char **argv)
{
	int fd = argc > 2 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
	long times = argc > 2 ? atol(argv[1]) : 0;

	if (fd < 0 || times < 1)
		trouble("usage");
	while (times--) {
		void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

		if (at != MAP_FAILED)
			munmap(at, 4096);
	}
	return succeeded();
}
