# SPDX-License-Identifier: Apache-2.0
"""Bytes in the one escaped form of a manifest (``\\xHH``), which every message uses, too.

It is apart from `dump.py`, which reads manifests, because every command prints and few read one.
"""

import re

MUST_ESCAPE = re.compile(rb"[^\x21-\x5b\x5d-\x7e]")


def escape(field: bytes) -> bytes:
    """Write a path, a target or a value in the one escaped form."""
    if field == b"-":
        return b"\\x2d"
    return MUST_ESCAPE.sub(escaped, field)


def escaped(match: re.Match[bytes]) -> bytes:
    """The form of the byte that matched."""
    return b"\\x%02x" % match[0][0]


def printable(field: bytes) -> str:
    """The same form as text: for messages and reports, safe on any terminal."""
    return escape(field).decode("ascii")
