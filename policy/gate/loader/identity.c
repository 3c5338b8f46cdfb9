/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The host id, as a token must name it: bytes in, a value out. It is public and not signed.
 *
 * It is read and not computed: it is an HMAC of the machine id (verity/ports/host.py), and there is
 * no libcrypto here.
 */
#include "load.h"

static int digit(uint8_t letter)
{
	if (letter >= '0' && letter <= '9')
		return letter - '0';
	return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

int host_id_parse(const struct bytes *text, uint8_t out[VERITY_HOST_ID_SIZE], struct failure *f)
{
	int any = 0, wrong = text->len != 2 * VERITY_HOST_ID_SIZE + 1 ||
			     text->data[text->len - 1] != '\n';

	for (size_t i = 0; !wrong && i < VERITY_HOST_ID_SIZE; i++) {
		int high = digit(text->data[2 * i]), low = digit(text->data[2 * i + 1]);

		wrong = high < 0 || low < 0;
		out[i] = wrong ? 0 : (uint8_t)(high << 4 | low);
		any |= out[i];
	}
	if (!wrong && any)
		return 0;
	return refuse(f, "verity lockdown init makes it anew",
		      "%s: not a host id, which is 64 lower-case hex digits and a line feed",
		      text->name);
}
