/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program that attacks try to run: says that it ran, whose build it is (MARK) and with which
 * rights. Standard output alone is touched.
 */
#include <linux/capability.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2] = { 0 };

	syscall(SYS_capget, &header, caps);
	printf("ran " MARK " uid=%u euid=%u egid=%u caps=%x%08x\n", getuid(), geteuid(), getegid(),
	       caps[1].effective, caps[0].effective);
	return 0;
}
