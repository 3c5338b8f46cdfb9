/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tell-gate FILE: hands a fragment of a boot bundle to the gate that runs, and prints its answer.
 *
 * What is between the file and the gate is this and the loader's own reader and caller, all C. It
 * judges nothing: a refusal that it prints was the gate's. Exit status 0 if the gate took it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "loader/load.h"

int main(int argc, char **argv)
{
	struct failure failure = { 0 };
	struct bundle_cursor cursor = { 0 };
	struct bytes fragment;
	struct blob blob;
	int result;

	if (argc != 2) {
		fprintf(stderr, "usage: tell-gate FILE\n");
		return STATUS_USAGE;
	}
	result = read_file(argv[1], VERITY_BUNDLE_MAX, &fragment, &failure);
	while (!result && bundle_next(&fragment, &cursor, &blob, &failure) > 0) {
		result = gate_import(&blob, fragment.name, &failure);
		if (!result)
			printf("the gate accepted %s (record %u of %s)\n", record_name(blob.kind),
			       blob.number, fragment.name);
	}
	free(fragment.data);
	if (failure.status)
		printf("%s\n", failure.message);
	return failure.status;
}
