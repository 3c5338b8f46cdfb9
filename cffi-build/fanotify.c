/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* syscall, O_LARGEFILE */
#include "fanotify.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef FAN_MARK_EVICTABLE
#define FAN_MARK_EVICTABLE 0x200 /* Linux 5.19 */
#endif

_Static_assert(sizeof(struct fanotify_event_metadata) == 24, "fanotify event");

int verity_fanotify_open(void)
{
	unsigned int flags = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK;
	long fd = syscall(SYS_fanotify_init, flags, O_RDONLY | O_CLOEXEC | O_LARGEFILE);

	return fd < 0 ? -errno : (int)fd;
}

static int mark(int fd, unsigned int flags, int at)
{
	if (syscall(SYS_fanotify_mark, fd, flags, (uint64_t)FAN_OPEN_EXEC, at, NULL) < 0)
		return -errno;
	return 0;
}

int verity_fanotify_watch(int fd, int directory)
{
	return mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, directory);
}

int verity_fanotify_ignore(int fd, int file)
{
	unsigned int flags = FAN_MARK_ADD | FAN_MARK_IGNORED_MASK;
	int result = mark(fd, flags | FAN_MARK_EVICTABLE, file);

	/* An older kernel doesn't know that the inode may go: there it stays in memory. */
	return result == -EINVAL ? mark(fd, flags, file) : result;
}
