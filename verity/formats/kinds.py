# SPDX-License-Identifier: Apache-2.0
"""The 16 bytes that begin each blob for the kernel: 0x93, ASCII, NUL (docs/formats.md section 5).

No JSON, no DSSE and no commit of ours begins so. They are apart from the modules that read the
blobs, because who carries one needs none of these.
"""

KEYS = b"\x93verity-keys1\0\0\0"
PIN = b"\x93verity-pin1\0\0\0\0"
POLICY = b"\x93verity-policy1\0"
REVOKE = b"\x93verity-revoke1\0"
GRANTS = b"\x93verity-grants1\0"
UNLOCK = b"\x93verity-unlock1\0"
