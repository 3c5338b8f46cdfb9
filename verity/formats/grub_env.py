# SPDX-License-Identifier: Apache-2.0
"""GRUB's count of the boots of what was staged, value -> bytes (docs/formats.md).

An environment block of GRUB's with one variable of one character: 1024 bytes, of which only that
one ever changes. GRUB and the loader read and write it; here it is only made.
"""

SIZE = 1024
IDLE = "-"
"""Nothing is counted."""
_BEGIN = b"# GRUB Environment Block\nverity_tries="
VALUE_AT = len(_BEGIN)


def encode(value: str) -> bytes:
    """The block with this count."""
    return (_BEGIN + value.encode() + b"\n").ljust(SIZE, b"#")
