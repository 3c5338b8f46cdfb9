/* SPDX-License-Identifier: Apache-2.0 */
/* write FILE: opens a file for writing, and writes nothing. */
#include "tool.h"

int main(int argc, char **argv)
{
	int fd = argc > 1 ? open(argv[1], O_WRONLY | O_CLOEXEC) : -1;

	return fd < 0 ? refused("open") : succeeded();
}
