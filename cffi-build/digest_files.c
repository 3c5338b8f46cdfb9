/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many files by several threads. Each takes the next file. Small ones are gathered, because the
 * lanes of a hash path are filled by the blocks of several files; then each level of all their
 * trees is hashed at once. Large ones are left for all threads together, one after the other.
 */
#define _GNU_SOURCE /* O_NOFOLLOW, syscall */
#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "digest_parts.h"
#include "tree.h"

#define GATHERED 256 /* files, whose descriptors fit into a piece, too */
#define SMALL (VERITY_PIECE / 4) /* up to this size files are gathered */
#define LARGE (8 * VERITY_PIECE) /* from this size on several threads are worth it */
#define SLACK 64		 /* the last small file is read up to a byte beyond its end */

struct run {
	const struct verity_task *task;
	struct verity_hashing descriptors;
	size_t count;
	const char **names;
	atomic_size_t next;
	atomic_int failed;
	uint8_t *digests, *done;
};

struct gathered {
	size_t index;
	uint64_t size;
	size_t first, blocks; /* on the level that is next; no blocks: the root is known */
	uint8_t root[VERITY_MAX_HASH];
};

struct worker {
	struct run *run;
	void *state, *descriptors;
	uint8_t *contents, *hashes;
	size_t fill; /* whole blocks in contents */
	size_t count;
	struct gathered files[GATHERED];
};

enum { LATER = 2 }; /* in done, between the two rounds */

/*
 * glibc's fstat is newfstatat with an empty path, which costs twice the system call below: that
 * counts for small files. Only where the kernel's struct is known to be glibc's.
 */
static int status(int fd, struct stat *st)
{
#if defined(__x86_64__) && defined(__LP64__)
	return (int)syscall(SYS_fstat, fd, st);
#else
	return fstat(fd, st);
#endif
}

static int open_regular(const char *name, struct stat *st)
{
	int fd = open(name, O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (status(fd, st) == 0 && S_ISREG(st->st_mode))
		return fd;
	close(fd);
	return -1;
}

/* ctime, too: it can't be set back, and tells of a file that another one was renamed over. */
static int unchanged(int fd, const struct stat *before)
{
	struct stat after;

	return status(fd, &after) == 0 && after.st_size == before->st_size &&
	       after.st_mtim.tv_sec == before->st_mtim.tv_sec &&
	       after.st_mtim.tv_nsec == before->st_mtim.tv_nsec &&
	       after.st_ctim.tv_sec == before->st_ctim.tv_sec &&
	       after.st_ctim.tv_nsec == before->st_ctim.tv_nsec;
}

/* Pad what is behind the whole blocks of contents, and count it among them. */
static size_t pad(struct worker *worker, size_t len)
{
	size_t block = worker->run->task->hashing.block_size;
	size_t padded = (len + block - 1) / block * block;

	memset(worker->contents + worker->fill + len, 0, padded - len);
	worker->fill += padded;
	return padded / block;
}

/* Finish the trees and digests of the files that were gathered. 0 or -errno. */
static int finish(struct worker *worker)
{
	const struct verity_task *task = worker->run->task;
	size_t hash = task->hashing.hash_size, block = task->hashing.block_size, i;
	int result = 0;

	while (worker->fill && !result) {
		result = task->path->blocks(worker->state, worker->contents,
					       worker->fill / block, worker->hashes);
		worker->fill = 0;
		for (i = 0; i < worker->count; i++) {
			struct gathered *file = &worker->files[i];
			const uint8_t *hashes = worker->hashes + file->first * hash;
			size_t len = file->blocks * hash;

			if (file->blocks == 1)
				memcpy(file->root, hashes, hash);
			if (file->blocks <= 1) {
				file->blocks = 0;
				continue;
			}
			file->first = worker->fill / block;
			memcpy(worker->contents + worker->fill, hashes, len);
			file->blocks = pad(worker, len);
		}
	}
	for (i = 0; i < worker->count && !result; i++)
		verity_descriptor(task, worker->files[i].size, worker->files[i].root,
				  (struct fsverity_descriptor *)(worker->contents) + i);
	if (worker->count && !result)
		result = task->path->blocks(worker->descriptors, worker->contents,
					       worker->count, worker->hashes);
	for (i = 0; i < worker->count && !result; i++) {
		memcpy(worker->run->digests + worker->files[i].index * hash,
		       worker->hashes + i * hash, hash);
		worker->run->done[worker->files[i].index] = 1;
	}
	worker->count = 0;
	return result;
}

/* A file that fits: 1 if it was read whole. */
static int gather(struct worker *worker, size_t index, int fd, const struct stat *st)
{
	struct gathered *file = &worker->files[worker->count];
	size_t size = (size_t)st->st_size;
	/* A byte more than there should be: a file whose size is a lie has it. */
	ssize_t found = pread(fd, worker->contents + worker->fill, size + 1, 0);

	/* What was interrupted or came in parts wants a closer look like anything that is unusual. */
	if (found != (ssize_t)size || !unchanged(fd, st))
		return 0;
	file->index = index;
	file->size = size;
	file->first = worker->fill / worker->run->task->hashing.block_size;
	memset(file->root, 0, sizeof(file->root));
	file->blocks = pad(worker, size);
	worker->count++;
	return 1;
}

/* A root that was not gathered becomes a digest with the next that are. */
static int keep_root(struct worker *worker, size_t index, uint64_t size, const uint8_t *root)
{
	struct gathered *file = &worker->files[worker->count++];

	memset(file, 0, sizeof(*file));
	file->index = index;
	file->size = size;
	memcpy(file->root, root, worker->run->task->hashing.hash_size);
	return worker->count == GATHERED ? finish(worker) : 0;
}

/* A file of several pieces. 1 if it was read whole, 0 or -errno. */
static int read_tree(struct worker *worker, int fd, const struct stat *st, uint8_t *root)
{
	const struct verity_task *task = worker->run->task;
	uint64_t size = (uint64_t)st->st_size, at = 0;
	struct verity_tree tree;
	int64_t count = 0;
	int result = verity_tree_start(&tree, task->path, &task->hashing);

	while (!result && at < size && !*task->stop) {
		size_t len = size - at < VERITY_PIECE ? (size_t)(size - at) : VERITY_PIECE;

		count = verity_read_at(fd, worker->contents, len, at);
		if (count != (int64_t)len)
			break;
		result = verity_tree_contents(&tree, worker->contents, len);
		at += len;
	}
	if (!result && at == size)
		result = verity_tree_finish(&tree, root);
	verity_tree_end(&tree);
	return result ? result : at == size && unchanged(fd, st);
}

static int one(struct worker *worker, size_t index)
{
	size_t block = worker->run->task->hashing.block_size;
	uint8_t root[VERITY_MAX_HASH];
	struct stat st;
	int fd = open_regular(worker->run->names[index], &st), result = 0;

	if (fd < 0)
		return 0;
	if (st.st_size >= LARGE) {
		worker->run->done[index] = LATER;
	} else if (st.st_size <= SMALL) {
		if (worker->fill + (size_t)st.st_size + block > VERITY_PIECE)
			result = finish(worker);
		if (!result && gather(worker, index, fd, &st) && worker->count == GATHERED)
			result = finish(worker);
	} else {
		result = finish(worker);
		if (!result)
			result = read_tree(worker, fd, &st, root);
		if (result > 0)
			result = keep_root(worker, index, (uint64_t)st.st_size, root);
	}
	close(fd);
	return result;
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	struct run *run = worker->run;
	int result = 0;

	while (!result && !atomic_load(&run->failed)) {
		size_t index = atomic_fetch_add(&run->next, 1);

		if (index >= run->count)
			break;
		result = *run->task->stop ? -ECANCELED : one(worker, index);
	}
	if (!result)
		result = finish(worker);
	if (result)
		atomic_store(&run->failed, result);
	return NULL;
}

static int prepare(struct worker *worker, struct run *run)
{
	const struct verity_task *task = run->task;
	size_t hash = task->hashing.hash_size;
	/* As many as the smallest blocks, or the descriptors, give. */
	size_t hashes = VERITY_PIECE / task->hashing.block_size;

	if (hashes < GATHERED)
		hashes = GATHERED;
	worker->run = run;
	worker->state = task->path->start(task->path, &task->hashing);
	worker->descriptors = task->path->start(task->path, &run->descriptors);
	worker->hashes = malloc(hashes * hash);
	if (posix_memalign((void **)&worker->contents, 4096, VERITY_PIECE + SLACK))
		worker->contents = NULL;
	return worker->state && worker->descriptors && worker->hashes && worker->contents ?
		       0 :
		       -ENOMEM;
}

/* The second round: files that all threads share. */
static int large_files(struct run *run, struct worker *worker, unsigned int threads)
{
	uint8_t root[VERITY_MAX_HASH];
	int result = 0;
	size_t i;

	for (i = 0; i < run->count && !result; i++) {
		uint64_t read = 0;
		struct stat st;
		int fd;

		if (run->done[i] != LATER)
			continue;
		run->done[i] = 0;
		fd = open_regular(run->names[i], &st);
		if (fd < 0)
			continue;
		result = verity_large_root(run->task, fd, (uint64_t)st.st_size, threads, &read,
					   root);
		if (!result && read == (uint64_t)st.st_size && unchanged(fd, &st))
			result = keep_root(worker, i, read, root);
		else if (result != -ECANCELED && result != -ENOMEM)
			result = 0; /* this file's own: a closer look names it */
		close(fd);
	}
	return result ? result : finish(worker);
}

static int run_all(struct run *run, unsigned int threads)
{
	struct worker *workers = calloc(threads, sizeof(*workers));
	unsigned int i;
	int result = workers ? 0 : -ENOMEM;

	for (i = 0; i < threads && !result; i++)
		result = prepare(&workers[i], run);
	if (!result) {
		verity_in_threads(threads, work, workers, sizeof(*workers));
		result = atomic_load(&run->failed);
	}
	if (!result)
		result = large_files(run, &workers[0], threads);
	for (i = 0; workers && i < threads; i++) {
		if (workers[i].state)
			run->task->path->end(workers[i].state);
		if (workers[i].descriptors)
			run->task->path->end(workers[i].descriptors);
		free(workers[i].contents);
		free(workers[i].hashes);
	}
	free(workers);
	return result;
}

int verity_digest_files(size_t count, const char *names, uint32_t hash_alg, const uint8_t *salt,
			size_t salt_len, size_t block_size, unsigned int threads,
			const int *stop, uint8_t *digests, uint8_t *done)
{
	struct verity_task task;
	struct run run = { .task = &task, .count = count, .digests = digests, .done = done };
	int result = verity_task_start(&task, hash_alg, salt, salt_len, block_size, stop);
	size_t i;

	if (!result && (!names || !digests || !done || !threads))
		result = -EINVAL;
	if (result || !count)
		return result;
	run.descriptors = verity_descriptor_hashing(&task);
	run.names = calloc(count, sizeof(*run.names));
	if (!run.names)
		return -ENOMEM;
	for (i = 0; i < count; i++, names += strlen(names) + 1)
		run.names[i] = names;
	memset(done, 0, count);
	result = run_all(&run, count < threads ? (unsigned int)count : threads);
	free(run.names);
	return result;
}
