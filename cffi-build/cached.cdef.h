/* SPDX-License-Identifier: Apache-2.0 */
/* What Python sees of cached.h. */

int64_t verity_cached(int fd);
