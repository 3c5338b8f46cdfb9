/* SPDX-License-Identifier: Apache-2.0 */
/* load FILE: opens the library FILE with dlopen, and prints dlerror when that is refused. */
#include "tool.h"
#include <dlfcn.h>

int main(int argc, char **argv)
{
	if (argc != 2)
		trouble("usage");
	if (!dlopen(argv[1], RTLD_NOW)) {
		puts(dlerror());
		return 1;
	}
	return succeeded();
}
