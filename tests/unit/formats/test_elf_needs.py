# SPDX-License-Identifier: Apache-2.0
"""ELF files and ld.so.cache: what they name; and damaged ones, as many as are asked for."""

import contextlib
import io
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reach_world import elf
from verity.formats import elf_needs, ld_cache
from verity.values.errors import ContentError

NOTE = (
    b'[{"soname":["libx.so.1","liby.so.2"],"feature":"f"},{"soname":["libz.so"]}]\0',
    b"FDO\0",
)
GOOD = elf(needed=["libc.so.6", "libm.so.6"], runpath="/a:/b", no_default=True)
PLACES = st.lists(st.tuples(st.integers(0, 1 << 12), st.binary(min_size=1, max_size=8)), max_size=6)


def read(data: bytes) -> elf_needs.Needs:
    return elf_needs.read(io.BytesIO(data), "f")


def with_note(text: bytes, name: bytes = b"FDO\0", kind: int = 0x407C0C0A) -> bytes:
    """The file with one note in place of its interpreter."""
    data = bytearray(elf())
    note = struct.pack("<III", len(name), len(text), kind) + name + text + bytes(-len(text) % 4)
    struct.pack_into("<I", data, 64 + 2 * 56, 4)
    struct.pack_into("<Q", data, 64 + 2 * 56 + 8, len(data))
    struct.pack_into("<Q", data, 64 + 2 * 56 + 32, len(note))
    return bytes(data) + note


def test_what_a_file_names() -> None:
    found = read(GOOD)
    assert found.interpreter == b"/lib64/ld-linux-x86-64.so.2"
    assert found.needed == (b"libc.so.6", b"libm.so.6")
    assert (found.rpath, found.runpath) == ((), (b"/a", b"/b"))
    assert (found.no_default, found.machine, found.bits) == (True, 62, 64)


def test_a_static_file_names_nothing() -> None:
    found = read(elf(interpreter=""))
    assert (found.interpreter, found.needed) == (b"", ())


def test_what_a_file_says_that_it_loads() -> None:
    assert read(with_note(*NOTE)).dlopened == (b"libx.so.1", b"liby.so.2", b"libz.so")
    assert read(with_note(NOTE[0], kind=1)).dlopened == ()


@pytest.mark.parametrize("text", [b"{", b"[1]", b'[{"soname":1}]', b"\xff", b"[" * 100_000])
def test_a_note_that_is_none(text: bytes) -> None:
    with pytest.raises(ContentError, match="f: a damaged ELF file") as error:
        read(with_note(text))
    assert error.value.code == "bad-elf"


@given(PLACES, st.integers(0, len(GOOD)))
def test_damaged_files_are_refused_or_read(changes: list[tuple[int, bytes]], end: int) -> None:
    data = bytearray(GOOD)
    for at, new in changes:
        at %= len(data)
        data[at : at + len(new)] = new
    for damaged in (bytes(data), bytes(data[:end])):
        with contextlib.suppress(ContentError):
            found = read(damaged)
            assert all(b"\0" not in one for one in (*found.needed, *found.runpath))


@given(st.binary(max_size=400))
def test_anything_behind_the_magic(data: bytes) -> None:
    for begin in (b"\x7fELF", b"\x7fELF\x02\x01\x01" + bytes(9)):
        with contextlib.suppress(ContentError):
            read(begin + data)


def cache(*entries: tuple[int, bytes, bytes], flags: int = 2, old: bool = False) -> bytes:
    """A cache with these entries: kind, name, path."""
    begin = 48 + 24 * len(entries)
    table, strings = b"", b""
    for kind, name, path in entries:
        key = begin + len(strings)
        value = key + len(name) + 1
        table += struct.pack("<iIIIQ", kind, key, value, 0, 0)
        strings += name + b"\0" + path + b"\0"
    head = b"glibc-ld.so.cache1.1" + struct.pack("<IIB", len(entries), len(strings), flags)
    made = head + bytes(3 + 4 + 12) + table + strings
    return b"ld.so-1.7.0\0" + struct.pack("<I", 1) + bytes(12 + 4) + made if old else made


@pytest.mark.parametrize("old", [False, True])
def test_cache(old: bool) -> None:
    data = cache(
        *((0x303, b"a.so", b"/a"), (0x303, b"a.so", b"/hw/a"), (0x300, b"b.so", b"/b")), old=old
    )
    assert ld_cache.parse(data) == {b"a.so": (b"/a", b"/hw/a")}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it ends before its header does"),
        (b"x" * 48, "it does not begin as one"),
        (cache(flags=3), "of a big-endian machine"),
        (cache((0x303, b"a", b"/a"))[:60], "1 entries don't fit in 60 bytes"),
        (cache((0x303, b"a", b"/a"))[:-2], "a string lies outside of it"),
    ],
)
def test_a_cache_that_is_none(data: bytes, why: str) -> None:
    with pytest.raises(ContentError, match=why) as error:
        ld_cache.parse(data)
    assert error.value.code == "bad-ld-cache"


@given(st.binary(max_size=300), PLACES)
def test_damaged_caches_are_refused_or_read(data: bytes, changes: list[tuple[int, bytes]]) -> None:
    good = bytearray(cache((0x303, b"a", b"/a"), (0x303, b"b", b"/b"), old=True))
    for at, new in changes:
        at %= len(good)
        good[at : at + len(new)] = new
    for damaged in (data, b"glibc-ld.so.cache1.1" + data, bytes(good)):
        with contextlib.suppress(ContentError):
            ld_cache.parse(damaged)


def test_the_cache_of_this_host() -> None:
    found = ld_cache.parse(Path("/etc/ld.so.cache").read_bytes())
    assert all(Path(path.decode()).exists() for path in found[b"libc.so.6"])
