/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_WALK_PARTS_H
#define VERITY_WALK_PARTS_H
/* What walk.c, which has the threads and what is still to do, and walk_judge.c share. */
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "found.h"
#include "walk.h"

#define VERITY_LISTED ((size_t)32 << 10) /* bytes of names, read at once */
#define VERITY_CONTENTS ((size_t)256 << 10) /* bytes of a file */

/* A directory that waits to be read. */
struct verity_waiting {
	struct verity_waiting *next;
	dev_t parent_device;
	size_t path_len;
	char path[]; /* absolute, unescaped, without a / at its end: empty for the root */
};

struct verity_walk {
	const struct verity_manifest *manifest;
	int root, deep;
	const char *const *state;
	size_t state_count;
	const uint8_t *granted;
	size_t granted_count;
	uint8_t *states;
	atomic_ullong passed;

	unsigned int threads;
	struct verity_worker *workers;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct verity_waiting *waiting;
	unsigned int busy; /* workers that have a directory, also while they rest between steps */
	int failed;
	atomic_int stopping;
	atomic_llong budget;
	uint8_t *records;
	size_t room, used;
};

/* A thread, and the directory that it reads: resting between steps it keeps its place. */
struct verity_worker {
	struct verity_walk *walk;
	int fd; /* -1: none */
	int in_state; /* below a directory of state */
	int checked; /* the kernel checks what is read in this file system */
	dev_t device;
	struct verity_waiting *directory;
	struct verity_found found;
	size_t prefix; /* of found: the escaped path of the directory */
	size_t list_len, list_at;
	_Alignas(8) uint8_t list[VERITY_LISTED];
	uint8_t contents[VERITY_CONTENTS]; /* read, and looked at by the kernel alone */
};

/* Put a directory among those that wait. 0 or -ENOMEM. */
int verity_walk_push(struct verity_worker *worker, const uint8_t *name, size_t len);

/* Write a record about the directory, or of a name in it. */
void verity_walk_record(struct verity_worker *worker, const uint8_t *name, size_t len,
			uint32_t line, uint8_t what, int error);

/* Open the directory that the worker has, judge it, and leave it open if it is to be read. */
void verity_walk_directory(struct verity_worker *worker);

/* Judge one name of the directory; type is that of the directory's list. 0 or -ENOMEM. */
int verity_walk_name(struct verity_worker *worker, const uint8_t *name, size_t len,
		     unsigned char type);

#endif
