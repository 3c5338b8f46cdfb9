/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the loader does with a stage once a gate has taken its bundle, and the count of boots, as a
 * program: `apply ROOT`, `try ROOT`. The kernel of whoever runs the tests need not have fs-verity: here
 * the digest of a file is what stands in $DIGESTS for its length, "LENGTH HEX" a line. The kernel's own
 * is asked in tests/vm/test_boot_stage.py.
 */
#define _GNU_SOURCE
#include "loader/load.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <linux/fsverity.h>

int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct fsverity_digest *out;
	char line[128];
	struct stat st;
	va_list more;
	FILE *table;

	va_start(more, request);
	out = va_arg(more, struct fsverity_digest *);
	va_end(more);
	table = fopen(getenv("DIGESTS"), "re");
	if (request != FS_IOC_MEASURE_VERITY || fstat(fd, &st) != 0 || !table)
		abort();
	while (fgets(line, sizeof(line), table)) {
		char *hex = strchr(line, ' ');
		unsigned int byte;
		int i;

		if (!hex || atoll(line) != st.st_size)
			continue;
		for (i = 0; i < 32 && sscanf(hex + 1 + 2 * i, "%2x", &byte) == 1; i++)
			out->digest[i] = (unsigned char)byte;
		out->digest_algorithm = FS_VERITY_HASH_ALG_SHA256;
		out->digest_size = 32;
		fclose(table);
		return 0;
	}
	fclose(table);
	errno = ENODATA;
	return -1;
}

struct dirent *__real_readdir(DIR *folder);
struct dirent *__wrap_readdir(DIR *folder);

/* With $NO_KINDS as on a file system that doesn't keep them in its directories. */
struct dirent *__wrap_readdir(DIR *folder)
{
	struct dirent *entry = __real_readdir(folder);

	if (entry && getenv("NO_KINDS"))
		entry->d_type = DT_UNKNOWN;
	return entry;
}

int __real_renameat(int from, const char *old, int to, const char *new);
int __wrap_renameat(int from, const char *old, int to, const char *new);

/* $CUT: the end of a name; the power goes before something gets that, or with a + behind it. */
int __wrap_renameat(int from, const char *old, int to, const char *new)
{
	const char *cut = getenv("CUT");
	size_t len = cut ? strcspn(cut, "+") : 0, have = strlen(new);
	int is_it = len && have >= len && !strncmp(new + have - len, cut, len), result;

	if (is_it && !cut[len])
		raise(SIGKILL);
	result = __real_renameat(from, old, to, new);
	if (is_it)
		raise(SIGKILL);
	return result;
}

static int apply(const char *root, const char **what, struct failure *f)
{
	struct bytes bundle = { 0 };
	char path[4096];
	int result = stage_state(root, f);

	*what = "stage none";
	if (result <= 0)
		return result;
	*what = "stage applied";
	if (result == 1)
		return stage_move(root, "applied", f);
	snprintf(path, sizeof(path), "%s/var/lib/verity/next/boot.bundle", root);
	result = stage_attempt(root, f);
	if (!result)
		result = read_file(path, VERITY_BUNDLE_MAX, &bundle, f);
	if (!result)
		result = stage_apply(root, &bundle, f);
	if (!result)
		result = stage_move(root, "applied", f);
	else
		stage_failed(root, f);
	free_bytes(&bundle);
	return result;
}

int main(int argc, char **argv)
{
	struct failure failure = { .status = STATUS_HOST };
	const char *what = "";
	int result;

	if (argc != 3)
		return STATUS_USAGE;
	result = !strcmp(argv[1], "try") ? try_boot(argv[2], &what, &failure) :
					   apply(argv[2], &what, &failure);
	if (result)
		fprintf(stderr, "%s\n", failure.message);
	else
		printf("%s\n", what);
	return result ? failure.status : 0;
}
