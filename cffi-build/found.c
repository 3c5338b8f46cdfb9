/* SPDX-License-Identifier: Apache-2.0 */
#include "found.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#define DIGEST 32
#define NAMES 4096 /* of xattrs, in one list */
#define USUAL 32 /* xattrs of one file */

static const char hex[] = "0123456789abcdef";

void verity_found_start(struct verity_found *found)
{
	found->len = 0;
	found->failed = 0;
}

void verity_found_bytes(struct verity_found *found, const void *data, size_t len)
{
	if (found->failed || len > VERITY_MAX_LINE - found->len) {
		found->failed = 1;
		return;
	}
	memcpy(found->text + found->len, data, len);
	found->len += len;
}

static void escape(struct verity_found *found, const uint8_t *data, size_t len, uint8_t also)
{
	size_t i;

	for (i = 0; i < len; i++) {
		const char escaped[4] = { '\\', 'x', hex[data[i] >> 4], hex[data[i] & 15] };

		if (found->len + sizeof(escaped) > VERITY_MAX_LINE) {
			found->failed = 1;
			return;
		}
		if (verity_is_plain(data[i]) && !(also && data[i] == also))
			found->text[found->len++] = data[i];
		else
			verity_found_bytes(found, escaped, sizeof(escaped));
	}
}

void verity_found_escaped(struct verity_found *found, const uint8_t *data, size_t len)
{
	escape(found, data, len, 0);
}

static void number(struct verity_found *found, uint64_t value, unsigned int base)
{
	uint8_t digits[24];
	size_t at = sizeof(digits);

	digits[--at] = ' ';
	do {
		digits[--at] = (uint8_t)('0' + value % base);
		value /= base;
	} while (value);
	verity_found_bytes(found, digits + at, sizeof(digits) - at);
}

void verity_found_status(struct verity_found *found, const struct stat *st, const uint8_t *target,
			 size_t target_len, const uint8_t *digest)
{
	int device = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
	uint8_t text[2 * DIGEST];
	size_t i;

	verity_found_bytes(found, " ", 1);
	number(found, S_ISREG(st->st_mode) ? (uint64_t)st->st_size : target_len, 10);
	number(found, st->st_mode, 8);
	verity_found_bytes(found, "1 ", 2);
	number(found, st->st_uid, 10);
	number(found, st->st_gid, 10);
	number(found, device ? st->st_rdev : 0, 10);
	verity_found_bytes(found, "0.0 ", 4);
	if (!target)
		verity_found_bytes(found, "-", 1);
	else if (target_len == 1 && target[0] == '-')
		verity_found_bytes(found, "\\x2d", 4);
	else
		verity_found_escaped(found, target, target_len);
	verity_found_bytes(found, " - ", 3);
	if (!digest) {
		verity_found_bytes(found, "-", 1);
		return;
	}
	for (i = 0; i < DIGEST; i++) {
		text[2 * i] = (uint8_t)hex[digest[i] >> 4];
		text[2 * i + 1] = (uint8_t)hex[digest[i] & 15];
	}
	verity_found_bytes(found, text, sizeof(text));
}

/* The names that stand in a manifest, in order; how many, or -1 if there are more than usual. */
static int pick(char *list, size_t len, char **names)
{
	int count = 0, i;
	char *name;

	for (name = list; name < list + len; name += strlen(name) + 1) {
		if (!verity_counts_for_security((const uint8_t *)name, strlen(name)))
			continue;
		if (count == USUAL)
			return -1;
		for (i = count++; i && strcmp(names[i - 1], name) > 0; i--)
			names[i] = names[i - 1];
		names[i] = name;
	}
	return count;
}

int verity_found_xattrs(struct verity_found *found, int fd, const char *path)
{
	char list[NAMES + 1], *names[USUAL];
	ssize_t len = fd < 0 ? llistxattr(path, list, NAMES) : flistxattr(fd, list, NAMES);
	uint8_t value[VERITY_MAX_LINE];
	int count, i;

	if (len < 0)
		return -1;
	list[len] = 0; /* the kernel's list ends in one already */
	count = pick(list, (size_t)len, names);
	if (count < 0)
		return -1;
	for (i = 0; i < count; i++) {
		ssize_t size = fd < 0 ? lgetxattr(path, names[i], value, sizeof(value)) :
					fgetxattr(fd, names[i], value, sizeof(value));

		if (size < 0)
			return -1;
		verity_found_bytes(found, " ", 1);
		escape(found, (const uint8_t *)names[i], strlen(names[i]), '=');
		verity_found_bytes(found, "=", 1);
		escape(found, value, (size_t)size, 0);
	}
	if (found->failed)
		return -1;
	found->text[found->len++] = '\n';
	return 0;
}
