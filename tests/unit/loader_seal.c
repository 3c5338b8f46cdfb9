/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the loader's seal with a gate, a host and a kernel that are made up: test_loader_seal.py compiles
 * it with seal.c and trial.c.
 *
 *   seal STATE MODE SERIAL LATE      LATE: something runs that the gate would refuse
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char **given;
static int sealed;

ssize_t read_text(const char *path, char *room, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t len;

	if (!file)
		return -errno;
	len = fread(room, 1, size - 1, file);
	room[len] = '\0';
	fclose(file);
	return (ssize_t)len;
}

int status_read(struct gate_status *status, struct failure *f)
{
	(void)f;
	memset(status, 0, sizeof(*status));
	snprintf(status->state, sizeof(status->state), "%s", given[1]);
	snprintf(status->policy_mode, sizeof(status->policy_mode), "%s", given[2]);
	status->policy_serial = strtoull(given[3], NULL, 10);
	status->code_entries = 1;
	return 0;
}

int late_check(const struct late_policy *policy, struct late *out, struct failure *f)
{
	(void)policy;
	(void)f;
	out->count = (unsigned int)atoi(given[4]);
	return 0;
}

int lock_kernel_down(void)
{
	return 0;
}

int gate_seal(struct failure *f)
{
	(void)f;
	sealed = 1;
	return 0;
}

int canary(int is_sealed, struct failure *f)
{
	(void)is_sealed;
	(void)f;
	return 0;
}

int main(int argc, char **argv)
{
	struct sealing out = { .is_later = 1, .state = "none", .why = "none" };
	struct failure f = { 0 };
	struct bytes none = { 0 };
	int result;

	if (argc != 5)
		return 9;
	given = argv;
	result = seal_gate(&none, &out, &f);
	printf("%s %s %s\n", sealed ? "seals" : "leaves", out.state, out.why);
	return result ? 1 : 0;
}
