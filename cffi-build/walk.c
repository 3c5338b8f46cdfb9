/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* syscall */
#include "walk_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "digest_parts.h"

#define LONGEST_RECORD (sizeof(struct verity_remark) + VERITY_MAX_PATH + 1 + 256)
#define SLACK (3 * LONGEST_RECORD) /* what a thread may still write before it looks again */

/* As getdents64(2) writes it. */
struct listed {
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	uint8_t name[];
};

static void stop(struct verity_walk *walk)
{
	pthread_mutex_lock(&walk->lock);
	atomic_store(&walk->stopping, 1);
	pthread_cond_broadcast(&walk->changed);
	pthread_mutex_unlock(&walk->lock);
}

static void fail(struct verity_walk *walk, int error)
{
	pthread_mutex_lock(&walk->lock);
	walk->failed = error;
	pthread_mutex_unlock(&walk->lock);
	stop(walk);
}

static int push(struct verity_walk *walk, dev_t device, const char *parent, size_t parent_len,
		const uint8_t *name, size_t len)
{
	size_t path_len = parent_len + (len ? 1 + len : 0);
	struct verity_waiting *new = malloc(sizeof(*new) + path_len + 1);

	if (!new)
		return -ENOMEM;
	memcpy(new->path, parent, parent_len);
	if (len) {
		new->path[parent_len] = '/';
		memcpy(new->path + parent_len + 1, name, len);
	}
	new->path[path_len] = 0;
	new->path_len = path_len;
	new->parent_device = device;
	pthread_mutex_lock(&walk->lock);
	/* Last in, first out: what waits is siblings of few directories, not whole levels. */
	new->next = walk->waiting;
	walk->waiting = new;
	pthread_cond_signal(&walk->changed);
	pthread_mutex_unlock(&walk->lock);
	return 0;
}

int verity_walk_push(struct verity_worker *worker, const uint8_t *name, size_t len)
{
	return push(worker->walk, worker->device, worker->directory->path,
		    worker->directory->path_len, name, len);
}

void verity_walk_record(struct verity_worker *worker, const uint8_t *name, size_t len,
			uint32_t line, uint8_t what, int error)
{
	struct verity_walk *walk = worker->walk;
	const struct verity_waiting *directory = worker->directory;
	size_t path_len = directory->path_len + (len ? 1 + len : !directory->path_len);
	struct verity_remark head = { .line = line, .length = (uint16_t)path_len, .what = what,
				      .error = (uint8_t)error };
	size_t needed = sizeof(head) + (path_len + 3) / 4 * 4;
	uint8_t *out;

	if (line != VERITY_NO_LINE)
		walk->states[line] = what == VERITY_NO_VERITY ? VERITY_BY_HASH :
				     what == VERITY_STAYS || what == VERITY_UNLISTED ?
							       walk->states[line] :
							       VERITY_SEEN;
	pthread_mutex_lock(&walk->lock);
	out = walk->records + walk->used;
	if (needed <= walk->room - walk->used) { /* SLACK keeps that so */
		memcpy(out, &head, sizeof(head));
		out += sizeof(head);
		memcpy(out, directory->path, directory->path_len);
		out += directory->path_len;
		if (len || !directory->path_len)
			*out++ = '/';
		memcpy(out, name, len);
		memset(out + len, 0, (needed - path_len) % 4);
		walk->used += needed;
	} else {
		walk->failed = -ENOBUFS;
	}
	if (walk->room - walk->used < SLACK * walk->threads)
		atomic_store(&walk->stopping, 1);
	if (atomic_load(&walk->stopping))
		pthread_cond_broadcast(&walk->changed);
	pthread_mutex_unlock(&walk->lock);
}

/* Take a directory that waits; 0 if nothing is left, or this step ends. */
static int take(struct verity_worker *worker)
{
	struct verity_walk *walk = worker->walk;

	pthread_mutex_lock(&walk->lock);
	while (!atomic_load(&walk->stopping) && !walk->waiting && walk->busy)
		pthread_cond_wait(&walk->changed, &walk->lock);
	if (!atomic_load(&walk->stopping) && walk->waiting) {
		worker->directory = walk->waiting;
		walk->waiting = worker->directory->next;
		walk->busy++;
	}
	pthread_mutex_unlock(&walk->lock);
	return worker->directory != NULL;
}

static void leave(struct verity_worker *worker)
{
	struct verity_walk *walk = worker->walk;

	if (worker->fd >= 0)
		close(worker->fd);
	worker->fd = -1;
	free(worker->directory);
	worker->directory = NULL;
	pthread_mutex_lock(&walk->lock);
	if (!--walk->busy)
		pthread_cond_broadcast(&walk->changed);
	pthread_mutex_unlock(&walk->lock);
}

/* Read more names of the directory; 0 at its end. */
static int list(struct verity_worker *worker)
{
	long count = syscall(SYS_getdents64, worker->fd, worker->list, sizeof(worker->list));

	if (count < 0 && errno != ENOENT) { /* that says that the directory was removed */
		int error = errno;
		uint32_t line = verity_manifest_find(
			worker->walk->manifest,
			worker->prefix ? worker->found.text : (const uint8_t *)"/",
			worker->prefix ? worker->prefix : 1);

		verity_walk_record(worker, NULL, 0, line, VERITY_UNLISTED, error);
	}
	worker->list_at = 0;
	worker->list_len = count > 0 ? (size_t)count : 0;
	return count > 0;
}

/* The next name of the directory. 0 or -ENOMEM. */
static int next_name(struct verity_worker *worker)
{
	const struct listed *one = (const struct listed *)(worker->list + worker->list_at);
	size_t len = strlen((const char *)one->name);

	worker->list_at += one->length;
	if (one->name[0] == '.' && (len == 1 || (len == 2 && one->name[1] == '.')))
		return 0;
	if (atomic_fetch_sub(&worker->walk->budget, 1) <= 0)
		stop(worker->walk);
	return verity_walk_name(worker, one->name, len, one->type);
}

static void *work(void *argument)
{
	struct verity_worker *worker = argument;
	struct verity_walk *walk = worker->walk;
	int result = 0;

	while (!result && !atomic_load(&walk->stopping)) {
		if (!worker->directory) {
			if (!take(worker))
				break;
			verity_walk_directory(worker);
			worker->list_at = worker->list_len = 0;
			if (worker->fd < 0)
				leave(worker);
		} else if (worker->list_at < worker->list_len) {
			result = next_name(worker);
		} else if (!list(worker)) {
			leave(worker);
		}
	}
	if (result)
		fail(walk, result);
	return NULL;
}

int verity_walk_start(const struct verity_manifest *manifest, int root, const char *state,
		      size_t state_count, const uint8_t *granted, size_t granted_count, int deep,
		      unsigned int threads, uint8_t *states, struct verity_walk **out)
{
	struct verity_walk *walk;
	const char **names;
	unsigned int i;

	if (!manifest || root < 0 || !state || !granted || !threads || !states || !out)
		return -EINVAL;
	walk = calloc(1, sizeof(*walk));
	names = calloc(state_count + 1, sizeof(*names));
	if (walk)
		walk->workers = calloc(threads, sizeof(*walk->workers));
	if (!walk || !names || !walk->workers) {
		free(names);
		if (walk)
			free(walk->workers);
		free(walk);
		return -ENOMEM;
	}
	for (i = 0; i < state_count; i++, state += strlen(state) + 1)
		names[i] = state;
	*walk = (struct verity_walk){ .manifest = manifest, .root = root, .deep = deep,
				      .state = names, .state_count = state_count,
				      .granted = granted, .granted_count = granted_count,
				      .states = states, .threads = threads,
				      .workers = walk->workers };
	pthread_mutex_init(&walk->lock, NULL);
	pthread_cond_init(&walk->changed, NULL);
	for (i = 0; i < threads; i++) {
		walk->workers[i].walk = walk;
		walk->workers[i].fd = -1;
	}
	if (push(walk, 0, "", 0, NULL, 0) != 0) {
		verity_walk_end(walk);
		return -ENOMEM;
	}
	*out = walk;
	return 0;
}

int verity_walk_step(struct verity_walk *walk, uint64_t budget, uint8_t *records, size_t room,
		     size_t *used)
{
	if (!walk || !records || !used || !budget || budget > INT64_MAX ||
	    room < 2 * SLACK * walk->threads)
		return -EINVAL;
	walk->records = records;
	walk->room = room;
	walk->used = 0;
	atomic_store(&walk->budget, (long long)budget);
	atomic_store(&walk->stopping, 0);
	verity_in_threads(walk->threads, work, walk->workers, sizeof(*walk->workers));
	*used = walk->used;
	if (walk->failed)
		return walk->failed;
	return walk->waiting || walk->busy;
}

uint64_t verity_walk_passed(const struct verity_walk *walk)
{
	return atomic_load(&walk->passed);
}

void verity_walk_end(struct verity_walk *walk)
{
	unsigned int i;

	if (!walk)
		return;
	for (i = 0; i < walk->threads; i++) {
		if (walk->workers[i].fd >= 0)
			close(walk->workers[i].fd);
		free(walk->workers[i].directory);
	}
	while (walk->waiting) {
		struct verity_waiting *next = walk->waiting->next;

		free(walk->waiting);
		walk->waiting = next;
	}
	pthread_cond_destroy(&walk->changed);
	pthread_mutex_destroy(&walk->lock);
	free((void *)walk->state);
	free(walk->workers);
	free(walk);
}
