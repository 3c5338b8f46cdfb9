/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded by gate_shim.py: says what the calls into the gate were given, reading them with
 * policy/gate/verity.h, in the file SHIM_LOG, and answers with the numbers in SHIM_ANSWERS, one a
 * call, then accepts.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "verity.h"

static const char *answers;

static FILE *out;

static void show(uint64_t at, uint32_t n)
{
	const uint8_t *bytes = (const uint8_t *)(uintptr_t)at;

	for (uint32_t i = 0; i < n && i < 4; i++)
		fprintf(out, "%02x", bytes[i]);
}

static long gate(long command, const struct verity_request *r, long size)
{
	const struct verity_signature *sig = (const void *)(uintptr_t)r->sigs;
	char *end;

	out = fopen(getenv("SHIM_LOG"), "a");
	if (!out)
		abort();
	fprintf(out, "%ld size %ld %u version %u len %u nsig %u data ",
		command - VERITY_COMMAND_BASE, size, r->size, r->version, r->len, r->nsig);
	show(r->data, r->data ? r->len : 0);
	for (uint32_t i = 0; sig && i < r->nsig; i++) {
		uint32_t dirty = 0;

		for (uint32_t j = sig[i].len; j < VERITY_DER_SIZE; j++)
			dirty |= sig[i].der[j];
		fprintf(out, " sig %u ", sig[i].len);
		show((uintptr_t)sig[i].der, sig[i].len);
		fprintf(out, "%s", dirty ? " dirty" : "");
	}
	fprintf(out, "\n");
	fclose(out);
	errno = VERITY_ACCEPTED;
	if (!answers)
		answers = getenv("SHIM_ANSWERS");
	if (answers && *answers) {
		errno = (int)strtol(answers, &end, 10);
		answers = *end ? end + 1 : end;
	}
	return errno ? -1 : 0;
}

long syscall(long number, ...)
{
	long (*real)(long, long, long, long, long, long, long);
	long a[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_bpf && a[0] >= VERITY_COMMAND_BASE && a[0] < VERITY_COMMAND(16))
		return gate(a[0], (const void *)a[1], a[2]);
	*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
