/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Shows the gate the directories that its policy guards: it opens them, and the gate, which sees every
 * open, remembers them before the seal (guarded_path.h). So they are known again when they have got
 * another name.
 *
 * In an initramfs a child does it whose root is the one that will be entered: the gate then sees the
 * paths that they have later.
 *
 * It trusts the table only as far as it reads it, from a policy that the gate has accepted. A directory
 * that isn't there is left out: what is made later is known by its path alone. One that is there and can't
 * be opened is told, and the gate seals without it: a host with a home on a server that keeps root out is
 * better sealed than not. One that the gate had no room for ends the load (load.c). Both would be guarded no more
 * under another name.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void open_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0) {
		close(fd);
		return;
	}
	/* Not there, a file, or below one or a symlink that leads nowhere. */
	if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		fprintf(stderr, "verity-load: warning: %s can't be opened: %s\n"
			"  hint: renamed, it would be guarded no more; make it readable to root\n",
			path, strerror(errno));
}

static void open_all(const struct blob *policy)
{
	struct verity_policy_header header;
	struct verity_guarded_entry entry;
	size_t at = sizeof(header);
	uint32_t i;

	if (policy->len < sizeof(header))
		return;
	memcpy(&header, policy->data, sizeof(header));
	at += (size_t)header.n_streams * sizeof(struct verity_policy_stream);
	if (header.n_guarded)
		open_directory("/");
	for (i = 0; i < header.n_guarded && at + sizeof(entry) <= policy->len; i++) {
		char *slash;

		memcpy(&entry, policy->data + at, sizeof(entry));
		entry.path[sizeof(entry.path) - 1] = 0;
		at += sizeof(entry);
		/* From the first directory on the way to the last. */
		for (slash = strchr((char *)entry.path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
			*slash = 0;
			open_directory((char *)entry.path);
			*slash = '/';
		}
		open_directory((char *)entry.path);
	}
}

int open_guarded(const struct blob *policy, const char *root, struct failure *f)
{
	int status = 0;
	pid_t child;

	if (!root) {
		open_all(policy);
		return 0;
	}
	child = fork();
	if (!child) {
		if (chroot(root) != 0 || chdir("/") != 0)
			_exit(1);
		open_all(policy);
		_exit(0);
	}
	if (child < 0)
		return cannot(f, errno, "free memory", "no child to look into %s", root);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return cannot(f, errno, HINT_LOG, "the child that looks into %s", root);
	return status ? cannot(f, 0, HINT_LOG, "the child can't make %s its root", root) : 0;
}
