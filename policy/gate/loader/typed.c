/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A token as it is typed (docs/formats.md, "Typed token"): text in, the bytes for the gate out.
 *
 * verity/formats/typed_token.py reads the same and says the same, in the same words;
 * tests/vectors/typed-token.toml holds both. Pure: no system calls. Nothing here judges a token:
 * what the groups hold goes to the gate, which verifies it.
 */
#include "load.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define GROUP 20	 /* characters: number 2, contents 16, check 2 */
#define GROUP_BYTES 10
#define GROUPS 99
#define HEAD 74
#define SIGNATURE 80
#define CRC 4
#define VERSION 1

#define RETYPE "type or paste it again"
#define ASK "ask the signer for the whole token"
#define ONE_VERSION "install one version of both"
#define ANEW "print a challenge here, and have that one signed"

/* The lines around it as fold() leaves them. */
static const char begin_line[] = "BEG1NVER1TYUN10CK";
static const char end_line[] = "ENDVER1TYUN10CK";

struct groups {
	uint8_t data[(GROUPS + 1) * GROUP_BYTES]; /* by number */
	uint8_t have[GROUPS + 1];
};

/* How many lines and groups are wrong, and what the first is. */
struct wrong {
	char first[80];
	unsigned int count;
};

/* Text without what is ignored, in the one form of each character; its length. */
static size_t fold(const char *text, size_t len, char *out)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\n')
			out[n++] = '\n';
		else if (c < 0x80 && isalnum(c))
			out[n++] = strchr("oO", c)    ? '0' :
				   strchr("iIlL", c) ? '1' :
							(char)toupper(c);
	}
	return n;
}

/* What a character stands for in base 32, or -1. */
static int digit(char c)
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* ISO/IEC 7064 MOD 97-10, with A as 10 to Z as 35. */
static int is_group(const char *group)
{
	unsigned int rest = 0;
	int i;

	for (i = 0; i < GROUP; i++) {
		int outside = i < 2 || i >= GROUP - 2;

		if (outside ? !isdigit((unsigned char)group[i]) : digit(group[i]) < 0)
			return 0;
		if (isdigit((unsigned char)group[i]))
			rest = (rest * 10 + (unsigned int)(group[i] - '0')) % 97;
		else
			rest = (rest * 100 + 10 + (unsigned int)(group[i] - 'A')) % 97;
	}
	return rest == 1 && memcmp(group, "00", 2) != 0;
}

static int keep(struct groups *groups, const char *group, struct failure *f)
{
	unsigned int number = (unsigned int)(group[0] - '0') * 10 + (unsigned int)(group[1] - '0');
	uint8_t *at = groups->data + number * GROUP_BYTES, part[GROUP_BYTES];
	uint32_t bits = 0;
	size_t i, n = 0, have = 0;

	for (i = 2; i < GROUP - 2; i++) {
		bits = bits << 5 | (uint32_t)digit(group[i]);
		for (have += 5; have >= 8; have -= 8)
			part[n++] = (uint8_t)(bits >> (have - 8));
	}
	if (groups->have[number] && memcmp(at, part, sizeof(part)) != 0)
		return refuse(f, ASK,
			      "typed token: group %02u is there twice, with different contents",
			      number);
	groups->have[number] = 1;
	memcpy(at, part, sizeof(part));
	return 0;
}

__attribute__((format(printf, 2, 3))) static void note(struct wrong *wrong, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (!wrong->count++)
		vsnprintf(wrong->first, sizeof(wrong->first), format, args);
	va_end(args);
}

static const char *line_end(const char *at, const char *end)
{
	const char *found = memchr(at, '\n', (size_t)(end - at));

	return found ? found : end;
}

/* The line that is exactly these words, or NULL. */
static const char *find_line(const char *at, const char *end, const char *words)
{
	for (;;) {
		const char *stop = line_end(at, end);

		if ((size_t)(stop - at) == strlen(words) && !memcmp(at, words, strlen(words)))
			return at;
		if (stop == end)
			return NULL;
		at = stop + 1;
	}
}

/* Groups of all lines joined, as a mail program may have broken them: 1 if each one is right. */
static int take_joined(const char *at, const char *end, struct groups *out, struct failure *f)
{
	static char joined[TYPED_MAX];
	size_t i, n = 0;
	int result = 0;

	for (; at < end; at++)
		if (*at != '\n')
			joined[n++] = *at;
	if (!n)
		return refuse(f, ASK, "typed token: there is no group in it");
	if (n % GROUP)
		return 0;
	for (i = 0; i < n; i += GROUP)
		if (!is_group(joined + i))
			return 0;
	for (i = 0; i < n && !result; i += GROUP)
		result = keep(out, joined + i, f);
	return result ? result : 1;
}

/* What is wrong with the lines, each by itself. */
static int refuse_lines(const char *at, const char *end, struct failure *f)
{
	struct wrong wrong = { .count = 0 };
	unsigned int line = 0;
	char more[32] = "";

	for (;; at++) {
		const char *stop = line_end(at, end);
		int len = (int)(stop - at);

		line++;
		if (len % GROUP)
			note(&wrong, "line %u (%.*s...) has %d characters", line, len < 2 ? len : 2,
			     at, len);
		for (; !(len % GROUP) && at < stop; at += GROUP)
			if (!is_group(at))
				note(&wrong, "group %.2s: a character is wrong", at);
		if (stop == end)
			break;
		at = stop;
	}
	if (wrong.count > 1)
		snprintf(more, sizeof(more), " (and %u more)", wrong.count - 1);
	return refuse(f, RETYPE, "typed token: %s%s", wrong.first, more);
}

/* The whole is there: its contents without the CRC, and their length. */
static int assemble(struct groups *groups, const uint8_t **body, size_t *len, struct failure *f)
{
	const uint8_t *data = groups->data + GROUP_BYTES;
	unsigned int total, missing = 0, first = 0, last = 0, i;
	uint32_t crc = 0xffffffff;
	size_t at, size;

	if (!groups->have[1]) {
		refuse(f, RETYPE, "typed token: group 01 is missing");
		return -ENODATA;
	}
	if (data[0] != VERSION)
		return refuse(f, ONE_VERSION,
			      "typed token: it is of the version %u, expected %u", data[0], VERSION);
	if (!data[2] || data[2] > VERITY_OWNERS)
		return refuse(f, ASK, "typed token: group 01 says %u signatures, expected 1 to %d",
			      data[2], VERITY_OWNERS);
	size = HEAD + (size_t)data[3] + SIGNATURE * (size_t)data[2] + CRC;
	total = (unsigned int)((size + GROUP_BYTES - 1) / GROUP_BYTES);
	for (i = 1; i <= GROUPS; i++) {
		if (groups->have[i])
			last = i;
		else if (i <= total && !missing++)
			first = i;
	}
	if (missing) {
		char more[32] = "";

		if (missing > 1)
			snprintf(more, sizeof(more), " (and %u more)", missing - 1);
		refuse(f, RETYPE, "typed token: group %02u of %u is missing%s", first, total, more);
		return -ENODATA;
	}
	if (last > total)
		return refuse(f, ASK, "typed token: group %02u does not belong to it: it has %u", last,
			      total);
	/* CRC-32 of ISO-HDLC, as zlib and Ethernet have it. */
	for (at = 0; at < size - CRC; at++)
		for (crc ^= data[at], i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	crc = ~crc;
	for (i = 0; i < CRC; i++)
		if (data[size - CRC + i] != (uint8_t)(crc >> (24 - 8 * i)))
			break;
	for (at = size; at < (size_t)total * GROUP_BYTES && !data[at]; at++)
		;
	if (i < CRC || at < (size_t)total * GROUP_BYTES)
		return refuse(f, ASK, "typed token: every group is right, and together they are none: "
				      "two tokens are mixed");
	*body = data;
	*len = size - CRC;
	return 0;
}

static uint64_t number(const uint8_t *at, int len)
{
	uint64_t value = 0;

	while (len--)
		value = value << 8 | *at++;
	return value;
}

static int check_place(const uint8_t *body, const struct challenge *here, struct failure *f)
{
	const uint8_t *host = here->host_id, *nonce = here->boot_nonce;

	if (memcmp(body + 8, host, 4) != 0)
		return refuse(f, ANEW, "typed token: it is for another host: %08x, and here it is %08x",
			      (uint32_t)number(body + 8, 4), (uint32_t)number(host, 4));
	if (memcmp(body + 4, nonce, 4) != 0)
		return refuse(f, ANEW, "typed token: it is for another boot: %08x, and here it is %08x",
			      (uint32_t)number(body + 4, 4), (uint32_t)number(nonce, 4));
	if (number(body + 12, 4) != (uint32_t)here->policy_serial)
		return refuse(f, ANEW, "typed token: it is for another policy: %u, and here it is %llu",
			      (uint32_t)number(body + 12, 4),
			      (unsigned long long)here->policy_serial);
	if (!body[1] || body[1] > VERITY_UNLOCK_OFF)
		return refuse(f, ONE_VERSION, "typed token: the scope %u is unknown", body[1]);
	return 0;
}

static void fill(const uint8_t *body, const struct challenge *here, struct token *out)
{
	struct verity_unlock_token *token = &out->token;
	uint32_t i;

	memset(out, 0, sizeof(*out));
	memcpy(token->kind, VERITY_KIND_UNLOCK, VERITY_KIND_SIZE);
	memcpy(token->boot_nonce, here->boot_nonce, VERITY_NONCE_SIZE);
	memcpy(token->host_id, here->host_id, VERITY_HOST_ID_SIZE);
	memcpy(token->token_id, body + 16, VERITY_TOKEN_ID_SIZE);
	memcpy(token->reason, body + 42, VERITY_SHA256_SIZE);
	memcpy(token->operand, body + HEAD, body[3]);
	token->policy_serial = here->policy_serial;
	token->scope = body[1];
	token->duration_s = (uint32_t)number(body + 32, 4);
	token->apply_before_s = number(body + 36, 6);
	out->nsig = body[2];
	for (i = 0; i < out->nsig; i++)
		pkcs7(body + HEAD + body[3] + (size_t)SIGNATURE * i, &out->sigs[i]);
}

int typed_check(const char *line, struct failure *f)
{
	char group[TYPED_LINE];
	size_t len = strlen(line), n;

	n = fold(line, len < sizeof(group) ? len : sizeof(group), group);
	if (n && group[n - 1] == '\n')
		n--;
	if (n != GROUP)
		return refuse(f, RETYPE, "%zu characters, expected %d", n, GROUP);
	if (!is_group(group))
		return refuse(f, RETYPE, "group %.2s: a character is wrong", group);
	return 0;
}

int typed_decode(const char *text, size_t len, const struct challenge *here, struct token *out,
		 struct failure *f)
{
	static struct groups groups;
	static char folded[TYPED_MAX];
	const char *at = folded, *end, *found;
	const uint8_t *body;
	size_t size;
	int result;

	memset(&groups, 0, sizeof(groups));
	if (len > TYPED_MAX)
		return refuse(f, "name the file with the token alone",
			      "typed token: more than %d bytes", TYPED_MAX);
	/* 1. What is between the two lines, if they are there. */
	end = folded + fold(text, len, folded);
	found = find_line(at, end, begin_line);
	if (found) {
		/* Behind it comes a line feed, or nothing. */
		at = found + strlen(begin_line);
		at += at < end;
		found = find_line(at, end, end_line);
		if (!found)
			return refuse(f, ASK, "typed token: the line `end verity unlock` is missing: "
					      "a part was cut off");
		end = found;
	}
	/* 2. and 3. Groups, each number once or twice the same. */
	result = take_joined(at, end, &groups, f);
	if (!result)
		return refuse_lines(at, end, f);
	/* 4. and 5. All of them, and the CRC. */
	if (result > 0)
		result = assemble(&groups, &body, &size, f);
	if (!result)
		result = check_place(body, here, f);
	if (!result)
		fill(body, here, out);
	return result;
}
