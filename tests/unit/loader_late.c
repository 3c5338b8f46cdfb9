/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the loader's look at what was started before the seal, with a gate that refuses nothing:
 * test_loader_late.py compiles it with late.c. It prints what was found first, and how much.
 */
#include "load.h"

#include <stdio.h>
#include <string.h>

int status_read(struct gate_status *status, struct failure *f)
{
	(void)f;
	memset(status, 0, sizeof(*status));
	return 0;
}

int main(void)
{
	static const struct late_policy policy = { .known = 1 };
	struct failure failure = { .status = 0 };
	struct late late;

	if (late_check(&policy, &late, &failure) != 0)
		return 9;
	printf("%u %s %s\n", late.count, late.reason, late.comm);
	return 0;
}
