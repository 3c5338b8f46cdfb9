/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE /* S_ISSOCK */
#include "manifest_line.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#define MAX_NAME 255
#define MAX_XATTR_NAME 255
#define DIGEST_HEX 64

struct cursor {
	const uint8_t *at, *end;
};

/* The bytes up to the next space or the end, which are then passed by; 0 if there are none. */
static int field(struct cursor *cursor, const uint8_t **start, size_t *len)
{
	const uint8_t *space;

	if (cursor->at > cursor->end)
		return 0;
	space = memchr(cursor->at, ' ', (size_t)(cursor->end - cursor->at));
	*start = cursor->at;
	*len = (size_t)((space ? space : cursor->end) - cursor->at);
	cursor->at += *len + 1; /* one behind the end after the last */
	return *len > 0;
}

static int fixed(struct cursor *cursor, const char *value)
{
	const uint8_t *start;
	size_t len;

	return field(cursor, &start, &len) && len == strlen(value) &&
	       memcmp(start, value, len) == 0;
}

static int number(struct cursor *cursor, uint64_t most, uint64_t *out)
{
	const uint8_t *start;
	uint64_t value = 0;
	size_t len, i;

	if (!field(cursor, &start, &len) || (len > 1 && start[0] == '0'))
		return 0;
	for (i = 0; i < len; i++) {
		unsigned int digit = (unsigned int)start[i] - '0';

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return 0;
		value = value * 10 + digit;
	}
	*out = value;
	return value <= most;
}

static int hex(uint8_t byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Unescape at most room bytes, where also is escaped as well as what is never plain; -1 if that is
 * another spelling than the canonical one, or longer. */
static ssize_t unescape(const uint8_t *text, size_t len, uint8_t also, uint8_t *out, size_t room)
{
	size_t at = 0, count = 0;

	while (at < len) {
		uint8_t byte = text[at];

		if (byte == '\\') {
			int high, low;

			if (len - at < 4 || text[at + 1] != 'x')
				return -1;
			high = hex(text[at + 2]);
			low = hex(text[at + 3]);
			if (high < 0 || low < 0)
				return -1;
			byte = (uint8_t)(high << 4 | low);
			if (verity_is_plain(byte) && !(also && byte == also))
				return -1;
			at += 4;
		} else if (!verity_is_plain(byte) || (also && byte == also)) {
			return -1;
		} else {
			at++;
		}
		if (count == room)
			return -1;
		out[count++] = byte;
	}
	return (ssize_t)count;
}

/* A path: absolute, and every component a name. */
static int path(struct cursor *cursor, const uint8_t *text, struct verity_line *out)
{
	const uint8_t *start, *at, *end;
	size_t len;
	ssize_t found;

	if (!field(cursor, &start, &len))
		return 0;
	found = unescape(start, len, 0, out->path, VERITY_MAX_PATH);
	if (found < 1 || out->path[0] != '/' || memchr(out->path, 0, (size_t)found))
		return 0;
	out->path_len = (size_t)found;
	out->escaped_len = (size_t)(start + len - text);
	if (found == 1)
		return 1;
	end = out->path + found;
	for (at = out->path; at < end;) {
		const uint8_t *name = at + 1;
		size_t name_len;

		at = memchr(name, '/', (size_t)(end - name));
		if (!at)
			at = end;
		name_len = (size_t)(at - name);
		if (!name_len || name_len > MAX_NAME || (name_len == 1 && name[0] == '.') ||
		    (name_len == 2 && name[0] == '.' && name[1] == '.'))
			return 0;
	}
	return 1;
}

static int mode(struct cursor *cursor, uint32_t *out)
{
	const uint8_t *start;
	size_t len, i;

	if (!field(cursor, &start, &len) || len > 7 || start[0] == '0')
		return 0;
	*out = 0;
	for (i = 0; i < len; i++) {
		if (start[i] < '0' || start[i] > '7')
			return 0;
		*out = *out << 3 | (uint32_t)(start[i] - '0');
	}
	return *out <= 0177777 &&
	       (S_ISREG(*out) || S_ISDIR(*out) || S_ISLNK(*out) || S_ISCHR(*out) ||
		S_ISBLK(*out) || S_ISFIFO(*out) || S_ISSOCK(*out));
}

static int payload(struct cursor *cursor, uint32_t mode, uint64_t size)
{
	uint8_t target[VERITY_MAX_PATH];
	const uint8_t *start;
	size_t len;
	ssize_t found;

	if (!S_ISLNK(mode))
		return (!size || S_ISREG(mode)) && fixed(cursor, "-");
	if (!field(cursor, &start, &len) || (len == 1 && start[0] == '-'))
		return 0;
	/* The target "-" is the one in which that byte is escaped. */
	if (len == 4 && memcmp(start, "\\x2d", 4) == 0)
		return size == 1;
	found = unescape(start, len, 0, target, sizeof(target));
	return found > 0 && (uint64_t)found == size && !memchr(target, 0, (size_t)found);
}

static int digest(struct cursor *cursor, uint32_t mode)
{
	const uint8_t *start;
	size_t len, i;

	if (!S_ISREG(mode))
		return fixed(cursor, "-");
	if (!field(cursor, &start, &len) || len != DIGEST_HEX)
		return 0;
	for (i = 0; i < len; i++)
		if (hex(start[i]) < 0)
			return 0;
	return 1;
}

int verity_counts_for_security(const uint8_t *name, size_t len)
{
	static const char *const known[] = { "security.capability", "security.selinux",
					     "system.posix_acl_access",
					     "system.posix_acl_default" };
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (len == strlen(known[i]) && memcmp(name, known[i], len) == 0)
			return 1;
	return len >= 5 && memcmp(name, "user.", 5) == 0 &&
	       !(len == 15 && memcmp(name, "user.ostreemeta", 15) == 0);
}

static int xattrs(struct cursor *cursor)
{
	uint8_t names[2][MAX_XATTR_NAME], value[VERITY_MAX_LINE];
	ssize_t lens[2] = { -1, -1 };
	unsigned int which = 0;

	while (cursor->at <= cursor->end) {
		const uint8_t *start, *equal;
		size_t len, shorter;
		ssize_t *now = &lens[which], *before = &lens[!which];
		int order;

		if (!field(cursor, &start, &len))
			return 0;
		equal = memchr(start, '=', len);
		if (!equal)
			return 0;
		*now = unescape(start, (size_t)(equal - start), '=', names[which],
				MAX_XATTR_NAME);
		if (*now < 0 || !verity_counts_for_security(names[which], (size_t)*now) ||
		    *now == 5 /* "user." alone */ || memchr(names[which], 0, (size_t)*now) ||
		    unescape(equal + 1, len - (size_t)(equal + 1 - start), 0, value,
			     sizeof(value)) < 0)
			return 0;
		shorter = (size_t)(*now < *before ? *now : *before);
		order = *before < 0 ? 1 : memcmp(names[which], names[!which], shorter);
		if (order < 0 || (order == 0 && *now <= *before))
			return 0;
		which = !which;
	}
	return 1;
}

int verity_line_read(const uint8_t *text, size_t len, struct verity_line *out)
{
	struct cursor cursor = { text, text + len };
	uint64_t size, id, rdev;
	uint32_t kind;

	if (len > VERITY_MAX_LINE || !path(&cursor, text, out) ||
	    !number(&cursor, INT64_MAX, &size) || !mode(&cursor, &kind) || !fixed(&cursor, "1") ||
	    !number(&cursor, UINT32_MAX, &id) || !number(&cursor, UINT32_MAX, &id) ||
	    !number(&cursor, UINT64_MAX, &rdev) || (rdev && !S_ISCHR(kind) && !S_ISBLK(kind)) ||
	    !fixed(&cursor, "0.0") || !payload(&cursor, kind, size) || !fixed(&cursor, "-") ||
	    !digest(&cursor, kind) || !xattrs(&cursor))
		return 0;
	out->directory = S_ISDIR(kind);
	return 1;
}
