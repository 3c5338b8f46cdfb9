/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash path of libcrypto: one block after another.
 *
 * The low-level SHA functions are deprecated there, but they are what makes a hash of 4 KiB cost a
 * hash and not a look-up of one.
 */
#include "hash_path.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <linux/fsverity.h>

/* SHA256_CTX has 112 bytes and SHA512_CTX 216; both are plain data and may be copied. */
union context {
	uint8_t room[512];
	uint64_t align;
};

struct functions {
	int (*init)(void *);
	int (*update)(void *, const void *, size_t);
	int (*final)(uint8_t *, void *);
};

struct state {
	const struct functions *f;
	const struct verity_hashing *hashing;
	union context salted;
};

static struct functions sha256, sha512;
static int loaded;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ISO C has no conversion from void * to a function: copy the bytes, as POSIX promises works. */
static int find(void *library, const char *name, void *function)
{
	void *symbol = dlsym(library, name);

	memcpy(function, &symbol, sizeof(symbol));
	return symbol != NULL;
}

static void load(void)
{
	void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);

	loaded = library && find(library, "SHA256_Init", &sha256.init) &&
		 find(library, "SHA256_Update", &sha256.update) &&
		 find(library, "SHA256_Final", &sha256.final) &&
		 find(library, "SHA512_Init", &sha512.init) &&
		 find(library, "SHA512_Update", &sha512.update) &&
		 find(library, "SHA512_Final", &sha512.final);
}

static int usable(void)
{
	pthread_once(&once, load);
	return loaded;
}

static void *start(const struct verity_path *path, const struct verity_hashing *hashing)
{
	struct state *state = malloc(sizeof(*state));

	(void)path;
	if (!state)
		return NULL;
	state->hashing = hashing;
	state->f = hashing->hash_alg == FS_VERITY_HASH_ALG_SHA512 ? &sha512 : &sha256;
	if (state->f->init(&state->salted) &&
	    (!hashing->salt_len ||
	     state->f->update(&state->salted, hashing->salt, hashing->salt_len)))
		return state;
	free(state);
	return NULL;
}

static int blocks(void *pointer, const uint8_t *data, size_t count, uint8_t *out)
{
	const struct state *state = pointer;
	const struct verity_hashing *hashing = state->hashing;

	for (; count; count--, data += hashing->block_size, out += hashing->hash_size) {
		union context context = state->salted;

		if (!state->f->update(&context, data, hashing->block_size) ||
		    !state->f->final(out, &context))
			return -EINVAL;
	}
	return 0;
}

static void end(void *state)
{
	free(state);
}

const struct verity_path verity_path_openssl = {
	.name = "openssl", .usable = usable, .start = start, .blocks = blocks, .end = end
};

int verity_plain_start(struct verity_plain *plain)
{
	return usable() && sha256.init(&plain->context) ? 0 : -ENOSYS;
}

int verity_plain_add(struct verity_plain *plain, const uint8_t *data, size_t len)
{
	return sha256.update(&plain->context, data, len) ? 0 : -ENOSYS;
}

int verity_plain_finish(struct verity_plain *plain, uint8_t *out)
{
	return sha256.final(out, &plain->context) ? 0 : -ENOSYS;
}
