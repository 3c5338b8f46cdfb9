/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* syscall */
#include "keyring.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

int64_t verity_keyring_new(const char *name)
{
	long serial;

	if (!name)
		return -EFAULT;
	serial = syscall(SYS_add_key, "keyring", name, NULL, (size_t)0, KEY_SPEC_PROCESS_KEYRING);
	return serial < 0 ? -errno : serial;
}

int64_t verity_keyring_add(int32_t keyring, const uint8_t *certificate, size_t len)
{
	long serial;

	if (!certificate)
		return -EFAULT;
	if (len == 0)
		return -EINVAL;
	serial = syscall(SYS_add_key, "asymmetric", "", certificate, len, keyring);
	return serial < 0 ? -errno : serial;
}

int verity_keyring_restrict(int32_t keyring)
{
	/* No type and no restriction: all further links are refused. */
	return syscall(SYS_keyctl, KEYCTL_RESTRICT_KEYRING, keyring, NULL, NULL) < 0 ? -errno : 0;
}
