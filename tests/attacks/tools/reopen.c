/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reopen LINK FIRST SECOND: executes LINK, a new symbolic link to the script FIRST, and has it point
 * to SECOND as soon as the kernel has started the interpreter, which is about to open LINK itself.
 */
#include "tool.h"
#include <sys/wait.h>

static void point(const char *link, const char *script)
{
	char made[4096];

	snprintf(made, sizeof(made), "%s.new", link);
	if (symlink(script, made) < 0 || rename(made, link) < 0)
		trouble(link);
}

/* The program of a process; empty while it can't be read. */
static const char *program(pid_t pid)
{
	static char found[4096];
	char path[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	length = readlink(path, found, sizeof(found) - 1);
	found[length < 0 ? 0 : length] = 0;
	return found;
}

int main(int argc, char **argv)
{
	char *mine;
	int status;
	pid_t pid;

	if (argc != 4)
		trouble("usage");
	mine = strdup(program(getpid()));
	point(argv[1], argv[2]);
	pid = fork();
	if (pid < 0)
		trouble("fork");
	if (!pid) {
		execv(argv[1], argv + 1);
		_exit(refused("execve"));
	}
	while (!strcmp(program(pid), mine) && !waitpid(pid, &status, WNOHANG))
		usleep(100);
	point(argv[1], argv[3]);
	if (waitpid(pid, &status, 0) < 0 && errno != ECHILD)
		trouble("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
