/* SPDX-License-Identifier: Apache-2.0 */
/* A library that says so when its code runs, which is as soon as it is loaded. */
#include <unistd.h>

__attribute__((constructor)) static void loaded(void)
{
	static const char text[] = "the library's code runs\n";

	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
}
