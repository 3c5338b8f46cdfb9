/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* pread */
#include "digest.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "digest_parts.h"

int verity_task_start(struct verity_task *task, uint32_t hash_alg, const uint8_t *salt,
		      size_t salt_len, size_t block_size, const int *stop)
{
	memset(task, 0, sizeof(*task));
	if (salt_len > VERITY_RAW_SALT || (salt_len && !salt) || !stop)
		return -EINVAL;
	if (salt_len)
		memcpy(task->padded, salt, salt_len);
	task->raw_salt_len = (uint8_t)salt_len;
	task->hashing.hash_alg = hash_alg;
	task->hashing.hash_size = verity_hash_size(hash_alg);
	task->hashing.block_size = block_size;
	task->hashing.salt = task->padded;
	/* The hash function's own block is twice its hash. */
	task->hashing.salt_len = salt_len ? 2 * task->hashing.hash_size : 0;
	task->stop = stop;
	if (!verity_hashing_valid(&task->hashing))
		return -EINVAL;
	task->path = verity_path_for(hash_alg);
	return task->path ? 0 : -ENOSYS;
}

void verity_descriptor(const struct verity_task *task, uint64_t size, const uint8_t *root,
		       struct fsverity_descriptor *out)
{
	memset(out, 0, sizeof(*out));
	out->version = 1;
	out->hash_algorithm = (uint8_t)task->hashing.hash_alg;
	out->log_blocksize = (uint8_t)__builtin_ctzl(task->hashing.block_size);
	out->salt_size = task->raw_salt_len;
	out->data_size = htole64(size);
	memcpy(out->root_hash, root, task->hashing.hash_size);
	memcpy(out->salt, task->padded, sizeof(out->salt));
}

struct verity_hashing verity_descriptor_hashing(const struct verity_task *task)
{
	struct verity_hashing hashing = task->hashing;

	hashing.block_size = sizeof(struct fsverity_descriptor);
	hashing.salt_len = 0;
	return hashing;
}

int64_t verity_read_at(int fd, uint8_t *out, size_t len, uint64_t at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t count = pread(fd, out + done, len - done, (off_t)(at + done));

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (!count)
			break;
		done += (size_t)count;
	}
	return (int64_t)done;
}

#define MOST_THREADS 256

void verity_in_threads(unsigned int count, void *(*body)(void *), void *arguments, size_t size)
{
	pthread_t threads[MOST_THREADS];
	unsigned int started = 0;
	sigset_t all, before;

	/* Signals are for the threads that the caller knows. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (started + 1 < count && started < MOST_THREADS &&
	       pthread_create(&threads[started], NULL, body,
			      (uint8_t *)arguments + (started + 1) * size) == 0)
		started++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	body(arguments);
	while (started)
		pthread_join(threads[--started], NULL);
}

int verity_digest_fd(int fd, uint32_t hash_alg, const uint8_t *salt, size_t salt_len,
		     size_t block_size, uint64_t size, unsigned int threads, const int *stop,
		     uint64_t *read, uint8_t *digest)
{
	struct fsverity_descriptor descriptor;
	struct verity_task task;
	struct verity_hashing hashing;
	uint8_t root[VERITY_MAX_HASH];
	void *state;
	int result = verity_task_start(&task, hash_alg, salt, salt_len, block_size, stop);

	if (!result && (!read || !digest || !threads))
		result = -EINVAL;
	if (!result)
		result = verity_large_root(&task, fd, size, threads, read, root);
	if (result)
		return result;
	verity_descriptor(&task, size, root, &descriptor);
	hashing = verity_descriptor_hashing(&task);
	state = task.path->start(task.path, &hashing);
	if (!state)
		return -ENOMEM;
	result = task.path->blocks(state, (const uint8_t *)&descriptor, 1, digest);
	task.path->end(state);
	return result;
}
