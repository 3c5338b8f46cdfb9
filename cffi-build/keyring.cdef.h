/* SPDX-License-Identifier: Apache-2.0 */
/* What Python sees of keyring.h. */

int64_t verity_keyring_new(const char *name);
int64_t verity_keyring_add(int32_t keyring, const uint8_t *certificate, size_t len);
int verity_keyring_restrict(int32_t keyring);
