/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A stage gets so many boots to be put into place, then it is refused: whatever ended them, an error or the
 * power. Each is counted before it does anything (--stage), so that one that hangs was counted, too.
 *
 * Where one of them came as far as what is booted from, there is more to take back than the stage: that is
 * left to --try, which comes behind it in the same boot (fallback.c).
 */
#define _GNU_SOURCE /* O_PATH */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define ATTEMPTS STATE "/next/attempts"

int stage_attempt(const char *path, struct failure *f)
{
	int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), left, result;

	if (root < 0)
		return cannot(f, errno, "name where the root file system is mounted", "--stage %s",
			      path);
	left = count_of(root, ATTEMPTS);
	if (left < 0) /* the first, or somebody's own */
		left = BOOT_TRIES;
	result = left ? count_put(root, ATTEMPTS, left - 1) : 0;
	close(root);
	if (!left)
		return refuse(f, HINT_STAGE, "three boots have begun to put it into place, and none "
			      "came to the end");
	return result ? cannot(f, -result, "make room in /var/lib/verity", "the boots that begin what is "
			       "staged can't be counted") : 0;
}

void stage_failed(const char *path, const struct failure *f)
{
	int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return;
	if (f->status == STATUS_REFUSED || !count_of(root, ATTEMPTS)) {
		if (is_begun(root))
			take_back(root, f->message);
		else
			refused_put(root, "next", f->message);
	}
	close(root);
}
