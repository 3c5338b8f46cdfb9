# SPDX-License-Identifier: Apache-2.0
"""The GVariant codecs of containers, and the compiler of type strings.

``codec`` compiles a type string. Positions are absolute: a container is aligned at least as its
contents are, so padding computed from the start of all bytes is padding within each container.

Not to be used but through ``verity.formats.gvariant``, which turns its exceptions into ours.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache

from verity.formats._gvariant_basic import (
    MAX_DEPTH,
    NUMBERS,
    BadTypeError,
    BoolCodec,
    BytesCodec,
    Codec,
    NumberCodec,
    RawCodec,
    Reader,
    StringCodec,
    Value,
    Variant,
    malformed,
    refuse,
)
from verity.values.errors import CallerError

MAX_SIGNATURE = 255

_OFFSET = {1: "B", 2: "H", 4: "I", 8: "Q"}


class _Variant:
    align, fixed, depth = 8, 0, 1

    def read(self, reader: Reader, start: int, end: int) -> Value:
        nul = reader.data.rfind(0, start, end)
        if nul < 0:
            malformed(start, "a variant without a type")
        try:
            signature = str(reader.data[nul + 1 : end], "ascii")
            compiled = _carried(signature)
        except (UnicodeDecodeError, BadTypeError):
            malformed(nul + 1, f"not a type: {reader.data[nul + 1 : end][:40]!r}")
        before = reader.depth
        reader.depth += compiled.depth
        if reader.depth > MAX_DEPTH:
            malformed(start, f"more than {MAX_DEPTH} levels")
        value = read_whole(compiled, reader, start, nul)
        reader.depth = before
        return Variant(signature, value)

    def write(self, value: Value, out: bytearray, depth: int) -> None:
        if not isinstance(value, Variant):
            refuse(value, "a Variant")
        try:
            compiled = _carried(value.signature)
        except BadTypeError:
            refuse(value.signature, "a type")
        if depth + compiled.depth > MAX_DEPTH:
            raise CallerError("bad-value", f"more than {MAX_DEPTH} levels of variants")
        compiled.write(value.value, out, depth + compiled.depth)
        out.append(0)
        out += value.signature.encode()


class _Array:
    fixed = 0

    def __init__(self, item: Codec) -> None:
        self.item = item
        self.align = item.align
        self.depth = item.depth + 1

    def read(self, reader: Reader, start: int, end: int) -> Value:
        item, total = self.item, end - start
        if item.fixed:
            if total % item.fixed:
                malformed(start, "an array that is no multiple of its elements")
            reader.count(total // item.fixed, start)
            return tuple(
                item.read(reader, at, at + item.fixed) for at in range(start, end, item.fixed)
            )
        if total == 0:
            return ()
        width = _offset_width(total)
        body = int.from_bytes(reader.data[end - width : end], "little")
        table = start + body
        if table > end - width or (end - table) % width:
            malformed(end - width, "a framing offset out of bounds")
        count = (end - table) // width
        if _needed_width(body, count) != width:
            malformed(table, "framing offsets wider than needed")
        reader.count(count, start)
        offsets = struct.unpack_from(f"<{count}{_OFFSET[width]}", reader.data, table)
        items, at, align, read = [], start, item.align, item.read
        for offset in offsets:
            stop = start + offset
            if stop > table:
                malformed(table, "a framing offset out of bounds")
            if at % align:
                at = reader.padded(at, align, table)
            if stop < at:
                malformed(table, "framing offsets out of order")
            items.append(read(reader, at, stop))
            at = stop
        return tuple(items)

    def write(self, value: Value, out: bytearray, depth: int) -> None:
        if not isinstance(value, (list, tuple)):
            refuse(value, "a list or tuple")
        item, start = self.item, len(out)
        ends = []
        for element in value:
            out += bytes(-len(out) % item.align)
            item.write(element, out, depth)
            ends.append(len(out) - start)
        if not item.fixed and ends:
            out += _offset_table(ends, len(out) - start)


class _Tuple:
    """``(...)`` and ``{..}``."""

    def __init__(self, items: Sequence[Codec]) -> None:
        self.items = tuple(items)
        self.align = max((item.align for item in items), default=1)
        self.depth = max((item.depth for item in items), default=0) + 1
        size = 0
        for item in items:
            size += -size % item.align + item.fixed
        varies = any(not item.fixed for item in items)
        # The empty tuple is one zero byte, so that an array of them has a length.
        self.fixed = 0 if varies else max(size + -size % self.align, 1)
        self.offsets = sum(not item.fixed for item in self.items[:-1])

    def read(self, reader: Reader, start: int, end: int) -> Value:
        if self.fixed:
            table, width = end, 0
        else:
            width = _offset_width(end - start)
            table = end - width * self.offsets
            if table < start:
                malformed(start, "too short for its framing offsets")
            if self.offsets and _needed_width(table - start, self.offsets) != width:
                malformed(table, "framing offsets wider than needed")
        values, at, cursor, last = [], start, end, len(self.items) - 1
        for number, item in enumerate(self.items):
            if at % item.align:
                at = reader.padded(at, item.align, table)
            if item.fixed:
                stop = at + item.fixed
            elif number == last:
                stop = table
            else:
                cursor -= width
                stop = start + int.from_bytes(reader.data[cursor : cursor + width], "little")
            if not at <= stop <= table:
                malformed(at, "a framing offset out of bounds")
            values.append(item.read(reader, at, stop))
            at = stop
        if self.fixed:
            if any(reader.data[at:end]):
                malformed(at, "padding that is not zero")
        elif at != table:
            malformed(at, "bytes left over")
        return tuple(values)

    def write(self, value: Value, out: bytearray, depth: int) -> None:
        if not isinstance(value, (list, tuple)) or len(value) != len(self.items):
            refuse(value, f"{len(self.items)} values")
        start, ends = len(out), []
        for item, element in zip(self.items, value, strict=True):
            out += bytes(-len(out) % item.align)
            item.write(element, out, depth)
            if not item.fixed:
                ends.append(len(out) - start)
        if self.fixed:
            out += bytes(start + self.fixed - len(out))
        elif self.offsets:
            out += _offset_table(ends[: self.offsets], len(out) - start, backwards=True)


@lru_cache(maxsize=512)  # bounded: type strings come with the data
def codec(signature: str) -> Codec:
    """The codec of one complete type."""
    if len(signature) > MAX_SIGNATURE:
        raise BadTypeError
    compiled, rest = _parse(signature, 0)
    if rest != len(signature) or compiled.depth > MAX_DEPTH:
        raise BadTypeError
    return compiled


def _carried(signature: str) -> Codec:
    """The codec of a type that a variant names: ``*`` is no type there."""
    if "*" in signature:
        raise BadTypeError
    return codec(signature)


def read_whole(compiled: Codec, reader: Reader, start: int, end: int) -> Value:
    """Read a value that nobody has measured yet."""
    if compiled.fixed and end - start != compiled.fixed:
        malformed(start, f"{end - start} bytes, expected {compiled.fixed}")
    return compiled.read(reader, start, end)


def _parse(signature: str, at: int) -> tuple[Codec, int]:
    """One type from ``at``, and where the next one starts."""
    letter = signature[at : at + 1]
    if letter in NUMBERS:
        return NumberCodec(letter, NUMBERS[letter]), at + 1
    if letter in _SIMPLE:
        return _SIMPLE[letter], at + 1
    if letter == "a":
        if signature[at + 1 : at + 2] == "y":
            return BytesCodec(), at + 2
        item, at = _parse(signature, at + 1)
        return _Array(item), at
    if letter == "(":
        items = []
        at += 1
        while signature[at : at + 1] != ")":
            item, at = _parse(signature, at)
            items.append(item)
        return _Tuple(items), at + 1
    if letter == "{":
        key, at = _parse(signature, at + 1)
        value, at = _parse(signature, at)
        if (
            not isinstance(key, NumberCodec | BoolCodec | StringCodec)
            or signature[at : at + 1] != "}"
        ):
            raise BadTypeError
        return _Tuple((key, value)), at + 1
    raise BadTypeError


_SIMPLE: dict[str, Codec] = {"b": BoolCodec(), "s": StringCodec(), "v": _Variant(), "*": RawCodec()}


def _offset_width(total: int) -> int:
    """Bytes of a framing offset in a container of this size."""
    return 1 if total <= 0xFF else 2 if total <= 0xFFFF else 4 if total <= 0xFFFFFFFF else 8


def _needed_width(body: int, count: int) -> int:
    """The smallest width with which body and offsets fit a container of that width."""
    return next((w for w in (1, 2, 4) if body + count * w < 1 << (8 * w)), 8)


def _offset_table(ends: Sequence[int], body: int, *, backwards: bool = False) -> bytes:
    width = _needed_width(body, len(ends))
    order = ends[::-1] if backwards else ends
    return struct.pack(f"<{len(ends)}{_OFFSET[width]}", *order)
