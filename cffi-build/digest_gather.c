/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* syscall */
#include "digest_gather.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLACK 64 /* the last small file is read up to a byte beyond its end */

/*
 * glibc's fstat is newfstatat with an empty path, which costs twice the system call below: that
 * counts for small files. Only where the kernel's struct is known to be glibc's.
 */
int verity_status(int fd, struct stat *st)
{
#if defined(__x86_64__) && defined(__LP64__)
	return (int)syscall(SYS_fstat, fd, st);
#else
	return fstat(fd, st);
#endif
}

/* ctime, too: it can't be set back, and tells of a file that another one was renamed over. */
int verity_unchanged(int fd, const struct stat *before)
{
	struct stat after;

	return verity_status(fd, &after) == 0 && after.st_size == before->st_size &&
	       after.st_mtim.tv_sec == before->st_mtim.tv_sec &&
	       after.st_mtim.tv_nsec == before->st_mtim.tv_nsec &&
	       after.st_ctim.tv_sec == before->st_ctim.tv_sec &&
	       after.st_ctim.tv_nsec == before->st_ctim.tv_nsec;
}

int verity_gather_start(struct verity_gather *gather, const struct verity_task *task,
			uint8_t *digests, uint8_t *done)
{
	size_t hashes = VERITY_PIECE / task->hashing.block_size;

	/* As many as the smallest blocks, or the descriptors, give. */
	if (hashes < VERITY_GATHERED)
		hashes = VERITY_GATHERED;
	gather->task = task;
	gather->digests = digests;
	gather->done = done;
	gather->descriptor_hashing = verity_descriptor_hashing(task);
	gather->state = task->path->start(task->path, &task->hashing);
	gather->descriptors = task->path->start(task->path, &gather->descriptor_hashing);
	gather->hashes = malloc(hashes * task->hashing.hash_size);
	if (posix_memalign((void **)&gather->contents, 4096, VERITY_PIECE + SLACK))
		gather->contents = NULL;
	return gather->state && gather->descriptors && gather->hashes && gather->contents ?
		       0 :
		       -ENOMEM;
}

void verity_gather_end(struct verity_gather *gather)
{
	if (gather->state)
		gather->task->path->end(gather->state);
	if (gather->descriptors)
		gather->task->path->end(gather->descriptors);
	free(gather->contents);
	free(gather->hashes);
}

/* Pad what is behind the whole blocks of contents, and count it among them. */
static size_t pad(struct verity_gather *gather, size_t len)
{
	size_t block = gather->task->hashing.block_size;
	size_t padded = (len + block - 1) / block * block;

	memset(gather->contents + gather->fill + len, 0, padded - len);
	gather->fill += padded;
	return padded / block;
}

int verity_gather_finish(struct verity_gather *gather)
{
	const struct verity_task *task = gather->task;
	size_t hash = task->hashing.hash_size, block = task->hashing.block_size, i;
	int result = 0;

	while (gather->fill && !result) {
		result = task->path->blocks(gather->state, gather->contents,
					    gather->fill / block, gather->hashes);
		gather->fill = 0;
		for (i = 0; i < gather->count; i++) {
			struct verity_gathered *file = &gather->files[i];
			const uint8_t *hashes = gather->hashes + file->first * hash;
			size_t len = file->blocks * hash;

			if (file->blocks == 1)
				memcpy(file->root, hashes, hash);
			if (file->blocks <= 1) {
				file->blocks = 0;
				continue;
			}
			file->first = gather->fill / block;
			memcpy(gather->contents + gather->fill, hashes, len);
			file->blocks = pad(gather, len);
		}
	}
	for (i = 0; i < gather->count && !result; i++)
		verity_descriptor(task, gather->files[i].size, gather->files[i].root,
				  (struct fsverity_descriptor *)(gather->contents) + i);
	if (gather->count && !result)
		result = task->path->blocks(gather->descriptors, gather->contents,
					    gather->count, gather->hashes);
	for (i = 0; i < gather->count && !result; i++) {
		memcpy(gather->digests + gather->files[i].index * hash,
		       gather->hashes + i * hash, hash);
		gather->done[gather->files[i].index] = 1;
	}
	gather->count = 0;
	return result;
}

int verity_gather_read(struct verity_gather *gather, size_t index, int fd,
		       const struct stat *st)
{
	struct verity_gathered *file = &gather->files[gather->count];
	size_t size = (size_t)st->st_size;
	/* A byte more than there should be: a file whose size is a lie has it. */
	ssize_t found = pread(fd, gather->contents + gather->fill, size + 1, 0);

	/* What was interrupted or came in parts wants a closer look like anything that is unusual. */
	if (found != (ssize_t)size || !verity_unchanged(fd, st))
		return 0;
	file->index = index;
	file->size = size;
	file->first = gather->fill / gather->task->hashing.block_size;
	memset(file->root, 0, sizeof(file->root));
	file->blocks = pad(gather, size);
	gather->count++;
	return gather->count == VERITY_GATHERED ? verity_gather_finish(gather) : 0;
}

void verity_gather_drop(struct verity_gather *gather)
{
	gather->count--;
	gather->fill = gather->files[gather->count].first * gather->task->hashing.block_size;
}

int verity_gather_root(struct verity_gather *gather, size_t index, uint64_t size,
		       const uint8_t *root)
{
	struct verity_gathered *file = &gather->files[gather->count++];

	memset(file, 0, sizeof(*file));
	file->index = index;
	file->size = size;
	memcpy(file->root, root, gather->task->hashing.hash_size);
	return gather->count == VERITY_GATHERED ? verity_gather_finish(gather) : 0;
}
