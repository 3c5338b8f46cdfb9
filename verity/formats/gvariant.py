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

* ``*`` in a type stands for a variant that stays bytes, for ``decode("v", ...)`` when it is
  needed: one entry of ``a{s*}`` that cannot be read keeps nobody from the others, and all of
  them are written back as they were.

It does not know maybes, handles, object paths and signatures (``m h o g``), which OSTree does not
store; it does not read big-endian data, nor swap the integers that OSTree stores big-endian
within little-endian framing: that is ``verity.formats.commit``'s part.
"""

from verity.formats._gvariant import MAX_SIGNATURE, codec, read_whole
from verity.formats._gvariant_basic import (
    MAX_DEPTH,
    MAX_ITEMS,
    BadTypeError,
    MalformedError,
    Reader,
    Value,
    Variant,
)
from verity.values.errors import CallerError, ContentError

__all__ = [
    "MAX_DEPTH",
    "MAX_ITEMS",
    "MAX_SIGNATURE",
    "MAX_SIZE",
    "Value",
    "Variant",
    "decode",
    "encode",
]

MAX_SIZE = 128 << 20  # OSTREE_MAX_METADATA_SIZE, ostree-core.h


def decode(signature: str, data: bytes, *, label: str) -> Value:
    """The value in ``data``, all of it; ``ContentError`` (``bad-gvariant``) if not canonical."""
    try:
        compiled = codec(signature)
    except BadTypeError as error:
        raise CallerError("bad-type", f"not a type: {signature[:80]!r}") from error
    if len(data) > MAX_SIZE:
        raise ContentError(
            "bad-gvariant", f"{label}: {len(data)} bytes, at most {MAX_SIZE} are allowed"
        )
    try:
        return read_whole(compiled, Reader(data, compiled.depth), 0, len(data))
    except MalformedError as error:
        kind = signature.replace("*", "v")
        raise ContentError("bad-gvariant", f"{label}: not a canonical {kind} {error}") from error


def encode(signature: str, value: Value) -> bytes:
    """The canonical bytes of a value, the same that GLib writes."""
    try:
        compiled = codec(signature)
    except BadTypeError as error:
        raise CallerError("bad-type", f"not a type: {signature[:80]!r}") from error
    out = bytearray()
    compiled.write(value, out, compiled.depth)
    return bytes(out)
