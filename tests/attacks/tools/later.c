/* SPDX-License-Identifier: Apache-2.0 */
/*
 * later HOW FILE: code of FILE (see mapper.c) that was mapped by an ordinary user, who may, runs
 * with something of root's: without execve, which would have dropped the mapping. Prints `ran` if it
 * did, and in which ids.
 *
 *   uid, gid, groups   the user makes a user namespace; root maps uid 0 or the group disk of the
 *                      host into it; and the user sets that id
 *   another            the same with a uid that is nobody's: the control
 */
#include "tool.h"
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define USER 1000u
#define OTHER 1001u
#define DISK 6u

static size_t size;
static char *bytes;

static int (*mapped(void))(void)
{
	char *base = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *found = memmem(bytes, size, "ANSWER42", 8);

	if (base == MAP_FAILED || !found)
		trouble("the user's own mapping");
	memcpy(base, bytes, size);
	return (int (*)(void))(base + (found - bytes) + 8);
}

static int become(const char *how)
{
	gid_t group = 0;

	if (!strcmp(how, "gid"))
		return setresgid(0, 0, 0);
	if (!strcmp(how, "groups"))
		return setgroups(1, &group);
	return setresuid(0, 0, 0);
}

/* In the child: `ready` is written when the namespace is there, `go` read when it has its map. */
static int attack(const char *how, int ready, int go)
{
	int (*answer)(void);
	char byte = 0;

	if (setgroups(0, NULL) || setresgid(USER, USER, USER) || setresuid(USER, USER, USER) ||
	    prctl(PR_SET_DUMPABLE, 1))
		trouble("becoming a user");
	answer = mapped();
	if (unshare(CLONE_NEWUSER))
		trouble("unshare");
	if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1)
		trouble("waiting");
	if (become(how))
		return refused(how);
	if (answer() != 42)
		trouble("the wrong answer");
	printf("ran uid=%u gid=%u\n", getuid(), getgid());
	return 0;
}

static void put_map(pid_t child, const char *name, unsigned int outside)
{
	char path[64], line[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", child, name);
	snprintf(line, sizeof(line), "0 %u 1", outside);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		trouble(path);
	write_all(fd, line, strlen(line));
	close(fd);
}

int main(int argc, char **argv)
{
	const char *how = argc == 3 ? argv[1] : "usage";
	int ready[2], go[2], status;
	char byte = 0;
	pid_t child;

	if (strcmp(how, "uid") && strcmp(how, "gid") && strcmp(how, "groups") &&
	    strcmp(how, "another"))
		trouble("usage");
	bytes = contents(argv[2], &size);
	if (pipe(ready) || pipe(go))
		trouble("pipe");
	child = fork();
	if (!child)
		return attack(how, ready[1], go[0]);
	close(ready[1]);
	if (child < 0 || read(ready[0], &byte, 1) != 1)
		trouble("the child");
	put_map(child, "uid_map", !strcmp(how, "uid") ? 0 : OTHER);
	put_map(child, "gid_map", !strcmp(how, "gid") || !strcmp(how, "groups") ? DISK : OTHER);
	if (write(go[1], &byte, 1) != 1 || waitpid(child, &status, 0) < 0)
		trouble("the child");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
