# SPDX-License-Identifier: Apache-2.0
"""verity: signed content for Linux hosts, from a key to the kernel's digest of every file."""

__version__ = "0.1.0"
