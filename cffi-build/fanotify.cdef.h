/* SPDX-License-Identifier: Apache-2.0 */
/* What Python sees of fanotify.h; "..." is filled in by the compiler. */

#define FANOTIFY_METADATA_VERSION ...
#define FAN_Q_OVERFLOW ...
#define VERITY_EVENT_SIZE ...

int verity_fanotify_open(void);
int verity_fanotify_watch(int fd, int directory);
int verity_fanotify_ignore(int fd, int file);
