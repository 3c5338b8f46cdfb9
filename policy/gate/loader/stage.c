/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * --stage ROOT: what a sealed host was given for its next boot is put into place, in an initramfs,
 * before the gate is loaded for good (ADR 54).
 *
 * 1. A gate has taken the staged bundle, with the floors, serials and policy of the present one as
 *    the least that counts (load.c). Nothing else says whether it is signed.
 * 2. Each staged file has fs-verity, and grants of that bundle put this digest at its path in /boot.
 * 3. None takes the place of what the present deployment boots from, but entries of a boot loader.
 * 4. New files, then what the way back needs and the counts of boots, then the entries, then the bundle,
 *    then the stage is moved away: each by a rename, and synced before the next. After a power cut all
 *    of it is done once more, up to where it is done; how often, attempts.c says.
 * 5. The way back is to what was confirmed. While there is a count, what was kept for it stays as it is:
 *    after a power cut, and where an update is staged before the last one has come up.
 *
 * What is refused is moved to `refused`, and the host boots as it did. Nothing is removed that
 * anything boots from.
 */
#define _GNU_SOURCE /* O_PATH */
#include "load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <linux/fsverity.h>

#define DEEPEST 6
#define FILES_MOST 64

struct staged {
	const struct bytes *bundle;
	struct failure *f;
	int root, next; /* directories */
	unsigned int files;
	int entries; /* this round is for the entries of boot loaders */
	int check;   /* this round only looks */
};

/* --- 1. the least that counts ------------------------------------------------------------- */

static int raise_floor(const struct gate *gate, const uint8_t *stream, uint64_t serial)
{
	uint64_t there = 0;

	if (!bpf_map_lookup_elem(gate->floors, stream, &there) && there >= serial)
		return 0;
	return bpf_map_update_elem(gate->floors, stream, &serial, BPF_ANY);
}

/* Of one policy serial there is one policy. */
static int check_policy(const struct verity_policy_header *present, const struct blob *there,
			const struct bytes *staged, struct failure *f)
{
	struct verity_policy_header header;
	struct bundle_cursor cursor = { 0 };
	struct failure unused;
	struct blob blob;

	while (bundle_next(staged, &cursor, &blob, &unused) > 0) {
		if (blob.kind != VERITY_RECORD_POLICY || blob.len < sizeof(header))
			continue;
		memcpy(&header, blob.data, sizeof(header));
		if (header.serial == present->serial &&
		    (blob.len != there->len || memcmp(blob.data, there->data, blob.len) != 0))
			return refuse(f, "find out which of the two its signer means; the next serial "
				      "settles it", "the staged policy has the serial %llu of the "
				      "present one, and says something else",
				      (unsigned long long)header.serial);
	}
	return 0;
}

int stage_raise(const struct gate *gate, const struct bytes *present,
		const struct bytes *staged, uint64_t *least_policy, struct failure *f)
{
	struct verity_policy_header policy;
	struct verity_grants_header grants;
	struct bundle_cursor cursor = { 0 };
	struct verity_floor floor;
	struct floors floors;
	struct failure unused;
	struct blob blob;
	uint32_t i;
	int result = 0;

	/* What is there now may be damaged: then there is less to be held to, and it can't be helped. */
	while (!result && bundle_next(present, &cursor, &blob, &unused) > 0) {
		if (blob.kind == VERITY_RECORD_POLICY && blob.len >= sizeof(policy)) {
			memcpy(&policy, blob.data, sizeof(policy));
			if (policy.serial > *least_policy)
				*least_policy = policy.serial;
			result = check_policy(&policy, &blob, staged, f);
			if (result)
				return result;
		} else if (blob.kind == VERITY_RECORD_GRANTS && blob.len >= sizeof(grants)) {
			memcpy(&grants, blob.data, sizeof(grants));
			result = raise_floor(gate, grants.stream, grants.serial);
		} else if (blob.kind == VERITY_RECORD_FLOORS &&
			   !floors_parse(&blob, present->name, &floors, &unused)) {
			for (i = 0; !result && i < floors.count; i++) {
				floor_at(&floors, i, &floor);
				result = raise_floor(gate, floor.stream, floor.serial);
			}
		}
	}
	return result ? cannot(f, errno, HINT_INSTALL, "map " VERITY_MAP_FLOORS " is full") : 0;
}

/* --- 2. and 3. what may be put there ------------------------------------------------------ */

/* Whether grants of the bundle, which the gate has taken, put this digest at this path. */
static int is_granted_at(const struct bytes *bundle, const char *path, const uint8_t *digest)
{
	struct bundle_cursor cursor = { 0 };
	struct verity_grants_header header;
	struct verity_config_entry entry;
	struct failure unused;
	struct blob blob;
	uint32_t i;

	while (bundle_next(bundle, &cursor, &blob, &unused) > 0) {
		size_t at = sizeof(header);

		if (blob.kind != VERITY_RECORD_GRANTS || blob.len < sizeof(header))
			continue;
		memcpy(&header, blob.data, sizeof(header));
		at += (size_t)header.n_code * sizeof(struct verity_code_entry) +
		      (size_t)header.n_elevate * sizeof(struct verity_elevate_entry);
		for (i = 0; i < header.n_config && at + sizeof(entry) <= blob.len; i++) {
			memcpy(&entry, blob.data + at, sizeof(entry));
			at += sizeof(entry);
			entry.path[sizeof(entry.path) - 1] = 0;
			if (entry.kind == VERITY_CONFIG_FILE && !strcmp((char *)entry.path, path) &&
			    !memcmp(entry.digest, digest, VERITY_SHA256_SIZE))
				return 1;
		}
	}
	return 0;
}

static int measure_file(int fd, uint8_t digest[VERITY_SHA256_SIZE])
{
	struct {
		struct fsverity_digest head;
		uint8_t room[64];
	} found = { .head.digest_size = 64 };

	if (ioctl(fd, FS_IOC_MEASURE_VERITY, &found) != 0)
		return -errno;
	if (found.head.digest_algorithm != FS_VERITY_HASH_ALG_SHA256)
		return -EINVAL;
	memcpy(digest, found.head.digest, VERITY_SHA256_SIZE);
	return 0;
}

/* What says to a boot loader which kernel to start; all else stays beside what is there. */
static int is_entry(const char *name)
{
	size_t len = strlen(name);

	return !strncmp(name, "boot/loader/", 12) || !strcmp(name, "boot/grub/grub.cfg") ||
	       (!strncmp(name, "boot/grub/", 10) && len > 4 && !strcmp(name + len - 4, ".cfg"));
}

/* 1: the same, 0: another one, -errno. */
static int is_same(int one, int other)
{
	static char left[65536], right[65536];
	struct stat st, there;
	off_t at = 0;

	if (fstat(one, &st) != 0 || fstat(other, &there) != 0)
		return -errno;
	while (st.st_size == there.st_size && at < st.st_size) {
		ssize_t count = pread(one, left, sizeof(left), at);

		if (count <= 0 || pread(other, right, (size_t)count, at) != count)
			return -EIO;
		if (memcmp(left, right, (size_t)count) != 0)
			return 0;
		at += count;
	}
	return st.st_size == there.st_size;
}

static int check_file(struct staged *s, int fd, const char *name)
{
	uint8_t digest[VERITY_SHA256_SIZE];
	char path[VERITY_CONFIG_PATH_SIZE];
	int there, same, result = measure_file(fd, digest);

	if (result)
		return refuse(s->f, HINT_STAGE, "%s: has no fs-verity of the usual kind", name);
	snprintf(path, sizeof(path), "/%s", name);
	if (!is_granted_at(s->bundle, path, digest))
		return refuse(s->f, "have it signed for this path, and stage it with these grants",
			      "%s: the staged grants put no such file there", name);
	there = openat(s->root, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (there < 0)
		return errno == ENOENT ? 0 : cannot(s->f, errno, HINT_LOG, "%s", name);
	same = is_same(fd, there);
	close(there);
	if (same < 0)
		return cannot(s->f, -same, HINT_LOG, "%s can't be read", name);
	return same || is_entry(name) ? 0 :
	       refuse(s->f, "give the new one another name, as kernels have their version in it",
		      "%s: would take the place of what is booted from now", name);
}

/* --- 4. putting it there ------------------------------------------------------------------ */

static int copy(int from, int to)
{
	off_t at = 0;
	struct stat st;

	if (fstat(from, &st) != 0)
		return -errno;
	while (at < st.st_size) {
		ssize_t count = sendfile(to, from, &at, (size_t)(st.st_size - at));

		if (count < 0 && errno != EINTR)
			return -errno;
		if (!count)
			return -EIO;
	}
	return fsync(to) != 0 ? -errno : 0;
}

int folder_sync(int folder, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = fd < 0 || fsync(fd) != 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return result;
}

/* `name` below folder becomes what fd has, whole or not at all. */
static int replace(int fd, int folder, const char *name)
{
	char part[512], parent[512], *slash;
	int to, result;

	snprintf(part, sizeof(part), "%s.verity-new", name);
	to = openat(folder, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (to < 0)
		return -errno;
	result = copy(fd, to);
	close(to);
	if (!result && renameat(folder, part, folder, name) != 0)
		result = -errno;
	if (result) {
		unlinkat(folder, part, 0);
		return result;
	}
	snprintf(parent, sizeof(parent), "%s", name);
	slash = strrchr(parent, '/');
	if (slash)
		*slash = '\0';
	return folder_sync(folder, slash ? parent : ".");
}

/* Folders on the way to the last name, made if missing. */
static int make_folders(int folder, const char *name)
{
	char path[512], *slash;

	snprintf(path, sizeof(path), "%s", name);
	for (slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdirat(folder, path, 0755) != 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

/* The entry that is there now, for the way back; once, or a cut would have it be the new one (5.). */
static int keep_entry(struct staged *s, int there, const char *name)
{
	char kept[512];

	snprintf(kept, sizeof(kept), "%s" KEPT, name);
	if (faccessat(s->root, kept, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return replace(there, s->root, kept);
}

static int put_file(struct staged *s, int fd, const char *name)
{
	int there, result = 0;

	if (is_entry(name) != s->entries)
		return 0;
	there = openat(s->root, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (there >= 0 && is_same(fd, there) == 1) {
		close(there);
		return 0;
	}
	if (there >= 0) {
		result = keep_entry(s, there, name);
		close(there);
	}
	if (!result)
		result = make_folders(s->root, name);
	if (!result)
		result = replace(fd, s->root, name);
	return result ? cannot(s->f, -result, "make room in /boot", "%s can't be written", name) : 0;
}

/* --- all files ---------------------------------------------------------------------------- */

static int each(struct staged *s, const char *name, int depth)
{
	int fd = openat(s->next, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), result = 0;
	struct dirent *entry;
	char below[512];
	struct stat st;
	DIR *folder;

	if (fd < 0 && (errno == ELOOP || errno == ENXIO)) /* a symlink, a socket */
		return refuse(s->f, HINT_STAGE, "staged %s: no plain file", name);
	if (fd < 0 || fstat(fd, &st) != 0)
		return cannot(s->f, errno, HINT_STAGE, "staged %s can't be opened", name);
	if (!S_ISDIR(st.st_mode)) {
		if (!S_ISREG(st.st_mode) || ++s->files > FILES_MOST)
			result = refuse(s->f, HINT_STAGE, "staged %s: %s", name,
					S_ISREG(st.st_mode) ? "too many files" : "no plain file");
		else
			result = s->check ? check_file(s, fd, name) : put_file(s, fd, name);
		close(fd);
		return result;
	}
	folder = depth < DEEPEST ? fdopendir(fd) : NULL;
	if (!folder) {
		close(fd);
		return refuse(s->f, HINT_STAGE, "staged %s: too deep", name);
	}
	while (!result && (entry = readdir(folder))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", name, entry->d_name) >=
		    VERITY_CONFIG_PATH_SIZE - 1)
			result = refuse(s->f, HINT_STAGE, "staged %.200s: too long a name", below);
		else
			result = each(s, below, depth + 1);
	}
	closedir(folder);
	return result;
}

static int each_file(struct staged *s, int check, int entries)
{
	s->check = check;
	s->entries = entries;
	s->files = 0;
	return faccessat(s->next, "boot", F_OK, AT_SYMLINK_NOFOLLOW) != 0 ? 0 : each(s, "boot", 0);
}

/* The bundle that counted so far, for the way back; or that there was none. */
static int keep_bundle(struct staged *s)
{
	int result = make_folders(s->root, PREVIOUS), present;
	const char *other = PREVIOUS_NONE;

	if (result)
		return result;
	present = openat(s->root, BUNDLE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (present >= 0) {
		result = replace(present, s->root, PREVIOUS);
		close(present);
	} else if (errno == ENOENT) {
		result = text_put(s->root, PREVIOUS_NONE, "");
		other = PREVIOUS;
	} else {
		result = -errno;
	}
	if (!result && unlinkat(s->root, other, 0) != 0 && errno != ENOENT)
		result = -errno;
	return result ? result : folder_sync(s->root, STATE "/previous");
}

/* 5., and from here on boots are counted. */
static int begin(struct staged *s)
{
	int result = 0;

	if (tries_left(s->root) < 0) {
		result = kept_forget(s->root);
		if (!result)
			result = keep_bundle(s);
		/* What was put into place before was confirmed. */
		if (!result && unlinkat(s->root, BEGUN("applied"), 0) != 0 && errno != ENOENT)
			result = -errno;
	}
	if (!result && unlinkat(s->root, STATE "/refused/why", 0) != 0 && errno != ENOENT)
		result = -errno;
	if (!result)
		result = text_put(s->root, BEGUN("next"), "");
	if (!result)
		result = tries_begin(s->root);
	return result ? cannot(s->f, -result, HINT_LOG, "the way back can't be prepared") : 0;
}

/* The staged bundle takes the place of the one that counted so far. */
static int put_bundle(struct staged *s)
{
	int result = 0;

	if (renameat(s->next, "boot.bundle", s->root, BUNDLE) != 0)
		result = -errno;
	if (!result)
		result = folder_sync(s->root, STATE);
	return result ? cannot(s->f, -result, HINT_LOG, "the boot bundle can't be replaced") : 0;
}

int stage_state(const char *root, struct failure *f)
{
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), result = 0;

	if (fd < 0)
		return cannot(f, errno, "name where the root file system is mounted", "--stage %s",
			      root);
	if (faccessat(fd, STATE "/next", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		/* Without a bundle only the last step of a stage is left to do. */
		result = faccessat(fd, STATE "/next/boot.bundle", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? 2 : 1;
	close(fd);
	return result;
}

int stage_away(int root, const char *from, const char *to)
{
	char source[128], target[128], aside[160];
	int number = 0;

	snprintf(source, sizeof(source), STATE "/%s", from);
	snprintf(target, sizeof(target), STATE "/%s", to);
	if (faccessat(root, source, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
		return -errno;
	do {
		snprintf(aside, sizeof(aside), "%s.%d", target, ++number);
	} while (number < 1000 && faccessat(root, aside, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
	if ((renameat(root, target, root, aside) != 0 && errno != ENOENT) ||
	    renameat(root, source, root, target) != 0)
		return -errno;
	return folder_sync(root, STATE);
}

int stage_move(const char *root, const char *to, struct failure *f)
{
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int result = fd < 0 ? -errno : stage_away(fd, "next", to);

	if (fd >= 0)
		close(fd);
	return result ? cannot(f, -result, HINT_LOG, "the stage can't be moved away") : 0;
}

int stage_apply(const char *root, const struct bytes *bundle, struct failure *f)
{
	struct staged s = { .bundle = bundle, .f = f };
	int result;

	s.root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s.next = s.root < 0 ? -1 : openat(s.root, STATE "/next", O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
					  O_CLOEXEC);
	if (s.next < 0)
		return cannot(f, errno, HINT_STAGE, "the stage can't be opened");
	/* 2. and 3. */
	result = each_file(&s, 1, 0);
	/* 4. */
	if (!result)
		result = each_file(&s, 0, 0);
	if (!result)
		result = begin(&s);
	if (!result)
		result = each_file(&s, 0, 1);
	if (!result)
		result = put_bundle(&s);
	close(s.next);
	close(s.root);
	return result;
}
