/* SPDX-License-Identifier: Apache-2.0 */
/*
 * perf WHICH: opens a perf event.
 *
 *   own         of this process in user space, the least that there is
 *   kernel      of this process, in the kernel, too
 *   processor   of all that the first processor does
 *   NUMBER      the raw records of the tracepoint with this id, of this process
 */
#include "tool.h"
#include <linux/perf_event.h>
#include <sys/syscall.h>

int main(int argc, char **argv)
{
	struct perf_event_attr attr = { .size = sizeof(attr),
					.type = PERF_TYPE_SOFTWARE,
					.config = PERF_COUNT_SW_TASK_CLOCK };
	const char *which = argc == 2 ? argv[1] : "usage";
	int cpu = -1, pid = 0;

	if (!strcmp(which, "own")) {
		attr.exclude_kernel = attr.exclude_hv = 1;
	} else if (!strcmp(which, "processor")) {
		attr.config = PERF_COUNT_SW_CPU_CLOCK;
		attr.exclude_kernel = attr.exclude_hv = 1;
		cpu = 0;
		pid = -1;
	} else if (atoi(which) > 0) {
		attr.type = PERF_TYPE_TRACEPOINT;
		attr.config = atoi(which);
		attr.sample_type = PERF_SAMPLE_RAW;
	} else if (strcmp(which, "kernel") != 0) {
		errno = EINVAL;
		trouble(which);
	}
	if (syscall(SYS_perf_event_open, &attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC) < 0)
		return refused("perf_event_open");
	return succeeded();
}
