/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * --try ROOT: what was staged gets so many boots to come up, then the host goes back to what it booted
 * from before. Whether it came up, a unit of the host says by removing the count (verity-confirm). A
 * kernel that dies before its initramfs never gets here: those boots the boot loader counts (bootcount.c).
 *
 * 1. No count, or one that is none: all that is there was confirmed, and the boot loader's count ends,
 *    too. It is no secret and nobody signs it: whoever writes it chooses between two signed deployments.
 * 2. Above zero it becomes one less, durably, before this boot goes on. The boot loader's is left at one
 *    at least: this boot may be the one that is confirmed, and the next is to start the same.
 * 3. At zero, or if the boot loader has used its own up, the entries of boot loaders are taken back, what
 *    was staged is put away with the reason, then the bundle is taken back, then the counts go. The
 *    entries were kept in /boot, where nobody writes while the gate is sealed: so they need no
 *    signature. After a power cut all of it is done once more.
 * 4. What was confirmed isn't taken back. If the boot loader has given it up, it is told to start it.
 * 5. While a stage is begun and not in place, other boots are counted: those that begin it (attempts.c).
 */
#define _GNU_SOURCE /* O_PATH */
#include "load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT STATE "/tries"
#define DEEPEST 6

#define REFUSED STATE "/refused"

static int is_there(int root, const char *name)
{
	return faccessat(root, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int is_begun(int root)
{
	return is_there(root, BEGUN("next"));
}

/* Begun, and its bundle doesn't count yet. */
static int is_unfinished(int root)
{
	return is_begun(root) && is_there(root, STATE "/next/boot.bundle");
}

int text_put(int root, const char *name, const char *text)
{
	char part[128], *slash;
	size_t len = strlen(text);
	int fd, result = 0;

	snprintf(part, sizeof(part), "%s.new", name);
	fd = openat(root, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len || fsync(fd) != 0)
		result = errno ? -errno : -EIO;
	close(fd);
	if (!result && renameat(root, part, root, name) != 0)
		result = -errno;
	slash = strrchr(part, '/');
	*slash = '\0';
	return result ? result : folder_sync(root, part);
}

int count_put(int root, const char *name, int count)
{
	char text[8];

	snprintf(text, sizeof(text), "%d\n", count % 100);
	return text_put(root, name, text);
}

int count_of(int root, const char *name)
{
	char text[8] = "", *end;
	int fd = openat(root, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	unsigned long count;
	ssize_t len;

	if (fd < 0)
		return -1;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len < 2 || text[0] < '0' || text[0] > '9')
		return -1;
	count = strtoul(text, &end, 10);
	return *end == '\n' && count <= BOOT_TRIES ? (int)count : -1;
}

int tries_begin(int root)
{
	int result = count_put(root, COUNT, BOOT_TRIES);

	return result ? result : loader_count_set(root, '0' + BOOT_TRIES);
}

int tries_left(int root)
{
	return count_of(root, COUNT);
}

/* Of a file system whose directories don't say it, too. */
static unsigned char kind_of(int folder, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type;
	return fstatat(folder, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? IFTODT(st.st_mode) :
									       DT_UNKNOWN;
}

/* Every NAME.verity-old below a folder becomes NAME, or goes. */
static int each_kept(int parent, const char *name, int back, int depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), result = 0;
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!folder)
		return fd < 0 && errno == ENOENT ? 0 : -errno;
	while (!result && depth < DEEPEST && (entry = readdir(folder))) {
		size_t len = strlen(entry->d_name), end = strlen(KEPT);
		unsigned char kind = kind_of(fd, entry);
		char to[256];

		if (kind == DT_DIR && entry->d_name[0] != '.')
			result = each_kept(fd, entry->d_name, back, depth + 1);
		if (kind != DT_REG || len <= end ||
		    strcmp(entry->d_name + len - end, KEPT) != 0)
			continue;
		snprintf(to, sizeof(to), "%.*s", (int)(len - end), entry->d_name);
		if ((back ? renameat(fd, entry->d_name, fd, to) :
			    unlinkat(fd, entry->d_name, 0)) != 0 || fsync(fd) != 0)
			result = -errno;
	}
	closedir(folder);
	return result;
}

int kept_forget(int root)
{
	return each_kept(root, "boot", 0, 0);
}

/* Before it is put away: after a power cut the reason is there, or all is done once more. */
static int say_why(int root, const char *stage, const char *why)
{
	char name[64], text[600];

	snprintf(name, sizeof(name), STATE "/%s/why", stage);
	snprintf(text, sizeof(text), "%.590s\n", why);
	return is_there(root, name) ? 0 : text_put(root, name, text);
}

int refused_put(int root, const char *stage, const char *why)
{
	say_why(root, stage, why); /* where there is no room for it, it is put away all the same */
	return stage_away(root, stage, "refused");
}

int take_back(int root, const char *why)
{
	say_why(root, "next", why);
	return count_put(root, COUNT, 0);
}

/*
 * All that was begun since the last confirmation, the last one on top; none of it any more if the power
 * went behind this.
 */
static int refused_put_begun(int root, const char *why)
{
	int result = is_there(root, BEGUN("applied")) ? refused_put(root, "applied", why) : 0;

	if (!result && is_begun(root))
		result = refused_put(root, "next", why);
	if (!result && mkdirat(root, REFUSED, 0755) != 0 && errno != EEXIST)
		result = -errno;
	return result;
}

/* The bundle of before, if there was one; the other one stays beside what else was refused. */
static int bundle_back(int root)
{
	int was_none = !is_there(root, PREVIOUS), result = 0;

	if (was_none && !is_there(root, PREVIOUS_NONE))
		return 0;
	if ((linkat(root, BUNDLE, root, REFUSED "/boot.bundle", 0) != 0 && errno != ENOENT &&
	     errno != EEXIST) ||
	    (was_none ? unlinkat(root, BUNDLE, 0) != 0 && errno != ENOENT :
			renameat(root, PREVIOUS, root, BUNDLE) != 0))
		result = -errno;
	if (!result)
		result = folder_sync(root, STATE);
	/* Last: then it is known that none is the one of before. */
	if (!result && was_none && unlinkat(root, PREVIOUS_NONE, 0) != 0)
		result = -errno;
	return result;
}

/* No bundle but the one of before has counted: whatever stands there by now, stays. */
static int bundle_stays(int root)
{
	int result = 0;

	if (!is_unfinished(root) || is_there(root, BEGUN("applied")))
		return 0;
	if ((unlinkat(root, PREVIOUS, 0) != 0 && errno != ENOENT) ||
	    (unlinkat(root, PREVIOUS_NONE, 0) != 0 && errno != ENOENT))
		result = -errno;
	if (!result)
		result = folder_sync(root, STATE "/previous");
	return result == -ENOENT ? 0 : result;
}

/* 3. */
static int fall_back(int root, const char *why)
{
	int result = each_kept(root, "boot", 1, 0);

	if (!result)
		result = bundle_stays(root);
	if (!result)
		result = refused_put_begun(root, why);
	if (!result)
		result = bundle_back(root);
	if (!result && unlinkat(root, COUNT, 0) != 0)
		result = -errno;
	if (!result)
		result = folder_sync(root, STATE);
	return result ? result : loader_count_set(root, LOADER_IDLE);
}

/* 2. */
static int count_down(int root, int count, char loader)
{
	int result = count_put(root, COUNT, count - 1);

	return !result && loader == '0' ? loader_count_set(root, '1') : result;
}

int try_boot(const char *path, const char **what, struct failure *f)
{
	static char said[256];
	int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), count, result;
	const char *why = "boot-complete.target was not reached in three boots";
	char loader;

	if (root < 0)
		return cannot(f, errno, "name where the root file system is mounted", "--try %s", path);
	count = tries_left(root);
	loader = loader_count(root);
	if (count > 0 && loader == LOADER_FELL)
		why = "the kernel doesn't load, or ends before its initramfs runs";
	if (count < 0 && loader == LOADER_FELL) {
		/* 4. */
		snprintf(said, sizeof(said), "confirmed");
		result = loader_count_set(root, LOADER_IDLE);
	} else if (count < 0) {
		/* 1. */
		snprintf(said, sizeof(said), "tries none");
		result = loader_count_set(root, LOADER_IDLE);
	} else if (!count || loader == LOADER_FELL) {
		snprintf(said, sizeof(said), "fell-back\nwhat was staged is refused: %s", why);
		result = fall_back(root, why);
	} else if (is_unfinished(root)) {
		/* 5. */
		snprintf(said, sizeof(said), "not in place\nwhat is staged is put into place by the next boot, "
			 "or not at all");
		result = 0;
	} else {
		/* It counts before it starts the kernel. */
		snprintf(said, sizeof(said), "tries %d%s", count - 1, loader != '0' + BOOT_TRIES ? "" :
			 "\nGRUB didn't count this boot: its configuration lacks 01_verity, or it can't "
			 "write to /boot");
		result = count_down(root, count, loader);
	}
	*what = said;
	close(root);
	return result ? cannot(f, -result, "look at the disk", "the count of boots in %s", path) : 0;
}
