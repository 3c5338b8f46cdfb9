/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* O_NOFOLLOW, posix_fadvise */
#include "walk_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cached.h"
#include "digest_gather.h"
#include "files.h"
#include "fsverity.h"

#define DIGEST 32
#define OPEN (O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
#define LARGEST ((off_t)64 << 20) /* hashed here: a call can't be interrupted */
#define HASHED_LIKE_A_NAME 16 /* bits: so many bytes take as long as a name does */
#define GONE 0xff /* no state: nothing is there any more */

/* Whether what was found is the line that the manifest has. */
static int as_signed(const struct verity_worker *worker, uint32_t line)
{
	size_t len;
	const uint8_t *text = verity_manifest_line(worker->walk->manifest, line, &len);

	return len == worker->found.len && memcmp(text, worker->found.text, len) == 0;
}

static int is_granted(const struct verity_walk *walk, const uint8_t *digest)
{
	size_t low = 0, high = walk->granted_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = memcmp(walk->granted + DIGEST * middle, digest, DIGEST);

		if (!order)
			return 1;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

/* Reading takes time, too: a step is to end soon. */
static void spend(struct verity_walk *walk, off_t size)
{
	atomic_fetch_sub(&walk->budget, (long long)(size >> HASHED_LIKE_A_NAME));
}

static int hash(struct verity_walk *walk, int fd, const struct stat *st, uint8_t *digest)
{
	if (st->st_size > LARGEST)
		return -1;
	spend(walk, st->st_size);
	return verity_usual_digest(fd, st, digest) == 0 && verity_unchanged(fd, st) ? 0 : -1;
}

/* Whether all of the file can be read. */
static int is_readable(struct verity_worker *worker, int fd, off_t size)
{
	off_t at = 0;
	ssize_t count;

	if (size > LARGEST)
		return 0;
	spend(worker->walk, size);
	while (at < size) {
		count = pread(fd, worker->contents, sizeof(worker->contents), at);
		if (count <= 0)
			return 0;
		at += count;
	}
	return 1;
}

/* Evict the file's pages and read it: what the disk holds. A record's kind, 0 if all is well. */
static int read_back(struct verity_worker *worker, int fd, const struct stat *st,
		     const uint8_t *digest)
{
	uint8_t found[DIGEST];
	int64_t cached;

	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	cached = verity_cached(fd);
	if (cached < 0)
		return VERITY_CLOSER;
	/* What comes from the disk the kernel holds against the digest that it told: to hash it once
	 * more would ask the same. What stays cached isn't read, and may be other contents. */
	if (!cached)
		return is_readable(worker, fd, st->st_size) ? 0 : VERITY_CLOSER;
	if (hash(worker->walk, fd, st, found) != 0 || memcmp(found, digest, DIGEST) != 0)
		return VERITY_CLOSER;
	return VERITY_STAYS;
}

/* The state of a regular file's line, and what to record of it, if anything. */
static uint8_t regular(struct verity_worker *worker, int fd, uint32_t line, int *record)
{
	struct verity_walk *walk = worker->walk;
	uint8_t digest[DIGEST], state;
	uint32_t algorithm;
	struct stat st;
	int measured;

	*record = VERITY_CLOSER;
	if (verity_status(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return VERITY_SEEN;
	measured = worker->checked && st.st_dev == worker->device ?
			   verity_measure_checked(fd, &algorithm, digest, DIGEST) :
			   verity_measure(fd, &algorithm, digest, DIGEST);
	if (measured == DIGEST && algorithm == FS_VERITY_HASH_ALG_SHA256)
		state = is_granted(walk, digest) ? VERITY_GRANTED : VERITY_BY_KERNEL;
	else if ((measured == -ENODATA || measured == -ENOTTY || measured == -EOPNOTSUPP) &&
		 hash(walk, fd, &st, digest) == 0)
		state = VERITY_BY_HASH;
	else
		return VERITY_SEEN;
	verity_found_status(&worker->found, &st, NULL, 0, digest);
	if (verity_found_xattrs(&worker->found, fd, NULL) != 0 || !as_signed(worker, line))
		return VERITY_SEEN;
	*record = state == VERITY_BY_HASH ? VERITY_NO_VERITY :
		  walk->deep		   ? read_back(worker, fd, &st, digest) :
					     0;
	return *record == VERITY_CLOSER ? VERITY_SEEN : state;
}

/* The same for what is neither a regular file nor a directory, and is never opened. */
static uint8_t other(struct verity_worker *worker, const char *name, uint32_t line)
{
	char path[64 + 256];
	uint8_t target[VERITY_MAX_PATH + 1];
	ssize_t len = 0;
	struct stat st;

	if (fstatat(worker->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? GONE : VERITY_SEEN;
	if (S_ISLNK(st.st_mode))
		len = readlinkat(worker->fd, name, (char *)target, sizeof(target));
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || len < 0 ||
	    len == (ssize_t)sizeof(target))
		return VERITY_SEEN;
	/* There is no descriptor for a symlink's or a device's xattrs. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", worker->fd, name);
	verity_found_status(&worker->found, &st, S_ISLNK(st.st_mode) ? target : NULL, (size_t)len,
			    NULL);
	return verity_found_xattrs(&worker->found, -1, path) == 0 && as_signed(worker, line) ?
		       VERITY_AS_SIGNED :
		       VERITY_SEEN;
}

static void leaf(struct verity_worker *worker, const uint8_t *name, size_t len,
		 unsigned char type, uint32_t line)
{
	const char *text = (const char *)name;
	int record = 0, fd = -1;
	uint8_t state;

	if (type == DT_REG) {
		fd = openat(worker->fd, text, OPEN);
		if (fd < 0)
			state = errno == ENOENT ? GONE : VERITY_SEEN;
		else
			state = regular(worker, fd, line, &record);
		if (fd >= 0)
			close(fd);
	} else {
		state = other(worker, text, line);
	}
	if (state == GONE) /* its line stays unseen: it is missing */
		return;
	worker->walk->states[line] = state;
	if (state == VERITY_SEEN)
		record = VERITY_CLOSER;
	if (record)
		verity_walk_record(worker, name, len, line, (uint8_t)record, 0);
}

int verity_walk_name(struct verity_worker *worker, const uint8_t *name, size_t len,
		     unsigned char type)
{
	struct verity_found *found = &worker->found;
	struct stat st;
	uint32_t line;

	verity_found_start(found);
	found->len = worker->prefix;
	verity_found_bytes(found, "/", 1);
	verity_found_escaped(found, name, len);
	line = found->failed ? VERITY_NO_LINE :
			       verity_manifest_find(worker->walk->manifest, found->text,
						    found->len);
	if (line == VERITY_NO_LINE && worker->in_state) {
		atomic_fetch_add(&worker->walk->passed, 1);
		return 0;
	}
	if (type == DT_UNKNOWN) { /* a file system that doesn't tell */
		if (fstatat(worker->fd, (const char *)name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			type = IFTODT(st.st_mode);
		else if (errno == ENOENT)
			return 0;
	}
	if (type == DT_DIR) {
		if (worker->directory->path_len + 1 + len <= VERITY_MAX_PATH)
			return verity_walk_push(worker, name, len);
		verity_walk_record(worker, name, len, line, VERITY_UNOPENED, ENAMETOOLONG);
	} else if (line == VERITY_NO_LINE) {
		verity_walk_record(worker, name, len, line, VERITY_CLOSER, 0);
	} else {
		leaf(worker, name, len, type, line);
	}
	return 0;
}

/* Whether a path is a directory of state or below one. */
static int is_state(const struct verity_walk *walk, const struct verity_waiting *directory)
{
	size_t i;

	for (i = 0; i < walk->state_count; i++) {
		size_t len = strlen(walk->state[i]);

		if (directory->path_len >= len &&
		    memcmp(directory->path, walk->state[i], len) == 0 &&
		    (directory->path_len == len || directory->path[len] == '/'))
			return 1;
	}
	return 0;
}

/* Whether this is another file system than what it lies in, which holds nothing that is signed. */
static int is_foreign(struct verity_worker *worker, uint32_t line)
{
	const struct verity_walk *walk = worker->walk;

	if (!worker->directory->path_len ||
	    worker->device == worker->directory->parent_device ||
	    (line != VERITY_NO_LINE && verity_manifest_has_children(walk->manifest, line)))
		return 0;
	if (!worker->in_state)
		verity_walk_record(worker, NULL, 0, line, VERITY_MOUNT, 0);
	else if (line != VERITY_NO_LINE)
		walk->states[line] = VERITY_PASSED;
	return 1;
}

/* Judge the open directory itself; 0 if it is not to be read. */
static int enter(struct verity_worker *worker, uint32_t line)
{
	struct verity_found *found = &worker->found;
	struct stat st;

	if (verity_status(worker->fd, &st) != 0) {
		verity_walk_record(worker, NULL, 0, line, VERITY_UNOPENED, errno);
		return 0;
	}
	if (!S_ISDIR(st.st_mode)) {
		verity_walk_record(worker, NULL, 0, line, VERITY_CLOSER, 0);
		return 0;
	}
	worker->device = st.st_dev;
	worker->checked = verity_is_checked(worker->fd);
	if (is_foreign(worker, line))
		return 0;
	verity_found_status(found, &st, NULL, 0, NULL);
	if (line != VERITY_NO_LINE && verity_found_xattrs(found, worker->fd, NULL) == 0 &&
	    as_signed(worker, line))
		worker->walk->states[line] = VERITY_AS_SIGNED;
	else
		verity_walk_record(worker, NULL, 0, line, VERITY_CLOSER, 0);
	return 1;
}

void verity_walk_directory(struct verity_worker *worker)
{
	const struct verity_waiting *directory = worker->directory;
	struct verity_found *found = &worker->found;
	uint32_t line;

	verity_found_start(found);
	verity_found_escaped(found, (const uint8_t *)directory->path, directory->path_len);
	worker->prefix = found->len;
	if (!directory->path_len)
		verity_found_bytes(found, "/", 1);
	line = found->failed ? VERITY_NO_LINE :
			       verity_manifest_find(worker->walk->manifest, found->text,
						    found->len);
	worker->in_state = is_state(worker->walk, directory);
	worker->fd = verity_open_below(worker->walk->root,
				       directory->path_len ? directory->path + 1 : ".");
	if (worker->fd < 0) {
		if (worker->fd != -ENOENT)
			verity_walk_record(worker, NULL, 0, line, VERITY_UNOPENED, -worker->fd);
		worker->fd = -1;
	} else if (!enter(worker, line)) {
		close(worker->fd);
		worker->fd = -1;
	}
}
