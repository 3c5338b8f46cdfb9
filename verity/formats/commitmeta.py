# SPDX-License-Identifier: Apache-2.0
"""Dictionaries of OSTree: a commit's own metadata, and the detached metadata beside it.

Both are ``a{sv}``. Rules:

* What is there stays byte for byte as it is, in its order, keys that nobody here knows
  included: each value is kept as the bytes of its variant and decoded when it is asked for.
* Therefore a value that cannot be read concerns those who ask for it, and nobody else. So does
  a key that is there twice: which one counts would depend on the reader, so neither does.
* Changing makes a new dictionary. Nothing here knows what a key means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

from verity.formats import gvariant
from verity.formats.gvariant import Value, Variant
from verity.values.errors import ContentError


@dataclass(frozen=True)
class Metadata:
    """An ``a{sv}`` with its order. ``entries`` holds the bytes of each variant."""

    entries: tuple[tuple[str, bytes], ...] = ()
    label: str = "metadata"

    @classmethod
    def parse(cls, data: bytes, *, label: str) -> Self:
        """Read an ``a{sv}``; the framing of the dictionary must be canonical."""
        entries = gvariant.decode("a{s*}", data, label=label)
        return cls(cast("tuple[tuple[str, bytes], ...]", entries), label)

    def encode(self) -> bytes:
        """The bytes: those that were parsed, if nothing was changed."""
        return gvariant.encode("a{s*}", self.entries)

    def keys(self) -> tuple[str, ...]:
        """The keys, in order, one that is there twice twice."""
        return tuple(key for key, _ in self.entries)

    def get(self, key: str) -> Variant | None:
        """The value of a key; ``ContentError`` if it cannot be read or is there twice."""
        raw = self._raw(key)
        if raw is None:
            return None
        return cast("Variant", gvariant.decode("v", raw, label=f"{self.label}, {key}"))

    def get_bytes(self, key: str) -> bytes | None:
        """The value of a key whose type is ``ay``; None if there is none."""
        found = self.get(key)
        if found is None:
            return None
        self._expect(key, found, "ay")
        return cast("bytes", found.value)

    def get_byte_arrays(self, key: str) -> tuple[bytes, ...]:
        """The value of a key whose type is ``aay``; empty if there is none."""
        found = self.get(key)
        if found is None:
            return ()
        self._expect(key, found, "aay")
        return cast("tuple[bytes, ...]", found.value)

    def _expect(self, key: str, found: Variant, signature: str) -> None:
        if found.signature != signature:
            raise ContentError(
                "bad-detached-metadata",
                f"{self.label}: {key} is of the type {found.signature}, expected {signature}",
            )

    def _raw(self, key: str) -> bytes | None:
        found = [raw for name, raw in self.entries if name == key]
        if len(found) > 1:
            raise ContentError(
                "bad-detached-metadata",
                f"{self.label}: the key {key} is there {len(found)} times, expected once",
            )
        return found[0] if found else None


class DetachedMetadata(Metadata):
    """What lies beside a commit, in its ``.commitmeta``: signatures, mostly."""

    def with_value(self, key: str, value: Variant) -> Self:
        """A copy in which ``key`` has this value, at its old place or at the end."""
        self._raw(key)
        entry = (key, gvariant.encode("v", value))
        if key in self.keys():
            entries = tuple(entry if old[0] == key else old for old in self.entries)
        else:
            entries = (*self.entries, entry)
        return type(self)(entries, self.label)

    def with_bytes(self, key: str, value: bytes) -> Self:
        """A copy in which ``key`` is this ``ay``."""
        return self.with_value(key, Variant("ay", value))

    def with_byte_arrays(self, key: str, values: Sequence[bytes]) -> Self:
        """A copy in which ``key`` is this ``aay``."""
        return self.with_value(key, Variant("aay", tuple(values)))

    def without(self, key: str) -> Self:
        """A copy in which ``key`` is not."""
        return type(self)(tuple(old for old in self.entries if old[0] != key), self.label)

    def with_appended(self, key: str, signature: str, item: Value) -> Self:
        """A copy in which the array at ``key`` has one more element, or is a new one.

        One of another type there is refused rather than replaced: it may be somebody's.
        """
        found = self.get(key)
        if found is not None:
            self._expect(key, found, signature)
        items = cast("tuple[Value, ...]", found.value) if found is not None else ()
        return self.with_value(key, Variant(signature, (*items, item)))
