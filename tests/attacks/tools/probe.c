/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe entry|return FUNCTION PROGRAM: puts a probe on a function of the kernel's, with
 * perf_event_open(2), and runs PROGRAM under it. A probe that is never hit is trouble.
 */
#include "tool.h"
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The number that the kernel gave to this kind of event. */
static unsigned int kind(void)
{
	int fd = open("/sys/bus/event_source/devices/kprobe/type", O_RDONLY | O_CLOEXEC);
	char text[16] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		trouble("the type of kprobe events");
	close(fd);
	return strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .inherit = 1 };
	uint64_t hits = 0;
	int fd, status;
	pid_t child;

	if (argc != 4)
		trouble("usage");
	attr.type = kind();
	attr.config = !strcmp(argv[1], "return"); /* bit 0, see its folder format/ */
	attr.kprobe_func = (uintptr_t)argv[2];
	fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return refused("perf_event_open");
	child = fork();
	if (child < 0)
		trouble("fork");
	if (!child) {
		execv(argv[3], argv + 3);
		_exit(127);
	}
	if (waitpid(child, &status, 0) < 0 || read(fd, &hits, sizeof(hits)) != sizeof(hits))
		trouble("wait");
	if (!hits)
		trouble("the probe was never hit");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
