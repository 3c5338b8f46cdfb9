/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the loader's record of a trial: test_loader_trial.py compiles it with trial.c.
 *
 *   trial SERIAL
 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	static const char *const words[] = { "begun", "over", "unwritten" };
	char why[512] = "";

	if (argc != 2)
		return 9;
	printf("%s %s\n", words[trial_begin(NULL, strtoull(argv[1], NULL, 10), why, sizeof(why))], why);
	return 0;
}
