# SPDX-License-Identifier: Apache-2.0
"""An entry for systemd's journal in its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

A field is ``NAME=value`` and a line feed, or, if the value has a line feed, the name, a line feed,
the length in 8 bytes, the value and a line feed. It sends nothing, and it makes no field whose name
begins with an underscore: those the journal fills in itself, and readers trust them.
"""

import re
import struct
from collections.abc import Mapping

MAX_ENTRY = 64 * 2**10
"""Well below what a datagram takes, so that no memfd has to be passed for a large one."""

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_LENGTH = struct.Struct("<Q")


def encode(fields: Mapping[str, str]) -> bytes:
    """The datagram of an entry. ValueError for what none of ours may have: a bug of the caller."""
    parts = []
    for name, text in fields.items():
        value = text.encode("utf-8")
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a field")
        if b"\n" in value:
            parts.append(b"%b\n%b%b\n" % (name.encode(), _LENGTH.pack(len(value)), value))
        else:
            parts.append(b"%b=%b\n" % (name.encode(), value))
    entry = b"".join(parts)
    if not 0 < len(entry) <= MAX_ENTRY:
        raise ValueError(f"an entry of {len(entry)} bytes, expected 1 to {MAX_ENTRY}")
    return entry
