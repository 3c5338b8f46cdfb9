# SPDX-License-Identifier: Apache-2.0
"""Text in the cells of a terminal: how wide it is, clipped to a width, or wrapped.

Text must be of one line and printable (`escaped.one_line`). What a terminal makes of a character
is by Unicode's East Asian width; a terminal that thinks otherwise shows a ragged edge, no more.
"""

import unicodedata
from collections.abc import Iterator

ELLIPSIS = "..."


def width(text: str) -> int:
    """How many cells it takes."""
    return len(text) if text.isascii() else sum(_cells(char) for char in text)


def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def clip(text: str, cells: int) -> str:
    """As much of it as fits, with dots where something is left out."""
    if width(text) <= cells:
        return text
    taken = _fitting(text, max(cells - len(ELLIPSIS), 0))
    return (text[:taken] + ELLIPSIS)[: max(cells, 0)]


def _fitting(text: str, cells: int) -> int:
    """How many characters fit."""
    used = 0
    for index, char in enumerate(text):
        used += _cells(char)
        if used > cells:
            return index
    return len(text)


def wrap(text: str, cells: int, indent: str) -> Iterator[str]:
    """Its lines, each that follows the first after the indent; words that are too long are cut."""
    rest = text
    first = True
    while True:
        room = max(cells - (0 if first else len(indent)), 8)
        taken = _fitting(rest, room)
        if taken < len(rest):
            blank = rest.rfind(" ", 1, taken + 1)
            if blank > 0 and rest[:blank].strip():
                taken = blank
        yield ("" if first else indent) + rest[:taken].rstrip(" ")
        rest = rest[max(taken, 1) :].lstrip(" ")
        first = False
        if not rest:
            return
