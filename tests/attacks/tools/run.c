/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run memfd|tmpfile|deleted|fd FILE [DIRECTORY]: executes FILE's contents by a descriptor without
 * a name: a copy in a memfd, in an O_TMPFILE of DIRECTORY, in a file of DIRECTORY that is deleted
 * first; or FILE itself by its descriptor.
 */
#include "tool.h"
#include <sys/syscall.h>

static int reopened(int fd)
{
	char path[64];
	int readable;

	/* A file that is open for writing isn't executed. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readable = open(path, O_RDONLY);
	if (readable < 0)
		trouble("reopening");
	close(fd);
	return readable;
}

static int filled(int fd, const char *path)
{
	size_t size;
	void *bytes = contents(path, &size);

	if (fd < 0)
		trouble("making the file");
	write_all(fd, bytes, size);
	fchmod(fd, 0755);
	return reopened(fd);
}

int main(int argc, char **argv)
{
	const char *how = argc > 2 ? argv[1] : "";
	char path[4096];
	int fd;

	if (!strcmp(how, "memfd")) {
		fd = filled(memfd_create("attack", 0), argv[2]);
	} else if (!strcmp(how, "tmpfile") && argc > 3) {
		fd = filled(open(argv[3], O_TMPFILE | O_RDWR, 0700), argv[2]);
	} else if (!strcmp(how, "deleted") && argc > 3) {
		snprintf(path, sizeof(path), "%s/doomed", argv[3]);
		fd = filled(open(path, O_RDWR | O_CREAT | O_EXCL, 0700), argv[2]);
		if (unlink(path) < 0)
			trouble("unlink");
	} else if (!strcmp(how, "fd")) {
		fd = open(argv[2], O_RDONLY);
	} else {
		errno = EINVAL;
		trouble("usage");
	}
	if (fd < 0)
		trouble("open");
	/* glibc's fexecve would do the same; a script needs the descriptor to stay open. */
	syscall(SYS_execveat, fd, "", (char *[]){ "run", NULL }, environ, AT_EMPTY_PATH);
	return refused("execveat");
}
