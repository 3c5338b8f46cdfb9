/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Very many uploads; prints how often each answer came, "NUMBER COUNT" a line. 3000 is "accepted".
 *
 *     flood noise SEED COUNT    sends COUNT mutations of the fragment on standard input
 *     flood tokens SEED COUNT   hands over COUNT mutations of the token on standard input
 *     flood rivals FILE         sends each fragment of standard input until it is accepted, while
 *                               another thread does the same with those of FILE
 *     flood denied COUNT FILE...
 *                               starts the FILEs in turn, COUNT times in each of two threads, all of
 *                               which must be refused
 */
#define _GNU_SOURCE /* usleep */
#include <pthread.h>

#include "upload.h"

#define ANSWERS 4096

static void print_counts(const uint32_t *counts)
{
	for (int i = 0; i < ANSWERS; i++)
		if (counts[i])
			printf("%d %u\n", i, counts[i]);
}

static uint64_t random_state;

/* xorshift64: the same seed, the same mutations */
static uint32_t roll(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) % below);
}

static void spoil(uint8_t *bytes, uint32_t len, uint32_t times)
{
	while (times--)
		bytes[roll(len)] ^= (uint8_t)(1 + roll(255));
}

/* One of: bytes of the blob, of its header, of a signature; another length; nothing but noise. */
static void mutate(const struct upload *good, struct upload *bad, uint8_t *blob)
{
	uint32_t which = roll(8), i;

	*bad = *good;
	memcpy(blob, good->blob, good->len);
	bad->blob = blob;
	if (which < 3) {
		spoil(blob, good->len, 1 + roll(3));
	} else if (which == 3) {
		spoil(blob + VERITY_KIND_SIZE, sizeof(struct verity_grants_header) - VERITY_KIND_SIZE,
		      1 + roll(3));
	} else if (which < 6) {
		i = roll(good->nsig);
		spoil(bad->sigs[i].der, good->sigs[i].len, 1 + roll(3));
	} else if (which == 6) {
		bad->len = sizeof(struct verity_keys_header) + roll(2 * good->len);
		if (bad->len > good->len)
			memset(blob + good->len, (int)roll(256), bad->len - good->len);
	} else {
		for (i = VERITY_KIND_SIZE; i < good->len; i++)
			blob[i] = (uint8_t)roll(256);
	}
}

static int is_same(const struct upload *a, const struct upload *b)
{
	return a->len == b->len && !memcmp(a->blob, b->blob, a->len) &&
	       !memcmp(a->sigs, b->sigs, sizeof(a->sigs));
}

static void noise(const struct upload *good, uint32_t count)
{
	static uint32_t counts[ANSWERS];
	uint8_t *blob = malloc(3 * (size_t)good->len + 4096);
	struct upload bad;

	if (!blob || !good->nsig)
		trouble("nothing to mutate");
	while (count) {
		mutate(good, &bad, blob);
		if (is_same(good, &bad))
			continue;
		counts[send(&bad) % ANSWERS]++;
		count--;
	}
	print_counts(counts);
}

static void swap_words(uint8_t *bytes, uint32_t words)
{
	uint8_t kept[8], *one = bytes + 8 * roll(words), *other = bytes + 8 * roll(words);

	memcpy(kept, one, 8);
	memcpy(one, other, 8);
	memcpy(other, kept, 8);
}

/* One of: a bit, bytes, two words swapped, a word of another token's; of a signature; cut; a field. */
static void mutate_token(const struct upload *good, struct upload *bad, uint8_t *token)
{
	static const uint32_t fields[] = { 16, 48, 64, 96, 104, 108, 112, 120, 152, 408 };
	uint32_t which = roll(8), i = roll(good->nsig);

	*bad = *good;
	memcpy(token, good->blob, good->len);
	bad->blob = token;
	if (which < 2)
		token[roll(good->len)] ^= (uint8_t)(1 << roll(8));
	else if (which == 2)
		spoil(token, good->len, 1 + roll(4));
	else if (which == 3)
		swap_words(token, good->len / 8);
	else if (which == 4)
		bad->len = roll(2 * good->len);
	else if (which == 5)
		spoil(token + fields[roll(sizeof(fields) / sizeof(*fields))], 1, 1);
	else if (which == 6)
		bad->sigs[i].der[roll(good->sigs[i].len)] ^= (uint8_t)(1 << roll(8));
	else if (roll(2))
		bad->sigs[i].len = roll(2 * good->sigs[i].len);
	else
		bad->nsig = roll(16);
}

static int hand_over(const struct upload *token)
{
	return call(VERITY_COMMAND_UNLOCK,
		    (struct verity_request){ .data = (uintptr_t)token->blob,
					     .len = token->len,
					     .nsig = token->nsig,
					     .sigs = (uintptr_t)token->sigs });
}

static void tokens(const struct upload *good, uint32_t count)
{
	static uint32_t counts[ANSWERS];
	uint8_t *token = calloc(2, good->len);
	struct upload bad;

	if (!token || good->nsig < 2)
		trouble("nothing to mutate");
	while (count) {
		mutate_token(good, &bad, token);
		/* Another signature fewer is what is left; more are zeroes. */
		if (is_same(good, &bad) && bad.nsig >= good->nsig && bad.nsig <= VERITY_OWNERS)
			continue;
		counts[hand_over(&bad) % ANSWERS]++;
		count--;
	}
	print_counts(counts);
}

struct rival {
	struct stream from;
	uint32_t pace; /* in microseconds */
	uint32_t counts[ANSWERS];
};

static void *compete(void *argument)
{
	struct rival *self = argument;
	struct upload *upload = malloc(sizeof(*upload));
	int answer;

	if (!upload)
		trouble("memory");
	while (take(&self->from, upload))
		do {
			answer = send(upload);
			/* Not always at the same pace, or each would end the other's for ever. */
			usleep(self->counts[answer % ANSWERS]++ % self->pace);
		} while (answer == VERITY_REFUSED_BUSY || answer == VERITY_REFUSED_NO_UPLOAD);
	free(upload);
	return NULL;
}

static void rival(const char *path)
{
	static struct rival one = { .pace = 701 }, other = { .pace = 1301 };
	pthread_t thread;

	one.from = read_stream("-");
	other.from = read_stream(path);
	if (pthread_create(&thread, NULL, compete, &other))
		trouble("thread");
	compete(&one);
	pthread_join(thread, NULL);
	for (int i = 0; i < ANSWERS; i++)
		one.counts[i] += other.counts[i];
	print_counts(one.counts);
}

static char **refused;
static uint32_t starts;

/* A start that is refused ends no thread: no second process is needed for the next one. */
static void *start(void *unused)
{
	char *none[] = { NULL };

	for (uint32_t i = 0, at = 0; i < starts; i++) {
		execve(refused[at], none, none);
		if (errno != EPERM)
			trouble(refused[at]);
		at = refused[at + 1] ? at + 1 : 0;
	}
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	struct stream input;
	struct upload good;

	if (argc == 4 && !strcmp(argv[1], "noise")) {
		input = read_stream("-");
		if (!take(&input, &good))
			trouble("no blob");
		random_state = strtoull(argv[2], NULL, 10);
		noise(&good, (uint32_t)strtoul(argv[3], NULL, 10));
	} else if (argc == 4 && !strcmp(argv[1], "tokens")) {
		input = read_stream("-");
		if (!take(&input, &good))
			trouble("no token");
		random_state = strtoull(argv[2], NULL, 10);
		tokens(&good, (uint32_t)strtoul(argv[3], NULL, 10));
	} else if (argc == 3 && !strcmp(argv[1], "rivals")) {
		rival(argv[2]);
	} else if (argc > 3 && !strcmp(argv[1], "denied")) {
		starts = (uint32_t)strtoul(argv[2], NULL, 10);
		refused = argv + 3;
		if (pthread_create(&thread, NULL, start, NULL))
			trouble("thread");
		start(NULL);
		pthread_join(thread, NULL);
	} else {
		errno = EINVAL;
		trouble("arguments");
	}
	return 0;
}
