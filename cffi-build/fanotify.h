/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_FANOTIFY_H
#define VERITY_FANOTIFY_H
/*
 * fanotify(7), to hear of programs that are started and never to hold one up.
 *
 * There are notifications only, no permission events: whoever stops or kills the listener stops
 * nobody else. Every function returns a value >= 0 or -errno, keeps no state and allocates nothing.
 */
#include <stddef.h>
#include <stdint.h>
#include <linux/fanotify.h>

#define VERITY_EVENT_SIZE ((int)FAN_EVENT_METADATA_LEN)

/* A descriptor to read events from, which doesn't block. */
int verity_fanotify_open(void);

/* Every start of a program on the file system that has this directory. */
int verity_fanotify_watch(int fd, int directory);

/* None of this file any more, until it is written to or the kernel forgets the inode. */
int verity_fanotify_ignore(int fd, int file);

#endif
