/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subject WHICH PROGRAM: root becomes a subject that still holds something of root's, and executes
 * PROGRAM. Everything but what WHICH names is given up.
 *
 *   saved       saved uid 0          fs         file system uid 0 (needs the saved uid, too)
 *   real        real uid 0           uncapable  uid 0 without any capability
 *   disk        the group disk       permitted  CAP_SYS_ADMIN in the permitted set only
 *   ambient, inheritable             that capability in these sets
 *   ordinary    nothing at all: the control
 */
#include "tool.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define USER 1000u
#define DISK 6u

static void set_caps(unsigned int permitted, unsigned int effective, unsigned int inheritable)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2] = {
		{ .permitted = permitted, .effective = effective, .inheritable = inheritable }
	};

	if (syscall(SYS_capset, &header, caps) < 0)
		trouble("capset");
}

static void become(gid_t group, uid_t real, uid_t effective, uid_t saved)
{
	gid_t groups[] = { group };

	if (setgroups(group ? 1 : 0, groups) < 0 || setresgid(USER, USER, USER) < 0)
		trouble("setgroups");
	if (setresuid(real, effective, saved) < 0)
		trouble("setresuid");
}

int main(int argc, char **argv)
{
	const char *which = argc > 2 ? argv[1] : "usage";
	const unsigned int cap = 1u << CAP_SYS_ADMIN;

	if (!strcmp(which, "saved")) {
		become(0, USER, USER, 0);
		set_caps(0, 0, 0);
	} else if (!strcmp(which, "fs")) {
		become(0, USER, USER, 0);
		setfsuid(0);
		if (setfsuid(-1) != 0)
			trouble("setfsuid");
		set_caps(0, 0, 0);
	} else if (!strcmp(which, "real")) {
		become(0, 0, USER, USER);
		set_caps(0, 0, 0);
	} else if (!strcmp(which, "uncapable")) {
		/* Otherwise execve would give them back to uid 0. */
		if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED) < 0)
			trouble("securebits");
		set_caps(0, 0, 0);
	} else if (!strcmp(which, "disk")) {
		become(DISK, USER, USER, USER);
	} else if (!strcmp(which, "ordinary")) {
		become(0, USER, USER, USER);
	} else if (!strcmp(which, "permitted") || !strcmp(which, "inheritable") ||
		   !strcmp(which, "ambient")) {
		if (prctl(PR_SET_KEEPCAPS, 1) < 0)
			trouble("keepcaps");
		become(0, USER, USER, USER);
		if (!strcmp(which, "permitted")) {
			set_caps(cap, 0, 0);
		} else {
			set_caps(cap, cap, cap);
			if (!strcmp(which, "inheritable"))
				set_caps(0, 0, cap);
			else if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0) < 0)
				trouble("ambient");
		}
	} else {
		errno = EINVAL;
		trouble(which);
	}
	execv(argv[2], argv + 2);
	return refused("execve");
}
