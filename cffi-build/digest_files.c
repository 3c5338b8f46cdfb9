/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many files by several threads. Each takes the next file. Small ones are gathered; large ones are
 * left for all threads together, one after the other.
 */
#define _GNU_SOURCE /* O_NOFOLLOW */
#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "digest_gather.h"
#include "digest_parts.h"
#include "tree.h"

#define SMALL (VERITY_PIECE / 4) /* up to this size files are gathered */
#define LARGE (8 * VERITY_PIECE) /* from this size on several threads are worth it */

struct run {
	const struct verity_task *task;
	size_t count;
	const char **names;
	atomic_size_t next;
	atomic_int failed;
	uint8_t *digests, *done;
};

struct worker {
	struct run *run;
	struct verity_gather gather;
};

enum { LATER = 2 }; /* in done, between the two rounds */

static int open_regular(const char *name, struct stat *st)
{
	int fd = open(name, O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (verity_status(fd, st) == 0 && S_ISREG(st->st_mode))
		return fd;
	close(fd);
	return -1;
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

		count = verity_read_at(fd, worker->gather.contents, len, at);
		if (count != (int64_t)len)
			break;
		result = verity_tree_contents(&tree, worker->gather.contents, len);
		at += len;
	}
	if (!result && at == size)
		result = verity_tree_finish(&tree, root);
	verity_tree_end(&tree);
	return result ? result : at == size && verity_unchanged(fd, st);
}

static int one(struct worker *worker, size_t index)
{
	size_t block = worker->run->task->hashing.block_size;
	struct verity_gather *gather = &worker->gather;
	uint8_t root[VERITY_MAX_HASH];
	struct stat st;
	int fd = open_regular(worker->run->names[index], &st), result = 0;

	if (fd < 0)
		return 0;
	if (st.st_size >= LARGE) {
		worker->run->done[index] = LATER;
	} else if (st.st_size <= SMALL) {
		if (gather->fill + (size_t)st.st_size + block > VERITY_PIECE)
			result = verity_gather_finish(gather);
		if (!result)
			result = verity_gather_read(gather, index, fd, &st);
	} else {
		result = verity_gather_finish(gather);
		if (!result)
			result = read_tree(worker, fd, &st, root);
		if (result > 0)
			result = verity_gather_root(gather, index, (uint64_t)st.st_size, root);
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
		result = verity_gather_finish(&worker->gather);
	if (result)
		atomic_store(&run->failed, result);
	return NULL;
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
		if (!result && read == (uint64_t)st.st_size && verity_unchanged(fd, &st))
			result = verity_gather_root(&worker->gather, i, read, root);
		else if (result != -ECANCELED && result != -ENOMEM)
			result = 0; /* this file's own: a closer look names it */
		close(fd);
	}
	return result ? result : verity_gather_finish(&worker->gather);
}

static int start(struct worker *worker, struct run *run)
{
	worker->run = run;
	return verity_gather_start(&worker->gather, run->task, run->digests, run->done);
}

static int run_all(struct run *run, unsigned int threads)
{
	/* No more than files; but one file that is large takes all threads. */
	unsigned int some = run->count < threads ? (unsigned int)run->count : threads;
	struct worker *workers = calloc(some, sizeof(*workers));
	unsigned int i;
	int result = workers ? 0 : -ENOMEM;

	for (i = 0; i < some && !result; i++)
		result = start(&workers[i], run);
	if (!result) {
		verity_in_threads(some, work, workers, sizeof(*workers));
		result = atomic_load(&run->failed);
	}
	if (!result)
		result = large_files(run, &workers[0], threads);
	for (i = 0; workers && i < some; i++)
		if (workers[i].run)
			verity_gather_end(&workers[i].gather);
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
	run.names = calloc(count, sizeof(*run.names));
	if (!run.names)
		return -ENOMEM;
	for (i = 0; i < count; i++, names += strlen(names) + 1)
		run.names[i] = names;
	memset(done, 0, count);
	result = run_all(&run, threads);
	free(run.names);
	return result;
}
