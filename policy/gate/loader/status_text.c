/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Values out of the text that the gate publishes of itself (docs/formats.md section 14). Pure. */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *value_of(const char *text, const char *key)
{
	size_t len = strlen(key);
	const char *at = text;

	while (at) {
		if (!strncmp(at, key, len) && at[len] == ' ')
			return at + len + 1;
		at = strchr(at, '\n');
		if (at)
			at++;
	}
	return NULL;
}

int number_of(const char *text, const char *key, uint64_t *out)
{
	const char *value = value_of(text, key);
	char *end;

	if (!value || *value < '0' || *value > '9')
		return 0;
	errno = 0;
	*out = strtoull(value, &end, 10);
	return !errno && (*end == '\n' || *end == ' ');
}
