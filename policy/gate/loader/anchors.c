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
 * be opened ends the load, and so does one that the gate didn't remember (load.c): under another name it would
 * be guarded no more.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_directory(const char *path, struct failure *f)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	/* Not there, a file, or below one or a symlink that leads nowhere. */
	if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
		return 0;
	return cannot(f, errno, "the policy guards it, or what is below it: make it readable to root",
		      "%s can't be opened", path);
}

static int open_all(const struct blob *policy, struct failure *f)
{
	struct verity_policy_header header;
	struct verity_guarded_entry entry;
	size_t at = sizeof(header);
	uint32_t i;
	int result = 0;

	if (policy->len < sizeof(header))
		return 0;
	memcpy(&header, policy->data, sizeof(header));
	at += (size_t)header.n_streams * sizeof(struct verity_policy_stream);
	if (header.n_guarded)
		result = open_directory("/", f);
	for (i = 0; !result && i < header.n_guarded && at + sizeof(entry) <= policy->len; i++) {
		char *slash;

		memcpy(&entry, policy->data + at, sizeof(entry));
		entry.path[sizeof(entry.path) - 1] = 0;
		at += sizeof(entry);
		/* From the first directory on the way to the last. */
		for (slash = strchr((char *)entry.path + 1, '/'); slash && !result;
		     slash = strchr(slash + 1, '/')) {
			*slash = 0;
			result = open_directory((char *)entry.path, f);
			*slash = '/';
		}
		if (!result)
			result = open_directory((char *)entry.path, f);
	}
	return result;
}

int open_guarded(const struct blob *policy, const char *root, struct failure *f)
{
	int status = 0;
	pid_t child;

	if (!root)
		return open_all(policy, f);
	child = fork();
	if (!child)
		_exit(chroot(root) != 0 || chdir("/") != 0 || open_all(policy, f));
	if (child < 0)
		return cannot(f, errno, "free memory", "no child to look into %s", root);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return cannot(f, errno, HINT_LOG, "the child that looks into %s", root);
	return status ? cannot(f, 0, "what the policy guards must be readable to root",
			       "a guarded directory below %s can't be opened", root) : 0;
}
