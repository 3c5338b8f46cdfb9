/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash paths of libipsec-mb: several blocks at a time, one in each lane of a vector register,
 * or two through the SHA instructions.
 *
 * Its structures differ from version to version, so what is found at run time has to be of the
 * version whose header this was built with, and has to agree with known hashes, before it counts.
 */
#include "hash_path.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <intel-ipsec-mb.h>
#include <linux/fsverity.h>

enum { AVX512, AVX2, SSE };

#define MAJOR_MINOR(version) ((version) >> 8)
#if MAJOR_MINOR(IMB_VERSION_NUM) >> 8 == 1
#define LIBRARY "libIPSec_MB.so.1"
#elif MAJOR_MINOR(IMB_VERSION_NUM) >> 8 == 2
#define LIBRARY "libIPSec_MB.so.2"
#else
#error "another version of intel-ipsec-mb.h"
#endif

/* Salted blocks are copied behind their salt, so many at once: the widest path has 16 lanes. */
#define MOST_COPIES 128
#define COPIES_SIZE (17 << 15)

/* The library takes messages of up to 65496 bytes; for 65536 its SHA-512 is wrong, without a word. */
#define LONGEST ((1 << 15) + VERITY_MAX_PADDED_SALT)

/* A manager costs up to a millisecond to make: those not in use are kept, as many as threads. */
struct lanes {
	struct lanes *next;
	const struct verity_path *path;
	const struct verity_hashing *hashing;
	IMB_MGR *manager;
	uint8_t *copies;
	size_t room;  /* in copies */
	void *single; /* libcrypto's state, for what the lanes are not good at */
};

static struct {
	unsigned int (*version)(void);
	IMB_MGR *(*make)(uint64_t);
	void (*drop)(IMB_MGR *);
	void (*init[VERITY_LANE_PATHS])(IMB_MGR *);
} library;

static int usable_lanes[VERITY_LANE_PATHS];
static int sha_instructions;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lanes *unused[VERITY_LANE_PATHS];

static int find(void *handle, const char *name, void *function)
{
	void *symbol = dlsym(handle, name);

	memcpy(function, &symbol, sizeof(symbol));
	return symbol != NULL;
}

static int blocks_of(IMB_MGR *manager, uint32_t hash_alg, size_t hash_size, const uint8_t *data,
		     size_t size, size_t count, uint8_t *out)
{
	size_t submitted, finished = 0;
	IMB_JOB *job;

	for (submitted = 0; submitted < count; submitted++) {
		job = IMB_GET_NEXT_JOB(manager);
		memset(job, 0, sizeof(*job));
		job->cipher_mode = IMB_CIPHER_NULL;
		job->cipher_direction = IMB_DIR_ENCRYPT;
		job->chain_order = IMB_ORDER_HASH_CIPHER;
		job->hash_alg = hash_alg == FS_VERITY_HASH_ALG_SHA512 ? IMB_AUTH_SHA_512 :
									IMB_AUTH_SHA_256;
		job->src = data + submitted * size;
		job->msg_len_to_hash_in_bytes = size;
		job->auth_tag_output = out + submitted * hash_size;
		job->auth_tag_output_len_in_bytes = hash_size;
		for (job = IMB_SUBMIT_JOB_NOCHECK(manager); job; job = IMB_GET_COMPLETED_JOB(manager))
			finished += job->status == IMB_STATUS_COMPLETED;
	}
	while ((job = IMB_FLUSH_JOB(manager)))
		finished += job->status == IMB_STATUS_COMPLETED;
	return finished == count ? 0 : -EIO;
}

/* SHA-256 and SHA-512 of "abc" (FIPS 180-2), in more lanes than there are, and after them. */
static int agrees(IMB_MGR *manager)
{
	static const uint8_t sha256[] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea };
	static const uint8_t sha512[] = { 0xdd, 0xaf, 0x35, 0xa1, 0x93, 0x61, 0x7a, 0xba };
	uint8_t text[3 * 17], out[VERITY_MAX_HASH * 17];
	size_t i;

	for (i = 0; i < 17; i++)
		memcpy(text + 3 * i, "abc", 3);
	if (blocks_of(manager, FS_VERITY_HASH_ALG_SHA256, 32, text, 3, 17, out) != 0)
		return 0;
	for (i = 0; i < 17; i++)
		if (memcmp(out + 32 * i, sha256, sizeof(sha256)) != 0)
			return 0;
	if (blocks_of(manager, FS_VERITY_HASH_ALG_SHA512, 64, text, 3, 17, out) != 0)
		return 0;
	for (i = 0; i < 17; i++)
		if (memcmp(out + 64 * i, sha512, sizeof(sha512)) != 0)
			return 0;
	return 1;
}

static void load(void)
{
	static const uint64_t wants[VERITY_LANE_PATHS] = { IMB_CPUFLAGS_AVX512, IMB_CPUFLAGS_AVX2,
							   IMB_CPUFLAGS_SSE };
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	int i;

	if (!handle || !verity_path_openssl.usable() || !find(handle, "imb_get_version", &library.version) ||
	    MAJOR_MINOR(library.version()) != MAJOR_MINOR(IMB_VERSION_NUM) ||
	    !find(handle, "alloc_mb_mgr", &library.make) ||
	    !find(handle, "free_mb_mgr", &library.drop) ||
	    !find(handle, "init_mb_mgr_avx512", &library.init[AVX512]) ||
	    !find(handle, "init_mb_mgr_avx2", &library.init[AVX2]) ||
	    !find(handle, "init_mb_mgr_sse", &library.init[SSE]))
		return;
	for (i = 0; i < VERITY_LANE_PATHS; i++) {
		IMB_MGR *manager = library.make(0);

		if (!manager)
			return;
		if ((manager->features & wants[i]) == wants[i]) {
			library.init[i](manager);
			usable_lanes[i] = agrees(manager);
			sha_instructions = (manager->features & IMB_FEATURE_SHANI) != 0;
		}
		library.drop(manager);
	}
}

static int usable(int which)
{
	pthread_once(&once, load);
	return usable_lanes[which];
}

static struct lanes *make(const struct verity_path *path)
{
	struct lanes *lanes = calloc(1, sizeof(*lanes));

	if (!lanes)
		return NULL;
	lanes->path = path;
	lanes->manager = library.make(0);
	if (!lanes->manager) {
		free(lanes);
		return NULL;
	}
	library.init[path->lanes](lanes->manager);
	return lanes;
}

static void end(void *state)
{
	struct lanes *lanes = state;

	if (lanes->single)
		verity_path_openssl.end(lanes->single);
	lanes->single = NULL;
	free(lanes->copies);
	lanes->copies = NULL;
	lanes->room = 0;
	pthread_mutex_lock(&lock);
	lanes->next = unused[lanes->path->lanes];
	unused[lanes->path->lanes] = lanes;
	pthread_mutex_unlock(&lock);
}

static void *start(const struct verity_path *path, const struct verity_hashing *hashing)
{
	size_t size = hashing->salt_len + hashing->block_size;
	struct lanes *lanes;

	pthread_mutex_lock(&lock);
	lanes = unused[path->lanes];
	if (lanes)
		unused[path->lanes] = lanes->next;
	pthread_mutex_unlock(&lock);
	if (!lanes)
		lanes = make(path);
	if (!lanes)
		return NULL;
	lanes->hashing = hashing;
	lanes->single = verity_path_openssl.start(&verity_path_openssl, hashing);
	if (hashing->salt_len && size <= LONGEST) {
		lanes->room = COPIES_SIZE / size < MOST_COPIES ? COPIES_SIZE / size : MOST_COPIES;
		lanes->copies = malloc(lanes->room * size);
	}
	if (lanes->single && (!lanes->room || lanes->copies))
		return lanes;
	end(lanes);
	return NULL;
}

/*
 * With a few blocks most lanes are empty, and one block after another is quicker. Where the
 * library uses the SHA instructions it has no lanes to fill.
 */
static size_t few(const struct lanes *lanes)
{
	return lanes->path->lanes == AVX512 ? 6 : sha_instructions ? 2 : 4;
}

static int blocks(void *state, const uint8_t *data, size_t count, uint8_t *out)
{
	struct lanes *lanes = state;
	const struct verity_hashing *hashing = lanes->hashing;
	size_t salt_len = hashing->salt_len, block_size = hashing->block_size;

	if (count < few(lanes) || salt_len + block_size > LONGEST)
		return verity_path_openssl.blocks(lanes->single, data, count, out);
	if (!salt_len)
		return blocks_of(lanes->manager, hashing->hash_alg, hashing->hash_size, data,
				 block_size, count, out);
	while (count) {
		size_t some = count < lanes->room ? count : lanes->room, i;
		uint8_t *at = lanes->copies;
		int result;

		for (i = 0; i < some; i++, at += salt_len + block_size, data += block_size) {
			memcpy(at, hashing->salt, salt_len);
			memcpy(at + salt_len, data, block_size);
		}
		result = blocks_of(lanes->manager, hashing->hash_alg, hashing->hash_size,
				   lanes->copies, salt_len + block_size, some, out);
		if (result)
			return result;
		out += some * hashing->hash_size;
		count -= some;
	}
	return 0;
}

int verity_lanes_are_faster(const struct verity_path *path, uint32_t hash_alg)
{
	if (path->lanes != SSE)
		return 1;
	/* Without the SHA instructions four lanes of SSE are no better than libcrypto's AVX. */
	return hash_alg == FS_VERITY_HASH_ALG_SHA256 && sha_instructions;
}

static int usable_avx512(void)
{
	return usable(AVX512);
}

static int usable_avx2(void)
{
	return usable(AVX2);
}

static int usable_sse(void)
{
	return usable(SSE);
}

const struct verity_path verity_path_lanes[VERITY_LANE_PATHS] = {
	{ "avx512", usable_avx512, start, blocks, end, AVX512 },
	{ "avx2", usable_avx2, start, blocks, end, AVX2 },
	{ "sse", usable_sse, start, blocks, end, SSE },
};
