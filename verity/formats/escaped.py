# SPDX-License-Identifier: Apache-2.0
"""Bytes in the one escaped form of a manifest (``\\xHH``), which every message uses, too.

It is apart from `dump.py`, which reads manifests, because every command prints and few read one.
"""

import base64
import re

MUST_ESCAPE = re.compile(rb"[^\x21-\x5b\x5d-\x7e]")
_PLAIN_WORD = re.compile(rb"[A-Za-z0-9_/.][A-Za-z0-9_./+:@%,=-]*")


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


def shell_word(field: bytes) -> str:
    """The bytes as one word of a command line that does nothing but name them.

    Whatever isn't plain is in ``$'...'``, whose escapes (POSIX 2024) are those of this form.
    """
    if _PLAIN_WORD.fullmatch(field):
        return field.decode("ascii")
    return "$'" + printable(field).replace("'", "\\x27") + "'"


def one_line(text: str) -> str:
    """Text with everything that could move a cursor, start a line or turn the reading direction
    escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _hex(char) for char in text)


def _hex(char: str) -> str:
    # A byte of a name that is no UTF-8 is itself; another lone surrogate is no character.
    how = "surrogateescape" if "\udc80" <= char <= "\udcff" else "replace"
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", how))


def path_fields(path: bytes, name: str = "path") -> dict[str, str]:
    """A file's name for JSON: exact, whatever bytes it has."""
    try:
        return {name: path.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(path).decode()}
