# SPDX-License-Identifier: Apache-2.0
"""The manifest: one spelling per tree, everything else refused with its line."""

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


REFUSED = {
    "empty": ("", "empty"),
    "no final newline": (ROOT[:-1], "final newline"),
    "no root": (file_line("/a"), "first entry must be the directory /"),
    "root is a file": (file_line("/"), "first entry must be the directory /"),
    "not sorted": (ROOT + file_line("/b") + file_line("/a"), "not sorted"),
    "twice": (ROOT + file_line("/a") + file_line("/a"), "there twice"),
    "no parent": (ROOT + file_line("/d/a"), "parent /d"),
    "parent is a file": (ROOT + file_line("/d") + file_line("/d/a"), "parent /d"),
    "relative": (ROOT + file_line("a"), "not absolute"),
    "dot dot": (ROOT + file_line("/.."), "component"),
    "dot": (ROOT + file_line("/."), "component"),
    "dot dot inside": (ROOT + file_line("/../a"), "component"),
    "dot inside": (ROOT + file_line("/./a"), "component"),
    "empty component": (ROOT + file_line("//a"), "component"),
    "trailing slash": (ROOT + file_line("/a/"), "component"),
    "nul in path": (ROOT + file_line("/a\\x00b"), "NUL"),
    "long component": (ROOT + file_line("/" + "a" * 256), "over-long"),
    "long line": (ROOT + file_line("/a", rest=" user.x=" + "a" * 70000), "at most 65536"),
    "few fields": (ROOT + "/a 3 100644 1 0 0 0 0.0 - -\n", "10 fields"),
    "upper-case digest": (ROOT + file_line("/a", "A" * 64), "64 lower-case"),
    "no digest": (ROOT + file_line("/a", "-"), "needs its fs-verity digest"),
    "digest of a directory": (ROOT + f"/d 0 40755 1 0 0 0 0.0 - - {D}\n", "DIGEST must be -"),
    "size of a directory": (ROOT + "/d 1 40755 1 0 0 0 0.0 - - -\n", "SIZE must be 0"),
    "leading zero": (ROOT + file_line("/a").replace(" 3 ", " 03 "), "SIZE is not a decimal"),
    "negative": (ROOT + file_line("/a").replace(" 3 ", " -3 "), "SIZE is not a decimal"),
    "huge uid": (ROOT + "/d 0 40755 1 4294967296 0 0 0.0 - - -\n", "UID"),
    "mode without type": (ROOT + file_line("/a").replace("100644", "644"), "no known file type"),
    "nlink 2": (ROOT + "/d 0 40755 2 0 0 0 0.0 - - -\n", "NLINK must be 1"),
    "mtime": (ROOT + "/d 0 40755 1 0 0 0 1.0 - - -\n", "MTIME must be 0.0"),
    "content": (ROOT + f"/a 3 100644 1 0 0 0 0.0 - x {D}\n", "CONTENT must be -"),
    "payload of a file": (ROOT + f"/a 3 100644 1 0 0 0 0.0 x - {D}\n", "PAYLOAD must be -"),
    "rdev of a file": (ROOT + f"/a 3 100644 1 0 0 5 0.0 - - {D}\n", "RDEV"),
    "symlink without target": (ROOT + "/l 1 120777 1 0 0 0 0.0 - - -\n", "needs its target"),
    "symlink size": (ROOT + "/l 2 120777 1 0 0 0 0.0 a - -\n", "length of its target"),
    "needless escape": (ROOT + file_line("/\\x61"), "canonical spelling"),
    "upper-case escape": (ROOT + file_line("/\\x0A"), "canonical spelling"),
    "other escape": (ROOT + file_line("/\\n"), "canonical spelling"),
    "raw byte": (ROOT + file_line("/ä"), "canonical spelling"),
    "carriage return": (ROOT.replace("\n", "\r\n"), "DIGEST must be -"),
    "xattr unknown": (ROOT + file_line("/a", rest=" trusted.x=1"), "no manifest may hold"),
    "xattr ostreemeta": (ROOT + file_line("/a", rest=" user.ostreemeta=1"), "no manifest may"),
    "xattr order": (ROOT + file_line("/a", rest=" user.b=1 user.a=1"), "not sorted"),
    "xattr twice": (ROOT + file_line("/a", rest=" user.a=1 user.a=2"), "there twice"),
    "xattr no value": (ROOT + file_line("/a", rest=" user.a"), "no manifest may hold"),
    "double space": (ROOT + "/d  0 40755 1 0 0 0 0.0 - - -\n", "MODE"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_line_and_reason(name: str) -> None:
    text, reason = REFUSED[name]
    with pytest.raises(ContentError) as caught:
        dump.parse(text.encode())
    assert caught.value.code == "bad-manifest"
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


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
    ]
    files = {b"/boot/vmlinuz-6", b"/bootx", *paths[-3:]}
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
