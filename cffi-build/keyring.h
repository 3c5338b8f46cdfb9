/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_KEYRING_H
#define VERITY_KEYRING_H
/*
 * add_key(2) and keyctl(2), as far as IMA's keyring wants them (linux/keyctl.h).
 *
 * Every function returns a value >= 0 or -errno, keeps no state and allocates nothing.
 */
#include <stddef.h>
#include <stdint.h>
#include <linux/keyctl.h>

/* A new keyring in that of the process, so that it ends with it unless the kernel holds it. */
int64_t verity_keyring_new(const char *name);

/* An X.509 in DER; the kernel names the key by itself. */
int64_t verity_keyring_add(int32_t keyring, const uint8_t *certificate, size_t len);

/* Nothing can be added from now on, by nobody. */
int verity_keyring_restrict(int32_t keyring);

#endif
