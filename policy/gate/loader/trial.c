/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A trial enforces for one boot: before the seal it is written down, durably, that it was begun.
 *
 * The next boot finds that and only observes, however this one ends: nobody has to be at the console
 * for it. What can't be written down isn't begun. The record is of one policy serial, so that the
 * next policy has a trial of its own; it is signed by nobody, because all that it can do is to keep
 * a trial from happening, which whoever can write it could have anyway.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define HEAD "verity-trial 1\nserial "
#define TEMPORARY ".new"

/* The serial of a record, 0 if it is none. */
static uint64_t serial_of(const char *text)
{
	char *end;
	uint64_t serial;

	if (strncmp(text, HEAD, strlen(HEAD)) != 0)
		return 0;
	errno = 0;
	serial = strtoull(text + strlen(HEAD), &end, 10);
	return errno || *end != '\n' ? 0 : serial;
}

/* Where it was begun, for people. */
static void boot_of(const char *text, char *room, size_t size)
{
	const char *at = strstr(text, "\nboot ");

	snprintf(room, size, "%.*s", at ? (int)strcspn(at + 6, "\n") : 7, at ? at + 6 : "unknown");
}

/* In an initramfs the record is below the root that will be entered. */
static const char *below(const char *root, const char *path, char *room, size_t size)
{
	snprintf(room, size, "%s%s", root ? root : "", path);
	return room;
}

static int write_durably(const char *path, const char *state, const char *text)
{
	char part[PATH_MAX];
	int fd = open(below(path, TEMPORARY, part, sizeof(part)), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	int result = 0, folder;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		result = errno ? -errno : -EIO;
	if (!result && fsync(fd) != 0)
		result = -errno;
	if (close(fd) != 0 && !result)
		result = -errno;
	if (!result && rename(part, path) != 0)
		result = -errno;
	if (result) {
		unlink(part);
		return result;
	}
	folder = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 || fsync(folder) != 0)
		result = -errno;
	if (folder >= 0)
		close(folder);
	return result;
}

/* What the record says; TRIAL_BEGUN: nothing against a trial of this serial. */
enum trial trial_look(const char *root, uint64_t serial, char *why, size_t size)
{
	char text[512], boot[64], path[PATH_MAX - 8];
	ssize_t len = read_text(below(root, VERITY_TRIAL, path, sizeof(path)), text, sizeof(text));
	uint64_t before = len < 0 ? 0 : serial_of(text);

	if (len < 0 && len != -ENOENT) {
		snprintf(why, size, "%s can't be read: %s", VERITY_TRIAL, strerror((int)-len));
		return TRIAL_UNWRITTEN;
	}
	if (len >= 0 && !before) {
		snprintf(why, size, "%s is damaged, so whether there was a trial isn't known",
			 VERITY_TRIAL);
		return TRIAL_UNWRITTEN;
	}
	if (before != serial)
		return TRIAL_BEGUN;
	boot_of(text, boot, sizeof(boot));
	snprintf(why, size, "policy serial %llu had its trial in the boot %s",
		 (unsigned long long)serial, boot);
	return TRIAL_OVER;
}

enum trial trial_begin(const char *root, uint64_t serial, char *why, size_t size)
{
	char text[512], line[64], path[PATH_MAX - 8], state[PATH_MAX - 16];
	enum trial found = trial_look(root, serial, why, size);
	int result;

	if (found != TRIAL_BEGUN)
		return found;
	if (read_text(BOOT_ID, line, sizeof(line)) < 0)
		snprintf(line, sizeof(line), "unknown\n");
	snprintf(text, sizeof(text), HEAD "%llu\nboot %s", (unsigned long long)serial, line);
	below(root, VERITY_TRIAL, path, sizeof(path));
	below(root, VERITY_STATE_DIR, state, sizeof(state));
	result = write_durably(path, state, text);
	if (!result)
		return TRIAL_BEGUN;
	snprintf(why, size, "%s can't be written: %s", VERITY_TRIAL, strerror(-result));
	return TRIAL_UNWRITTEN;
}
