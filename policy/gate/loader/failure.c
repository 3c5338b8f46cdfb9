/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What went wrong, as a value: load.c prints it. */
#include "load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int refuse(struct failure *f, const char *hint, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(f->message, sizeof(f->message), format, args);
	va_end(args);
	snprintf(f->hint, sizeof(f->hint), "%s", hint);
	f->status = STATUS_REFUSED;
	return -EBADMSG;
}

int cannot(struct failure *f, int error, const char *hint, const char *format, ...)
{
	va_list args;
	size_t len;

	va_start(args, format);
	vsnprintf(f->message, sizeof(f->message), format, args);
	va_end(args);
	len = strlen(f->message);
	if (error)
		snprintf(f->message + len, sizeof(f->message) - len, ": %s", strerror(error));
	snprintf(f->hint, sizeof(f->hint), "%s", hint);
	f->status = STATUS_HOST;
	return error ? -error : -ENOTSUP;
}
