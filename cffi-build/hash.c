/* SPDX-License-Identifier: Apache-2.0 */
#include "hash.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
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
	size_t size;
};

static struct functions sha256, sha512;
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

	if (!library)
		return;
	if (find(library, "SHA256_Init", &sha256.init) &&
	    find(library, "SHA256_Update", &sha256.update) &&
	    find(library, "SHA256_Final", &sha256.final))
		sha256.size = 32;
	if (find(library, "SHA512_Init", &sha512.init) &&
	    find(library, "SHA512_Update", &sha512.update) &&
	    find(library, "SHA512_Final", &sha512.final))
		sha512.size = 64;
}

int verity_hash_available(void)
{
	pthread_once(&once, load);
	return sha256.size && sha512.size;
}

int verity_hash_blocks(uint32_t hash_alg, const uint8_t *salt, size_t salt_len,
		       const uint8_t *data, size_t len, size_t block_size, uint8_t *out,
		       size_t out_len)
{
	const struct functions *f;
	union context salted, context;
	size_t at;

	if (!verity_hash_available())
		return -ENOSYS;
	if (hash_alg == FS_VERITY_HASH_ALG_SHA256)
		f = &sha256;
	else if (hash_alg == FS_VERITY_HASH_ALG_SHA512)
		f = &sha512;
	else
		return -EINVAL;
	if (!data || !out || !block_size || len % block_size || (salt_len && !salt) ||
	    out_len / f->size != len / block_size || out_len % f->size)
		return -EINVAL;
	if (!f->init(&salted) || (salt_len && !f->update(&salted, salt, salt_len)))
		return -EINVAL;
	for (at = 0; at < len; at += block_size, out += f->size) {
		context = salted;
		if (!f->update(&context, data + at, block_size) || !f->final(out, &context))
			return -EINVAL;
	}
	return 0;
}
