# SPDX-License-Identifier: Apache-2.0
"""The lines and fields that the gate's two texts are made of: bytes in, values or a refusal out.

It knows no key and no column; ``verity.formats.gate_status`` does.
"""

import re
from typing import NoReturn

from verity.values.errors import ContentError

MAX_LINE = 32 * 2**10

_NUMBER = re.compile(rb"0|[1-9][0-9]{0,19}")
_ESCAPED = re.compile(rb"(?:[\x21-\x5b\x5d-\x7e]|\\x[0-9a-f]{2})+")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


class RefusedError(Exception):
    """Why one line is refused; the parsers add its number."""


def lines(data: bytes, most: int, what: str) -> list[bytes]:
    """The lines of a whole text."""
    if len(data) > most:
        raise ContentError(
            f"bad-gate-{what}", f"gate {what}: {len(data)} bytes, at most {most} are possible"
        )
    if not data:
        return []
    if not data.endswith(b"\n"):
        raise ContentError(f"bad-gate-{what}", f"gate {what}: the last line is cut off")
    found = data[:-1].split(b"\n")
    for number, line in enumerate(found, 1):
        if len(line) > MAX_LINE:
            raise ContentError(
                f"bad-gate-{what}",
                f"gate {what} line {number}: {len(line)} bytes, at most {MAX_LINE} are possible",
            )
    return found


def bad(what: str, number: int, line: bytes, problem: str) -> NoReturn:
    """Refuse the text for one line."""
    start = _ESCAPED.match(line[:60])
    shown = start[0].decode() if start else "..."
    raise ContentError(
        f"bad-gate-{what}",
        f"gate {what} line {number} ({shown}): {problem}",
        hint="gate and program are of one version: install them together",
    )


def number_of(field: bytes, most: int) -> int:
    """A decimal number without zeros in front."""
    if not _NUMBER.fullmatch(field) or int(field) > most:
        raise RefusedError(f"not a decimal number up to {most}")
    return int(field)


def word_of(field: bytes, words: list[str]) -> str:
    """One of these words."""
    text = field.decode("ascii", "replace")
    if text not in words:
        raise RefusedError(f"expected one of {', '.join(words)}")
    return text


def unescaped(field: bytes, what: str) -> bytes:
    """The bytes of a name that is escaped as in a manifest."""
    if not _ESCAPED.fullmatch(field):
        raise RefusedError(f"the {what} is not escaped")
    return _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), field)
