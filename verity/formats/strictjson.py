# SPDX-License-Identifier: Apache-2.0
"""JSON as signed documents need it: one reading per document, or none.

Refuses duplicate keys, floats, integers beyond 2^53-1, -0, NaN and Infinity, bytes that are not
UTF-8, lone surrogates, deep nesting and anything over the given size. It does not know any
document: fields are taken out with ``Fields``, which refuses missing, unknown and mistyped ones.
"""

import json
from typing import Any, NoReturn

from verity.values.errors import ContentError

MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 32


def refuse(what: str, reason: str) -> NoReturn:
    """Raise the error that every refused document of this kind ends in."""
    raise ContentError("bad-document", f"{what}: {reason}")


def parse(data: bytes, *, what: str, max_size: int) -> Any:
    """Parse one JSON document from bytes. ``what`` names it in errors."""
    if len(data) > max_size:
        refuse(what, f"{len(data)} bytes, at most {max_size} are allowed")
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise ContentError("bad-document", f"{what}: not UTF-8 at byte {error.start}") from error
    _check_depth(text, what)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) != len(items):
            seen: set[str] = set()
            for key, _ in items:
                if key in seen:
                    refuse(what, f"the key {key[:80]!r} stands there twice")
                seen.add(key)
        return result

    def integer(literal: str) -> int:
        # len first: int() of a million digits takes seconds.
        if len(literal) > 17 or abs(int(literal)) > MAX_INTEGER:
            refuse(what, f"the integer {literal[:20]} is beyond 2^53-1")
        if literal == "-0":
            refuse(what, "-0 is not allowed")  # where numbers are floats it is not 0
        return int(literal)

    try:
        value = json.loads(
            text,
            object_pairs_hook=pairs,
            parse_int=integer,
            parse_float=lambda literal: refuse(what, f"the float {literal[:20]} is not allowed"),
            parse_constant=lambda literal: refuse(what, f"{literal} is not allowed"),
        )
        # A lone surrogate escape decodes to text that no UTF-8 can carry.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise ContentError(
            "bad-document", f"{what}: not JSON: {error.msg} at character {error.pos}"
        ) from error
    except UnicodeEncodeError as error:
        raise ContentError("bad-document", f"{what}: a lone surrogate in a string") from error
    return value


def _check_depth(text: str, what: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return  # a large document of few parts, such as a sign bundle, needs no walk
    depth = 0
    inside = escaped = False
    for char in text:
        if inside:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                inside = False
        elif char == '"':
            inside = True
        elif char in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                refuse(what, f"nested deeper than {MAX_DEPTH} levels")
        elif char in "]}":
            depth -= 1


def canonical(value: Any) -> bytes:
    """Write a document: sorted keys, no spaces, UTF-8. For writing only, never to verify."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8")


class Fields:
    """The fields of one JSON object, each taken out once and by type."""

    def __init__(self, value: Any, *, what: str) -> None:
        if not isinstance(value, dict):
            refuse(what, f"expected an object, found {_kind(value)}")
        self._left: dict[str, Any] = dict(value)
        self._what = what

    def _take(self, name: str, kind: type) -> Any:
        if name not in self._left:
            refuse(self._what, f"the field {name!r} is missing")
        value = self._left.pop(name)
        if type(value) is not kind:
            refuse(self._what, f"the field {name!r} is {_kind(value)}, expected {_NAMES[kind]}")
        return value

    def text(self, name: str) -> str:
        """Take a string."""
        value: str = self._take(name, str)
        return value

    def integer(self, name: str) -> int:
        """Take an integer (a boolean is none)."""
        value: int = self._take(name, int)
        return value

    def array(self, name: str) -> list[Any]:
        """Take a list."""
        value: list[Any] = self._take(name, list)
        return value

    def object(self, name: str) -> "Fields":
        """Take an object."""
        return Fields(self._take(name, dict), what=f"{self._what}.{name}")

    def is_text(self, name: str) -> bool:
        """Whether a string of this name is still there, and no null in its place."""
        return isinstance(self._left.get(name), str)

    def names(self) -> list[str]:
        """The names that are still there."""
        return sorted(self._left)

    def end(self) -> None:
        """Refuse whatever was not taken."""
        if self._left:
            refuse(self._what, f"unknown field {min(self._left)[:80]!r}")


_NAMES: dict[type, str] = {
    str: "a string",
    int: "an integer",
    list: "a list",
    dict: "an object",
    bool: "a boolean",
    type(None): "null",
}


def _kind(value: Any) -> str:
    return _NAMES.get(type(value), "something else")
