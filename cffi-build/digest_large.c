/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One large file by several threads. Each takes the next piece, reads and hashes it; what it got
 * goes into a ring, from which the tree is fed in the order of the file. Holes are found with
 * SEEK_DATA and go through the ring as a number of blocks.
 */
#define _GNU_SOURCE /* SEEK_DATA */
#include "digest_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "tree.h"

#define SLOTS_PER_THREAD 4
#define SHORTEST_HOLE VERITY_PIECE /* what is shorter is read like contents */

struct slot {
	int full;
	uint64_t zeros; /* blocks; without them: hashes */
	size_t count;
	uint8_t *hashes;
};

struct large {
	const struct verity_task *task;
	int fd;
	uint64_t size;
	off_t position; /* to be restored; -1: the file can't seek */
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t fed_some;
	uint64_t next; /* offset; a multiple of the block size up to the end */
	uint64_t taken, fed; /* pieces */
	uint64_t slots_count;
	struct slot *slots;
	struct verity_tree tree;
	int result;
	int ended; /* the file is shorter than it was said to be */
};

struct worker {
	struct large *large;
	void *state;
	uint8_t *contents;
};

/* The next piece, with the lock held: its length, of which *zeros blocks need no reading. */
static uint64_t take(struct large *large, uint64_t *zeros)
{
	uint64_t block = large->task->hashing.block_size;
	uint64_t left = large->size - large->next;
	off_t data = large->position < 0 ? -1 : lseek(large->fd, (off_t)large->next, SEEK_DATA);
	uint64_t hole = 0;

	if (data >= 0) {
		hole = (uint64_t)data - large->next;
	} else if (large->position >= 0 && errno == ENXIO) {
		/* The same answer for a hole up to the end and for what is behind the end. */
		if (lseek(large->fd, 0, SEEK_END) < (off_t)large->size)
			large->ended = 1;
		hole = left;
	}
	if (hole > left)
		hole = left;
	*zeros = 0;
	if (hole >= SHORTEST_HOLE) {
		/* A block that the hole ends in is contents, unless the file ends there, too. */
		if (hole < left)
			hole -= hole % block;
		*zeros = (hole + block - 1) / block;
		return hole;
	}
	return left < VERITY_PIECE ? left : VERITY_PIECE;
}

/* Read and hash a piece into its slot, without the lock. 0, -errno, or 1 if the file ended. */
static int fill(struct worker *worker, uint64_t at, size_t len, struct slot *slot)
{
	const struct verity_task *task = worker->large->task;
	size_t block = task->hashing.block_size, padded = (len + block - 1) / block * block;
	int64_t count = verity_read_at(worker->large->fd, worker->contents, len, at);

	if (count < 0)
		return (int)count;
	if ((size_t)count < len)
		return 1;
	for (; len < padded; len++)
		worker->contents[len] = 0;
	slot->count = padded / block;
	return task->path->blocks(worker->state, worker->contents, slot->count, slot->hashes);
}

/* Give the tree what is there in order, with the lock held. */
static void feed(struct large *large)
{
	for (;;) {
		struct slot *slot = &large->slots[large->fed % large->slots_count];
		int result;

		if (!slot->full)
			return;
		result = slot->zeros ?
				 verity_tree_zeros(&large->tree, slot->zeros) :
				 verity_tree_hashes(&large->tree, slot->hashes, slot->count);
		if (result && !large->result)
			large->result = result;
		slot->full = 0;
		large->fed++;
		pthread_cond_broadcast(&large->fed_some);
	}
}

static int goes_on(struct large *large)
{
	if (*large->task->stop && !large->result)
		large->result = -ECANCELED;
	return !large->result && !large->ended && large->next < large->size;
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	struct large *large = worker->large;

	pthread_mutex_lock(&large->lock);
	while (goes_on(large)) {
		struct slot *slot = &large->slots[large->taken % large->slots_count];
		uint64_t at = large->next, len;
		int result = 0;

		if (large->taken - large->fed == large->slots_count) {
			pthread_cond_wait(&large->fed_some, &large->lock);
			continue;
		}
		len = take(large, &slot->zeros);
		large->taken++;
		large->next += len;
		if (!slot->zeros) {
			pthread_mutex_unlock(&large->lock);
			result = fill(worker, at, (size_t)len, slot);
			pthread_mutex_lock(&large->lock);
		}
		if (result < 0 && !large->result)
			large->result = result;
		if (result > 0)
			large->ended = 1;
		slot->full = 1;
		feed(large);
	}
	/* Whoever waits for room sees the end now. */
	pthread_cond_broadcast(&large->fed_some);
	pthread_mutex_unlock(&large->lock);
	return NULL;
}

static int prepare(struct large *large, struct worker *workers, unsigned int threads,
		   uint8_t *hashes, size_t hashes_size)
{
	const struct verity_task *task = large->task;
	unsigned int i;

	for (i = 0; i < large->slots_count; i++)
		large->slots[i].hashes = hashes + i * hashes_size;
	for (i = 0; i < threads; i++) {
		workers[i].large = large;
		workers[i].state = task->path->start(task->path, &task->hashing);
		if (!workers[i].state ||
		    posix_memalign((void **)&workers[i].contents, 4096, VERITY_PIECE))
			return -ENOMEM;
	}
	return 0;
}

int verity_large_root(const struct verity_task *task, int fd, uint64_t size,
		      unsigned int threads, uint64_t *read, uint8_t *root)
{
	const struct verity_hashing *hashing = &task->hashing;
	size_t hashes_size = VERITY_PIECE / hashing->block_size * hashing->hash_size;
	uint64_t pieces = size / VERITY_PIECE + 1;
	unsigned int count = threads < pieces ? threads : (unsigned int)pieces, i;
	struct large large = { .task = task,
			       .fd = fd,
			       .size = size,
			       .position = lseek(fd, 0, SEEK_CUR),
			       .lock = PTHREAD_MUTEX_INITIALIZER,
			       .fed_some = PTHREAD_COND_INITIALIZER,
			       .slots_count = (uint64_t)count * SLOTS_PER_THREAD };
	struct worker *workers = calloc(count, sizeof(*workers));
	uint8_t *hashes = malloc(large.slots_count * hashes_size);
	int result = verity_tree_start(&large.tree, task->path, hashing);

	large.slots = calloc(large.slots_count, sizeof(*large.slots));
	if (!result && (!workers || !hashes || !large.slots))
		result = -ENOMEM;
	if (!result)
		result = prepare(&large, workers, count, hashes, hashes_size);
	if (!result) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
		verity_in_threads(count, work, workers, sizeof(*workers));
		result = large.result;
	}
	if (!result && !large.ended)
		result = verity_tree_finish(&large.tree, root);
	if (!result)
		*read = large.ended ? 0 : size;
	if (large.position >= 0)
		lseek(fd, large.position, SEEK_SET);
	for (i = 0; workers && i < count; i++) {
		if (workers[i].state)
			task->path->end(workers[i].state);
		free(workers[i].contents);
	}
	free(workers);
	free(hashes);
	free(large.slots);
	verity_tree_end(&large.tree);
	return result;
}
