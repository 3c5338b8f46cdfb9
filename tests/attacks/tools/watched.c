/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watched FILE FROM TO PROGRAM ARGUMENT...: is asked whenever FILE is opened (fanotify), so that PROGRAM's
 * open of it waits; renames FROM to TO (`-`: nothing) meanwhile, and lets the open go on.
 */
#include "tool.h"
#include <sys/fanotify.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
	struct fanotify_event_metadata asked;
	struct fanotify_response answer;
	int watch, status;
	pid_t child;

	if (argc < 5)
		trouble("usage");
	watch = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY);
	if (watch < 0)
		trouble("fanotify_init");
	if (fanotify_mark(watch, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, argv[1]) < 0)
		trouble("fanotify_mark");
	child = fork();
	if (child < 0)
		trouble("fork");
	if (!child) {
		execvp(argv[4], argv + 4);
		trouble(argv[4]);
	}
	alarm(30); /* or nobody opens it */
	if (read(watch, &asked, sizeof(asked)) != sizeof(asked))
		trouble("read");
	if (strcmp(argv[2], "-") && rename(argv[2], argv[3]) < 0)
		return refused("rename");
	answer = (struct fanotify_response){ .fd = asked.fd, .response = FAN_ALLOW };
	if (write(watch, &answer, sizeof(answer)) != sizeof(answer))
		trouble("FAN_ALLOW");
	/* What else opens it isn't held up for ever. */
	close(watch);
	if (waitpid(child, &status, 0) < 0)
		trouble("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
