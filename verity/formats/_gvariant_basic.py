# SPDX-License-Identifier: Apache-2.0
"""What the GVariant codecs share, and those of the types that hold no others.

``read`` is given exactly the bytes of its value (for types of a fixed size, the container has
seen to that) and refuses all that ``write`` would not have written.

Not to be used but through ``verity.formats.gvariant``, which turns its exceptions into ours.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol, TypeAlias

from verity.values.errors import CallerError

MAX_DEPTH = 64
MAX_ITEMS = 1 << 22

Value: TypeAlias = "bool | int | float | str | bytes | Variant | Sequence[Value]"

NUMBERS = {"y": "B", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}


@dataclass(frozen=True)
class Variant:
    """A value that carries its type. Lists become tuples, so that it stays as it is."""

    signature: str
    value: Value

    def __post_init__(self) -> None:
        if isinstance(self.value, list):
            object.__setattr__(self, "value", _frozen(self.value))


class MalformedError(Exception):
    """Not canonical, and where. Never leaves ``verity.formats.gvariant``."""

    def __init__(self, at: int, problem: str) -> None:
        super().__init__(f"at byte {at}: {problem}")


class BadTypeError(Exception):
    """Not a type string that is supported. Never leaves ``verity.formats.gvariant``."""


class Reader:
    """The bytes, and what is left of the bounds."""

    __slots__ = ("data", "depth", "items")

    def __init__(self, data: bytes, depth: int) -> None:
        self.data = data
        self.depth = depth
        self.items = MAX_ITEMS

    def count(self, items: int, at: int) -> None:
        self.items -= items
        if self.items < 0:
            malformed(at, f"more than {MAX_ITEMS} array elements")

    def padded(self, at: int, align: int, end: int) -> int:
        """``at`` moved up to ``align``; what is skipped must be zero."""
        start = at + (-at % align)
        if start > end:
            malformed(at, "cut off in the padding")
        if start != at and any(self.data[at:start]):
            malformed(at, "padding that is not zero")
        return start


class Codec(Protocol):
    """One type. ``fixed`` is its size, or 0 if that varies; ``depth`` its levels of nesting."""

    align: int
    fixed: int
    depth: int

    def read(self, reader: Reader, start: int, end: int) -> Value: ...
    def write(self, value: Value, out: bytearray, depth: int) -> None: ...


class NumberCodec:
    """``y n q i u x t d``."""

    depth = 0

    def __init__(self, letter: str, layout: str) -> None:
        self.layout = struct.Struct("<" + layout)
        self.align = self.fixed = self.layout.size
        self.kind: type = float if letter == "d" else int

    def read(self, reader: Reader, start: int, end: int) -> Value:
        number: int | float = self.layout.unpack_from(reader.data, start)[0]
        return number

    def write(self, value: Value, out: bytearray, depth: int) -> None:
        if type(value) is not self.kind:
            refuse(value, "a number")
        try:
            out += self.layout.pack(value)
        except struct.error as error:
            raise CallerError("bad-value", f"{value!r:.80} is out of the type's range") from error


class BoolCodec:
    align = fixed = 1
    depth = 0

    def read(self, reader: Reader, start: int, end: int) -> Value:
        if reader.data[start] > 1:
            malformed(start, "a boolean that is neither 0 nor 1")
        return reader.data[start] == 1

    def write(self, value: Value, out: bytearray, depth: int) -> None:
        if not isinstance(value, bool):
            refuse(value, "a boolean")
        out.append(value)


class StringCodec:
    align, fixed, depth = 1, 0, 0

    def read(self, reader: Reader, start: int, end: int) -> Value:
        if start == end or reader.data[end - 1]:
            malformed(start, "a string without its NUL")
        if reader.data.find(0, start, end - 1) >= 0:
            malformed(start, "a string with a NUL inside")
        try:
            return str(reader.data[start : end - 1], "utf-8")
        except UnicodeDecodeError:
            malformed(start, "a string that is not UTF-8")

    def write(self, value: Value, out: bytearray, depth: int) -> None:
        if not isinstance(value, str) or "\0" in value:
            refuse(value, "a string without NUL")
        try:
            out += value.encode()
        except UnicodeEncodeError as error:
            raise CallerError("bad-value", f"{value!a:.80} cannot be UTF-8") from error
        out.append(0)


class BytesCodec:
    """``ay``."""

    align, fixed, depth = 1, 0, 1

    def read(self, reader: Reader, start: int, end: int) -> Value:
        return reader.data[start:end]

    def write(self, value: Value, out: bytearray, depth: int) -> None:
        if not isinstance(value, bytes):
            refuse(value, "bytes")
        out += value


class RawCodec(BytesCodec):
    """The bytes of a variant, not looked into."""

    align = 8


def _frozen(value: Value) -> Value:
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value


def malformed(at: int, problem: str) -> NoReturn:
    raise MalformedError(at, problem)


def refuse(value: object, expected: str) -> NoReturn:
    raise CallerError("bad-value", f"cannot encode {value!r:.80}: expected {expected}")
