/* SPDX-License-Identifier: Apache-2.0 */
/* namespace: makes a user namespace with clone(2), for a child that prints `ran`. */
#include "tool.h"
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int main(void)
{
	pid_t child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0);
	int status;

	if (child < 0)
		return refused("clone");
	if (!child) {
		static const char said[] = "ran\n";

		write_all(STDOUT_FILENO, said, sizeof(said) - 1);
		_exit(0);
	}
	if (waitpid(child, &status, 0) < 0)
		trouble("wait");
	return status != 0;
}
