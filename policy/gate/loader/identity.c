/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who a token must name: this host, and this boot of it. Both are public; neither is signed.
 *
 * The host id is read and not computed: it is an HMAC of the machine id (verity/ports/host.py), and
 * there is no libcrypto here. A host without one has a gate all the same, and no token opens it.
 */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static int digit(uint8_t letter)
{
	if (letter >= '0' && letter <= '9')
		return letter - '0';
	return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* 64 lower-case hex digits and a line feed, not all of them 0. */
static int parse(const struct bytes *text, uint8_t out[VERITY_HOST_ID_SIZE])
{
	int any = 0;

	if (text->len != 2 * VERITY_HOST_ID_SIZE + 1 || text->data[text->len - 1] != '\n')
		return 0;
	for (size_t i = 0; i < VERITY_HOST_ID_SIZE; i++) {
		int high = digit(text->data[2 * i]), low = digit(text->data[2 * i + 1]);

		if (high < 0 || low < 0)
			return 0;
		out[i] = (uint8_t)(high << 4 | low);
		any |= out[i];
	}
	return any;
}

int host_id_read(const char *path, uint8_t out[VERITY_HOST_ID_SIZE], struct failure *f)
{
	struct bytes text;
	int result = 0;

	memset(out, 0, VERITY_HOST_ID_SIZE);
	if (!path)
		return 0;
	if (access(path, F_OK) != 0 && errno == ENOENT)
		return 1;
	result = read_file(path, 4096, &text, f);
	if (!result && !parse(&text, out))
		result = refuse(f, "verity lockdown init makes it anew",
				"%s: not a host id, which is 64 lower-case hex digits and a line feed",
				path);
	free(text.data);
	return result;
}

int boot_nonce_draw(uint8_t out[VERITY_NONCE_SIZE], struct failure *f)
{
	ssize_t len;

	/* At most 256 bytes come whole, unless a signal comes first: all that could are blocked. */
	do {
		len = getrandom(out, VERITY_NONCE_SIZE, 0);
	} while (len < 0 && errno == EINTR);
	return len == VERITY_NONCE_SIZE
		       ? 0
		       : cannot(f, len < 0 ? errno : EIO, HINT_LOG, "a boot nonce can't be drawn");
}
