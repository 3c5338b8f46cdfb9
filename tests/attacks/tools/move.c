/* SPDX-License-Identifier: Apache-2.0 */
/* move FROM TO: moves a mount with mount(2) itself; mount(8) uses move_mount(2), another hook. */
#include "tool.h"
#include <sys/mount.h>

int main(int argc, char **argv)
{
	if (argc != 3)
		trouble("usage");
	return mount(argv[1], argv[2], NULL, MS_MOVE, NULL) < 0 ? refused("mount") : succeeded();
}
