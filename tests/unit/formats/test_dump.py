# SPDX-License-Identifier: Apache-2.0
"""The manifest: one spelling per tree, everything else refused with its line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verity.formats import dump
from verity.formats.dump import Entry
from verity.values.errors import ContentError

D = "a" * 64
ROOT = "/ 0 40755 1 0 0 0 0.0 - - -\n"


def file_line(path: str, digest: str = D, rest: str = "") -> str:
    return f"{path} 3 100644 1 0 0 0 0.0 - - {digest}{rest}\n"


def test_names_that_need_escapes_survive() -> None:
    names = [b"/ ", b"/-", b"/=", b"/\\", b"/\n", b"/\xff\xfe", "/ä".encode(), b"/a b", b"/~"]
    entries = [Entry(path=b"/", mode=0o40755, uid=0, gid=0)] + [
        Entry(path=name, mode=0o120777, uid=0, gid=0, size=1, target=b"-") for name in names
    ]
    data = dump.serialise(entries)
    assert data.isascii() and b"\\x2d" in data
    assert sorted(entries, key=lambda entry: entry.path) == list(dump.parse(data))


def test_sorted_by_the_whole_path_not_by_directory() -> None:
    entries = [
        Entry(path=path, mode=0o40755, uid=0, gid=0) for path in (b"/", b"/a", b"/a/b", b"/a-b")
    ]
    assert [entry.path for entry in dump.parse(dump.serialise(entries))] == [
        b"/",
        b"/a",
        b"/a-b",
        b"/a/b",
    ]


def deep(last: bytes) -> list[Entry]:
    """Directories of the longest names, down to a file whose path has 3841 bytes and the last."""
    path = b"/"
    entries = [Entry(path=path, mode=0o40755, uid=0, gid=0)]
    for _ in range(15):
        path = path.rstrip(b"/") + b"/" + b"d" * 255
        entries.append(Entry(path=path, mode=0o40755, uid=0, gid=0))
    path += b"/" + last
    return [*entries, Entry(path=path, mode=0o100644, uid=0, gid=0, digest=bytes(32))]


@pytest.mark.parametrize("letter", [b"f", b"\xff"], ids=["plain", "escaped"])
def test_the_longest_path(letter: bytes) -> None:
    entries = deep(letter * 254)
    assert len(entries[-1].path) == 4095
    assert dump.parse(dump.serialise(entries)) == tuple(entries)
    with pytest.raises(ContentError, match="longer than 4095") as caught:
        dump.serialise(deep(letter * 255))
    assert len(caught.value.message) < 600
    assert dump._read_quickly(b"".join(map(dump.line, deep(letter * 255)))) is None


def test_the_longest_line() -> None:
    head = b"/ 0 40755 1 0 0 0 0.0 - - - user.a="
    value = b"v" * (65536 - len(head))
    assert dump.parse(head + value + b"\n")[0].xattrs == ((b"user.a", value),)
    with pytest.raises(ContentError, match="manifest line 1: 65537 bytes"):
        dump.parse(head + value + b"v\n")


_names = st.binary(min_size=1, max_size=20).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
_xattrs = st.dictionaries(
    _names.map(lambda name: b"user." + name).filter(dump.counts_for_security),
    st.binary(max_size=30),
    max_size=3,
).map(lambda values: tuple(sorted(values.items())))
_ids = st.integers(0, 2**32 - 1)
_entries = st.one_of(
    st.builds(
        lambda name, mode, uid, gid, size, digest, xattrs: Entry(
            path=b"/" + name,
            mode=0o100000 | mode,
            uid=uid,
            gid=gid,
            size=size,
            digest=digest,
            xattrs=xattrs,
        ),
        _names,
        st.integers(0, 0o7777),
        _ids,
        _ids,
        st.integers(0, 2**63 - 1),
        st.binary(min_size=32, max_size=32),
        _xattrs,
    ),
    st.builds(
        lambda name, target, uid: Entry(
            path=b"/" + name, mode=0o120777, uid=uid, gid=0, size=len(target), target=target
        ),
        _names,
        st.binary(min_size=1, max_size=30).filter(lambda target: b"\0" not in target),
        _ids,
    ),
)


@given(st.lists(_entries, max_size=8, unique_by=lambda entry: entry.path))
def test_round_trip(entries: list[Entry]) -> None:
    whole = [Entry(path=b"/", mode=0o40755, uid=0, gid=0), *entries]
    data = dump.serialise(whole)
    parsed = dump.parse(data)
    assert sorted(whole, key=lambda entry: entry.path) == list(parsed)
    assert dump.serialise(parsed) == data


@given(st.data())
def test_a_mutated_manifest_is_read_the_same_way_or_refused(data: st.DataObject) -> None:
    text = bytearray(
        (ROOT + file_line("/a", rest=" user.a=\\x20") + "/l 1 120777 1 0 0 0 0.0 a - -\n").encode()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = dump.parse(bytes(text))
    except ContentError:
        return
    assert dump.serialise(parsed) == bytes(text)


_LINES = (
    ROOT.encode(),
    *(file_line(path).encode() for path in ("/a", "/a/b", "/d/f", "/d/..", "/.f", "//", "/x\\x20")),
    b"/d 0 40755 1 0 0 0 0.0 - - -\n",
    b"/d/l 1 120777 1 0 0 0 0.0 a - -\n",
    b"/c 0 20600 1 0 0 5 0.0 - - -\n",
    file_line("/e", rest=" user.a=1").encode(),
    file_line("/g").replace(" 0 0 0 0.0", " 4294967295 9999999999 0 0.0").encode(),
    file_line("/h").replace(" 3 ", " 9999999999999999999 ").encode(),
    b"\n",
)


@given(st.data(), st.integers(1, 200))
def test_the_quick_reader_takes_nothing_else(data: st.DataObject, part: int) -> None:
    """What it takes the careful one takes, with the same entries; in parts of any size."""
    lines = data.draw(st.lists(st.sampled_from(_LINES), max_size=6))
    if data.draw(st.booleans()):
        lines = sorted({ROOT.encode(), *lines})
    text = bytearray(b"".join(lines) or ROOT.encode())
    for _ in range(data.draw(st.integers(0, 2))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(
            st.sampled_from(b"/ .-0123456789\\\n=aA\xff\0") | st.integers(0, 255)
        )
    text[-1:] = b"\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dump, "_PART", part)
        quick = dump._read_quickly(bytes(text))
    if quick is not None:
        assert quick == dump._read_carefully(bytes(text))


_LINK = "/ 1 120777 1 0 0 0 0.0 a - -\n"
_DIRECTORY = "/a 0 40755 1 0 0 0 0.0 - - -\n"
_LONG = "/l 0 40755 1 0 0 0 0.0 - - - user.a="


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (file_line("/a"), "the first entry must be the directory /"),
        (_LINK, "the first entry must be the directory /"),
        (_LINK + file_line("/a"), "the first entry must be the directory /"),
        (ROOT + file_line("/b") + file_line("/a"), "not sorted by path"),
        (ROOT + _DIRECTORY + file_line("/a/b") + file_line("/a-b"), "not sorted by path"),
        (ROOT + file_line("/a") + file_line("/a"), "the path stands there twice"),
        (ROOT + file_line("/a/b"), "its parent /a is no directory"),
        (ROOT + file_line("/a") + file_line("/a/b"), "its parent /a is no directory"),
        (ROOT + file_line("/.."), "'..' or over-long component"),
        (ROOT + file_line("/./a"), "'..' or over-long component"),
        (ROOT + file_line("/" + "x" * 256), "'..' or over-long component"),
        (ROOT + file_line("/\\x61"), "not in the canonical spelling"),
        (ROOT + file_line("/a", rest=" user.a=\\x61"), "not in the canonical spelling"),
        (ROOT + _LONG + "v" * (65537 - len(_LONG)) + "\n", "65537 bytes, at most 65536"),
        (ROOT + "\n", "1 fields"),
        (ROOT + "x" * (3 << 20) + "\n", "3145728 bytes, at most 65536"),
    ],
)  # fmt: skip
def test_neither_reader_takes_it(text: str, reason: str) -> None:
    data = text.encode()
    assert dump._read_quickly(data) is None
    with pytest.raises(ContentError, match=re.escape(reason)):
        dump._read_carefully(data)


@pytest.mark.parametrize("letter", [b"f", b"\xff"], ids=["plain", "escaped"])
def test_the_quick_reader_takes_what_is_usual(letter: bytes) -> None:
    """Else every manifest would be read twice, and the comparison above would compare nothing."""
    entries = deep(letter * 254)
    assert dump._read_quickly(dump.serialise(entries)) == tuple(entries)


def test_boot_list_takes_exactly_what_goes_to_boot() -> None:
    paths = [
        b"/",
        b"/boot",
        b"/boot/vmlinuz-6",
        b"/bootx",
        b"/usr",
        b"/usr/lib",
        b"/usr/lib/modules",
        b"/usr/lib/modules/6",
        b"/usr/lib/modules/6/initramfs.img",
        b"/usr/lib/modules/6/modules.dep",
        b"/usr/lib/modules/6/vmlinuz",
        b"/usr/lib/modules/vmlinuz",
    ]
    files = {b"/boot/vmlinuz-6", b"/bootx", *paths[-4:]}
    entries = [
        Entry(path=path, mode=0o100644, uid=0, gid=0, digest=bytes(32))
        if path in files
        else Entry(path=path, mode=0o40755, uid=0, gid=0)
        for path in paths
    ]
    zero = "0" * 64
    assert dump.boot_list(entries).decode() == (
        f"{zero} /boot/vmlinuz-6\n{zero} /usr/lib/modules/6/initramfs.img\n"
        f"{zero} /usr/lib/modules/6/vmlinuz\n"
    )
    assert dump.boot_list_of(dump.serialise(entries)) == dump.boot_list(entries)
    assert dump.boot_list_of(ROOT.encode()) == b""


def test_the_lines_below_a_directory_are_found_by_halving() -> None:
    """Beside names that sort around its own, and others that are written as escapes."""
    names = [b"boot", b"boot\n", b"boot!", b"boot-", b"boot/a", b"boot/\xff", b"boot/b c", b"boot0"]
    names += [b"\x01", b"a", b"bo\xff", b"boot\xff", b"var", b"var/lib", b"\xfe"]
    paths = sorted([b"/", *(b"/" + name for name in names)])
    data = dump.serialise([Entry(path=path, mode=0o40755, uid=0, gid=0) for path in paths])
    lines = data.splitlines(keepends=True)
    for top in (b"/boot/", b"/boot", b"/", b"/var/", b"/x/", b"/bo\xff", b"/\x01", b"/\xff"):
        due = [line for line, path in zip(lines, paths, strict=True) if path.startswith(top)]
        assert dump.below(data, top) == b"".join(due), top
        if top.endswith(b"/") and top != b"/":
            others = [line for line in lines if line not in due]
            assert dump.without(data, [top[:-1]]) == b"".join(others), top
    assert dump.below(b"", b"/") == b""
