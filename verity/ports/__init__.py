# SPDX-License-Identifier: Apache-2.0
"""One outside thing each: the kernel, an OSTree repository, a tree, a key store."""
