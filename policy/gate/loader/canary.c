/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate's own words, and whether its answers count.
 *
 * Programs can be attached and never called: loading succeeds while ftrace is off. So a child
 * execs a memfd of garbage, which no gate would allow. Sealed, that must end with EPERM; before
 * the seal the kernel says ENOEXEC and the gate must have counted it.
 */
#define _GNU_SOURCE /* memfd_create */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define VERITY_MFD_EXEC 0x10u	    /* linux/memfd.h, since 6.3 */
#define VERITY_AT_EMPTY_PATH 0x1000 /* linux/fcntl.h, which clashes with fcntl.h */

#define HINT_VERSION "loader and object are of different versions: install the package again"

static int word_of(const char *text, const char *key, char *room, size_t size)
{
	const char *value = value_of(text, key);
	size_t len = value ? strcspn(value, " \n") : 0;

	if (!len || len >= size)
		return 0;
	memcpy(room, value, len);
	room[len] = '\0';
	return 1;
}

int status_read(struct gate_status *status, struct failure *f)
{
	static char text[32768];
	ssize_t len = read_text(VERITY_PIN_STATUS, text, sizeof(text));

	memset(status, 0, sizeof(*status));
	if (len < 0)
		return cannot(f, (int)-len, HINT_LOG,
			      VERITY_PIN_STATUS " can't be read");
	if (!number_of(text, "version", &status->version) ||
	    status->version != VERITY_GATE_VERSION ||
	    !number_of(text, "code", &status->code_entries) ||
	    !number_of(text, "foreign_programs", &status->foreign_programs) ||
	    !number_of(text, "anchors", &status->anchors) ||
	    !number_of(text, "anchors_lost", &status->anchors_lost) ||
	    !number_of(text, "revoked_documents", &status->revoked_documents) ||
	    !number_of(text, "denied", &status->denied) ||
	    !number_of(text, "observed", &status->observed) ||
	    !number_of(text, "policy_serial", &status->policy_serial) ||
	    !word_of(text, "state", status->state, sizeof(status->state)) ||
	    !word_of(text, "policy_mode", status->policy_mode, sizeof(status->policy_mode)))
		return refuse(f, HINT_VERSION,
			      VERITY_PIN_STATUS " is not the status of a gate of version %d",
			      VERITY_GATE_VERSION);
	return 0;
}

/* In the child: the errno of the exec is its exit status. */
static void exec_garbage(int fd)
{
	static char name[] = "verity-canary";
	char *argv[] = { name, NULL }, *envp[] = { NULL };

	syscall(SYS_execveat, fd, "", argv, envp, VERITY_AT_EMPTY_PATH);
	_exit(errno);
}

/* What the kernel says to it, or -errno when it could not be asked. */
static int try_exec(void)
{
	static const char garbage[] = "verity-canary: no program\n";
	int fd = memfd_create("verity-canary", MFD_CLOEXEC | VERITY_MFD_EXEC);
	int status, error;
	pid_t child;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("verity-canary", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	errno = 0;
	child = write(fd, garbage, sizeof(garbage) - 1) == sizeof(garbage) - 1 ? fork() : -1;
	error = errno ? errno : EIO;
	if (!child)
		exec_garbage(fd);
	close(fd);
	if (child < 0)
		return -error;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

int canary(int sealed, struct failure *f)
{
	struct gate_status before, after;
	int result = status_read(&before, f);
	int answer;

	if (result)
		return result;
	answer = try_exec();
	if (answer < 0)
		return cannot(f, -answer, "sysctl vm.memfd_noexec must be 0 or 1 for this",
			      "the exec canary can't be tried");
	if (sealed)
		return answer == EPERM ? 0 :
					 cannot(f, answer, "report this: reboot, and do not rely on "
						"this gate", "the gate is sealed and the exec "
						"canary was not refused, expected EPERM");
	result = status_read(&after, f);
	if (result)
		return result;
	if (after.denied + after.observed > before.denied + before.observed)
		return 0;
	return cannot(f, 0, "is sysctl kernel.ftrace_enabled still 1?",
		      "the gate's programs are attached and not called (the exec canary said: %s)",
		      strerror(answer));
}
