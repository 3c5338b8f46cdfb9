# SPDX-License-Identifier: Apache-2.0
"""GVariant, little-endian: bytes to values and back, for what OSTree stores.

A type string is compiled once into a small codec; ``decode`` and ``encode`` run it. Format:
https://docs.gtk.org/glib/gvariant-specification-1.0.html, "Serialisation Format".

Rules:

* Canonical only: whatever ``encode`` would not have written is refused (framing offsets of
  another size or out of order, padding that is not zero, bytes left over, strings that are
  not UTF-8 or lack their NUL, booleans other than 0 and 1). GLib repairs such input silently;
  two readers that repair differently would disagree about what was signed.
* Bounded: ``MAX_SIZE`` bytes, ``MAX_DEPTH`` levels, ``MAX_ITEMS`` array elements altogether,
  ``MAX_SIGNATURE`` characters of a type.
* Values are immutable: numbers, ``bool``, ``str`` for ``s``, ``bytes`` for ``ay``, tuples for
  other arrays, tuples and dict entries (a dictionary keeps its order), ``Variant`` for ``v``.

It does not know maybes, handles, object paths and signatures (``m h o g``), which OSTree does not
store; it does not read big-endian data, nor swap the integers that OSTree stores big-endian
within little-endian framing: that is ``verity.formats.commit``'s part.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn, Protocol, TypeAlias

from verity.values.errors import CallerError, ContentError

MAX_SIZE = 128 << 20  # OSTREE_MAX_METADATA_SIZE, ostree-core.h
MAX_DEPTH = 64
MAX_ITEMS = 1 << 22
MAX_SIGNATURE = 255

Value: TypeAlias = "bool | int | float | str | bytes | Variant | Sequence[Value]"


@dataclass(frozen=True)
class Variant:
    """A value that carries its type. Lists become tuples, so that it stays as it is."""

    signature: str
    value: Value

    def __post_init__(self) -> None:
        if isinstance(self.value, list):
            object.__setattr__(self, "value", _frozen(self.value))


def decode(signature: str, data: bytes, *, label: str) -> Value:
    """The value in ``data``, all of it; ``ContentError`` (``bad-gvariant``) if not canonical."""
    return _decode(_codec(signature), data, f"{label}: not a canonical {signature}")


def encode(signature: str, value: Value) -> bytes:
    """The canonical bytes of a value, the same that GLib writes."""
    return _encode(_codec(signature), value)


def decode_entries(data: bytes, *, label: str) -> tuple[tuple[str, bytes], ...]:
    """An ``a{sv}`` whose values stay the bytes of their variants, for ``decode("v", ...)``.

    A variant in a dictionary starts at a multiple of 8, its largest alignment, so its bytes mean
    the same wherever they are put. The framing of the dictionary itself is checked.
    """
    pairs = _decode(_RAW_ENTRIES, data, f"{label}: not a canonical a{{sv}}")
    return pairs  # type: ignore[return-value]  # the shape of a{sv} with _Raw for v


def encode_entries(entries: Sequence[tuple[str, bytes]]) -> bytes:
    """The inverse of ``decode_entries``."""
    return _encode(_RAW_ENTRIES, entries)


class _Malformed(Exception):  # noqa: N818  # never leaves this module
    """Not canonical, and where."""


class _BadType(Exception):  # noqa: N818  # never leaves this module
    """Not a type string that is supported."""


class _Reader:
    """The bytes, and what is left of the bounds."""

    __slots__ = ("data", "depth", "items")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.depth = 0
        self.items = MAX_ITEMS

    def count(self, items: int, at: int) -> None:
        self.items -= items
        if self.items < 0:
            _malformed(at, f"more than {MAX_ITEMS} array elements")

    def padded(self, at: int, align: int, end: int) -> int:
        """``at`` moved up to ``align``; what is skipped must be zero."""
        start = at + (-at % align)
        if start > end:
            _malformed(at, "cut off in the padding")
        if start != at and any(self.data[at:start]):
            _malformed(at, "padding that is not zero")
        return start


class _Codec(Protocol):
    """One type. ``fixed`` is its size, or 0 if that varies; ``depth`` its levels of nesting."""

    align: int
    fixed: int
    depth: int

    def read(self, reader: _Reader, start: int, end: int) -> Value: ...
    def write(self, value: Value, out: bytearray, depth: int) -> None: ...


class _Number:
    """``y n q i u x t d``."""

    depth = 0

    def __init__(self, letter: str, layout: str) -> None:
        self.layout = struct.Struct("<" + layout)
        self.align = self.fixed = self.layout.size
        self.kind: type = float if letter == "d" else int

    def read(self, reader: _Reader, start: int, end: int) -> Value:
        number: int | float = self.layout.unpack_from(reader.data, start)[0]
        return number

    def write(self, value: Value, out: bytearray, depth: int) -> None:
        if type(value) is not self.kind:
            _refuse(value, "a number")
        try:
            out += self.layout.pack(value)
        except struct.error as error:
            raise CallerError("bad-value", f"{value!r:.80} is out of the type's range") from error


class _Bool:
    align = fixed = 1
    depth = 0

    def read(self, reader: _Reader, start: int, end: int) -> Value:
        if reader.data[start] > 1:
            _malformed(start, "a boolean that is neither 0 nor 1")
        return reader.data[start] == 1

    def write(self, value: Value, out: bytearray, depth: int) -> None:
        if not isinstance(value, bool):
            _refuse(value, "a boolean")
        out.append(value)


class _String:
    align, fixed, depth = 1, 0, 0

    def read(self, reader: _Reader, start: int, end: int) -> Value:
        if start == end or reader.data[end - 1]:
            _malformed(start, "a string without its NUL")
        if reader.data.find(0, start, end - 1) >= 0:
            _malformed(start, "a string with a NUL inside")
        try:
            return str(reader.data[start : end - 1], "utf-8")
        except UnicodeDecodeError:
            _malformed(start, "a string that is not UTF-8")

    def write(self, value: Value, out: bytearray, depth: int) -> None:
        if not isinstance(value, str) or "\0" in value:
            _refuse(value, "a string without NUL")
        try:
            out += value.encode()
        except UnicodeEncodeError as error:
            raise CallerError("bad-value", f"{value!a:.80} cannot be UTF-8") from error
        out.append(0)


class _Bytes:
    """``ay``."""

    align, fixed, depth = 1, 0, 1

    def read(self, reader: _Reader, start: int, end: int) -> Value:
        return reader.data[start:end]

    def write(self, value: Value, out: bytearray, depth: int) -> None:
        if not isinstance(value, bytes):
            _refuse(value, "bytes")
        out += value


class _Raw(_Bytes):
    """The bytes of a variant, not looked into."""

    align = 8


class _Variant:
    align, fixed, depth = 8, 0, 1

    def read(self, reader: _Reader, start: int, end: int) -> Value:
        nul = reader.data.rfind(0, start, end)
        if nul < 0:
            _malformed(start, "a variant without a type")
        try:
            signature = str(reader.data[nul + 1 : end], "ascii")
            codec = _codec(signature)
        except (UnicodeDecodeError, _BadType):
            _malformed(nul + 1, f"not a type: {reader.data[nul + 1 : end][:40]!r}")
        before = reader.depth
        reader.depth += 1 + codec.depth
        if reader.depth > MAX_DEPTH:
            _malformed(start, f"more than {MAX_DEPTH} levels")
        value = _read_whole(codec, reader, start, nul)
        reader.depth = before
        return Variant(signature, value)

    def write(self, value: Value, out: bytearray, depth: int) -> None:
        if not isinstance(value, Variant):
            _refuse(value, "a Variant")
        codec = _known(value.signature)
        if depth + 1 + codec.depth > MAX_DEPTH:
            raise CallerError("bad-value", f"more than {MAX_DEPTH} levels of variants")
        codec.write(value.value, out, depth + 1 + codec.depth)
        out.append(0)
        out += value.signature.encode()


class _Array:
    fixed = 0

    def __init__(self, item: _Codec) -> None:
        self.item = item
        self.align = item.align
        self.depth = item.depth + 1

    def read(self, reader: _Reader, start: int, end: int) -> Value:
        item, total = self.item, end - start
        if item.fixed:
            if total % item.fixed:
                _malformed(start, "an array that is no multiple of its elements")
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
            _malformed(end - width, "a framing offset out of bounds")
        count = (end - table) // width
        if _needed_width(body, count) != width:
            _malformed(table, "framing offsets wider than needed")
        reader.count(count, start)
        offsets = struct.unpack_from(f"<{count}{_OFFSET[width]}", reader.data, table)
        items, at, align, read = [], start, item.align, item.read
        for offset in offsets:
            stop = start + offset
            if stop > table:
                _malformed(table, "a framing offset out of bounds")
            if at % align:
                at = reader.padded(at, align, table)
            if stop < at:
                _malformed(table, "framing offsets out of order")
            items.append(read(reader, at, stop))
            at = stop
        return tuple(items)

    def write(self, value: Value, out: bytearray, depth: int) -> None:
        if not isinstance(value, (list, tuple)):
            _refuse(value, "a list or tuple")
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

    def __init__(self, items: Sequence[_Codec]) -> None:
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

    def read(self, reader: _Reader, start: int, end: int) -> Value:
        if self.fixed:
            table, width = end, 0
        else:
            width = _offset_width(end - start)
            table = end - width * self.offsets
            if table < start:
                _malformed(start, "too short for its framing offsets")
            if self.offsets and _needed_width(table - start, self.offsets) != width:
                _malformed(table, "framing offsets wider than needed")
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
                _malformed(at, "a framing offset out of bounds")
            values.append(item.read(reader, at, stop))
            at = stop
        if self.fixed:
            if any(reader.data[at:end]):
                _malformed(at, "padding that is not zero")
        elif at != table:
            _malformed(at, "bytes left over")
        return tuple(values)

    def write(self, value: Value, out: bytearray, depth: int) -> None:
        if not isinstance(value, (list, tuple)) or len(value) != len(self.items):
            _refuse(value, f"{len(self.items)} values")
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
