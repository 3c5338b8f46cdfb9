/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What verity-unlock reads: the gate's status, as a challenge, and a token's file. Pure.
 */
#include "load.h"

#include <string.h>

#define HINT_FILE "the file is what `verity unlock sign` wrote; a challenge is no token"

int hex_parse(const char *text, uint8_t *out, size_t len)
{
	size_t i;

	for (i = 0; text && i < 2 * len; i++) {
		int value = text[i] >= '0' && text[i] <= '9' ? text[i] - '0' :
			    text[i] >= 'a' && text[i] <= 'f' ? text[i] - 'a' + 10 :
							       -1;

		if (value < 0)
			return 0;
		out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | value : value << 4);
	}
	return text && (text[i] == '\n' || !text[i]);
}

int challenge_parse(const char *text, struct challenge *out, struct failure *f)
{
	static const uint8_t none[VERITY_HOST_ID_SIZE];

	if (!hex_parse(value_of(text, "boot_nonce"), out->boot_nonce, VERITY_NONCE_SIZE) ||
	    !hex_parse(value_of(text, "host_id"), out->host_id, VERITY_HOST_ID_SIZE) ||
	    !number_of(text, "policy_serial", &out->policy_serial) ||
	    !number_of(text, "boot_clock_s", &out->boot_clock_s))
		return refuse(f, "install loader, gate and this program together, and reboot",
			      "the gate's status has no boot_nonce, host_id, policy_serial and "
			      "boot_clock_s: a gate of another version");
	if (!memcmp(out->host_id, none, sizeof(none)))
		return refuse(f, "`verity lockdown init` writes /etc/verity/host-id; then reboot",
			      "the gate has no host id, and takes no token in this boot");
	return 0;
}

int token_parse(const struct bytes *file, struct token *out, struct failure *f)
{
	struct verity_record head;
	size_t at = 0;

	memset(out, 0, sizeof(*out));
	while (at < file->len) {
		const uint8_t *body = file->data + at + sizeof(head);

		if (file->len - at < sizeof(head))
			return refuse(f, HINT_FILE, "%s: cut off, or no token", file->name);
		memcpy(&head, file->data + at, sizeof(head));
		if (head.len > file->len - at - sizeof(head))
			return refuse(f, HINT_FILE, "%s: cut off, or no token", file->name);
		if (!at && head.kind == VERITY_RECORD_UNLOCK && head.len == sizeof(out->token))
			memcpy(&out->token, body, head.len);
		else if (at && head.kind == VERITY_RECORD_SIGNATURE && out->nsig < VERITY_OWNERS &&
			 head.len && head.len <= VERITY_DER_SIZE) {
			out->sigs[out->nsig].len = head.len;
			memcpy(out->sigs[out->nsig++].der, body, head.len);
		} else
			return refuse(f, HINT_FILE, "%s: no token, or more than one", file->name);
		at += sizeof(head) + head.len;
	}
	if (!out->nsig)
		return refuse(f, HINT_FILE, "%s: a token without a signature", file->name);
	return 0;
}
