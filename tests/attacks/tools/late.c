/* SPDX-License-Identifier: Apache-2.0 */
/*
 * late LEASED FROM TO SECONDS PROGRAM ARGUMENT...: takes a lease on LEASED, so that PROGRAM's open of
 * FROM waits; renames FROM to TO (`-`: nothing), and lets the open go on after so many seconds.
 */
#include "tool.h"
#include <signal.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
	int fd, status, tries;
	pid_t child;

	if (argc < 6)
		trouble("usage");
	/* For writing: nobody is asked about it. A file with fs-verity can only be read. */
	fd = open(argv[1], O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		trouble(argv[1]);
	signal(SIGIO, SIG_IGN);
	/* Who is told of each open, as fapolicyd is, may still have the file open. */
	for (tries = 0; fcntl(fd, F_SETLEASE, F_WRLCK) < 0; tries++) {
		if (errno != EAGAIN || tries > 1000)
			trouble("F_SETLEASE");
		usleep(10000);
	}
	child = fork();
	if (child < 0)
		trouble("fork");
	if (!child) {
		execvp(argv[5], argv + 5);
		trouble(argv[5]);
	}
	for (tries = 0; fcntl(fd, F_GETLEASE) == F_WRLCK; tries++) {
		if (tries > 3000 || waitpid(child, NULL, WNOHANG) == child)
			trouble("nobody opens it");
		usleep(10000);
	}
	if (strcmp(argv[2], "-") && rename(argv[2], argv[3]) < 0)
		return refused("rename");
	sleep(atoi(argv[4]));
	if (fcntl(fd, F_SETLEASE, F_UNLCK) < 0)
		trouble("F_UNLCK");
	if (waitpid(child, &status, 0) < 0)
		trouble("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
