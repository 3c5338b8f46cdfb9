# SPDX-License-Identifier: Apache-2.0
"""OSTree's objects: exact bytes of stock ostree, round trips, and each way to be wrong."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.formats.test_gvariant import mutated
from verity.formats import commit as commit_module
from verity.formats import gvariant
from verity.formats.commit import Commit, DetachedMetadata, DirTree, Metadata, checksum_of
from verity.formats.gvariant import Variant
from verity.formats.ostree_file import (
    ContentHasher,
    DirMeta,
    FileHeader,
    parse_filez_frame,
    swap32,
)
from verity.values.errors import ContentError

# What ostree 2022.7 wrote for a directory with one file `a`, contents `hi`, all owned by root.
COMMIT = bytes.fromhex(
    "76657273696f6e0031000073080000006f73747265652e7265662d62696e64696e67000000000000740002006173"
    "130d2f7375626a00626f64790000000000000000000065937d25fe2eb0a267c2842faf783c255d9cbaebd1315ee9"
    "add8a957a95ca54de8ce3a31446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488683b"
    "36313131"
)
COMMIT_NAME = "aa33058e6012de25ad67b557e73e6716c2f48c7c4653cc47dcd2dcd25c6276a3"
DIRTREE = bytes.fromhex(
    "61002301b5923720c3edc1f0467addb5c287fd5559e3e0cd1396e7f1edb6b01be9f0022324"
)
DIRTREE_NAME = "fe2eb0a267c2842faf783c255d9cbaebd1315ee9add8a957a95ca54de8ce3a31"
DIRMETA = bytes.fromhex("0000000000000000000041ed")
DIRMETA_NAME = "446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488"
FILEZ = bytes.fromhex(
    "0000001a0000000000000000000000020000000000000000000081a4000000000019cbc80400"
)
FILE_NAME = "2301b5923720c3edc1f0467addb5c287fd5559e3e0cd1396e7f1edb6b01be9f0"
SUM = bytes(range(32))
HEX = SUM.hex()


# --- what stock ostree writes --------------------------------------------------------------


def test_commit() -> None:
    assert len(COMMIT) == 142
    assert checksum_of(COMMIT) == COMMIT_NAME
    commit = Commit.parse(COMMIT, label="it")
    assert (commit.subject, commit.body, commit.parent) == ("subj", "body", None)
    assert commit.timestamp == 1704164645  # 2024-01-02T03:04:05Z
    assert (commit.root_dirtree, commit.root_dirmeta) == (DIRTREE_NAME, DIRMETA_NAME)
    assert commit.metadata.keys() == ("version", "ostree.ref-binding")
    assert commit.metadata.get("version") == Variant("s", "1")
    assert commit.metadata.get("ostree.ref-binding") == Variant("as", ("t",))
    assert commit.encode() == COMMIT
    assert commit.encode()[-6:].hex() == "683b36313131"


def test_dirtree() -> None:
    assert checksum_of(DIRTREE) == DIRTREE_NAME
    tree = DirTree.parse(DIRTREE, label="it")
    assert tree == DirTree(files=((b"a", FILE_NAME),))
    assert tree.encode() == DIRTREE


def test_dirmeta() -> None:
    assert checksum_of(DIRMETA) == DIRMETA_NAME
    meta = DirMeta.parse(DIRMETA, label="it")
    assert meta == DirMeta(uid=0, gid=0, mode=0o40755)
    assert meta.encode() == DIRMETA


def test_filez() -> None:
    length = parse_filez_frame(FILEZ[:8], label="it")
    header, size = FileHeader.parse_filez(FILEZ[8 : 8 + length], label="it")
    assert (header, size) == (FileHeader(uid=0, gid=0, mode=0o100644), 2)
    assert header.encode_filez(2) == FILEZ[8 : 8 + length]
    hasher = ContentHasher(header)
    hasher.update(b"hi")
    assert hasher.checksum() == FILE_NAME


def test_commitmeta_of_one_ed25519_signature() -> None:
    signature = bytes(range(64))
    data = b"ostree.sign.ed25519\0" + bytes(4) + signature + b"\x40\0aay\x14\x5e"
    assert len(data) == 95
    found = DetachedMetadata.parse(data, label="it")
    assert found.get_byte_arrays("ostree.sign.ed25519") == (signature,)
    assert found.encode() == data
    made = DetachedMetadata().with_appended("ostree.sign.ed25519", "aay", signature)
    assert made.encode() == data


# --- detached metadata ---------------------------------------------------------------------


def test_detached_keeps_what_it_does_not_know() -> None:
    nonsense = b"\xff nobody can read this"
    before = DetachedMetadata((("z", nonsense), ("ostree.gpgsigs", b"a\x01\0aay")))
    parsed = DetachedMetadata.parse(before.encode(), label="it")
    after = parsed.with_appended("ostree.gpgsigs", "aay", b"b").with_bytes("a", b"x")
    assert after.keys() == ("z", "ostree.gpgsigs", "a")
    assert after.entries[0] == ("z", nonsense)
    again = DetachedMetadata.parse(after.encode(), label="it")
    assert again.get_byte_arrays("ostree.gpgsigs") == (b"a", b"b")
    assert again.get_bytes("a") == b"x"
    assert again.get_bytes("missing") is None
    assert again.get_byte_arrays("missing") == ()
    with pytest.raises(ContentError, match="z: not a canonical v"):
        again.get("z")
    assert again.with_bytes("z", b"").get_bytes("z") == b""
    assert again.without("z").keys() == ("ostree.gpgsigs", "a")


def test_detached_of_another_type_is_not_replaced() -> None:
    metadata = DetachedMetadata().with_value("ostree.gpgsigs", Variant("s", "x"))
    for refused in (
        lambda: metadata.with_appended("ostree.gpgsigs", "aay", b"x"),
        lambda: metadata.get_byte_arrays("ostree.gpgsigs"),
        lambda: metadata.get_bytes("ostree.gpgsigs"),
    ):
        with pytest.raises(ContentError, match="of the type s, expected a"):
            refused()


def test_detached_key_that_is_there_twice() -> None:
    twice = DetachedMetadata((("k", b"1\0y"), ("k", b"2\0y"), ("other", b"3\0y")))
    parsed = DetachedMetadata.parse(twice.encode(), label="it")
    assert parsed.get("other") == Variant("y", 0x33)
    for refused in (lambda: parsed.get("k"), lambda: parsed.with_value("k", Variant("y", 1))):
        with pytest.raises(ContentError, match="2 times"):
            refused()


def test_detached_empty() -> None:
    assert DetachedMetadata.parse(b"", label="it").encode() == b""


# --- each way to be wrong ------------------------------------------------------------------


def dirtree(files: object = (), dirs: object = ()) -> bytes:
    return gvariant.encode("(a(say)a(sayay))", (files, dirs))  # type: ignore[arg-type]  # as given


def header(mode: int = 0o100644, rdev: int = 0, target: str = "", xattrs: object = ()) -> bytes:
    value = (0, 0, swap32(mode), rdev, target, xattrs)
    return gvariant.encode("(uuuusa(ayay))", value)  # type: ignore[arg-type]  # as given


def owner(mode: int, xattrs: object = ()) -> bytes:
    return gvariant.encode("(uuua(ayay))", (0, 0, swap32(mode), xattrs))  # type: ignore[arg-type]


def parse_filez(data: bytes, *, label: str) -> object:
    return FileHeader.parse_filez(data, label=label)


REG, LINK, DIR = 0o100644, 0o120777, 0o40755
A = ("a", SUM)


@pytest.mark.parametrize(
    "encode",
    [
        lambda: DirTree(files=((b"\xff", HEX),)).encode(),
        lambda: FileHeader(uid=0, gid=0, mode=LINK, target=b"\xff").encode(),
        lambda: FileHeader(uid=0, gid=0, mode=LINK, target=b"\xff" * 400).encode(),
        lambda: FileHeader(uid=0, gid=0, mode=LINK, target=b"\xff").encode_filez(0),
    ],
    ids=["name", "short target", "long target", "target in a filez"],
)
def test_what_is_not_utf8_is_not_written(encode: Callable[[], bytes]) -> None:
    with pytest.raises(ContentError) as caught:
        encode()
    assert caught.value.code == "not-utf8"


# --- properties ----------------------------------------------------------------------------

SUMS = st.binary(min_size=32, max_size=32).map(bytes.hex)
IDS = st.integers(0, (1 << 32) - 1)
NAMES = (
    st.one_of(st.text(min_size=1, max_size=6), st.text("xé", min_size=80, max_size=255))
    .filter(lambda t: "\0" not in t and "/" not in t and t not in (".", ".."))
    .map(lambda text: text.encode("utf-8", "replace"))
)
XATTRS = st.dictionaries(
    st.binary(min_size=1, max_size=5).filter(lambda name: b"\0" not in name),
    st.binary(max_size=300),
    max_size=3,
).map(lambda found: tuple(sorted(found.items())))


@st.composite
def trees(draw: st.DrawFn) -> DirTree:
    names = sorted(draw(st.sets(NAMES, max_size=12)))
    kinds = draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names)))
    pairs = list(zip(names, kinds, strict=True))
    return DirTree(
        files=tuple((name, draw(SUMS)) for name, is_file in pairs if is_file),
        dirs=tuple((name, draw(SUMS), draw(SUMS)) for name, is_file in pairs if not is_file),
    )


@st.composite
def headers(draw: st.DrawFn) -> FileHeader:
    target = draw(st.none() | st.integers(1, 300).map(lambda size: "é".encode() * size) | NAMES)
    kind = 0o100000 if target is None else 0o120000
    return FileHeader(
        uid=draw(IDS),
        gid=draw(IDS),
        mode=kind | draw(st.integers(0, 0o7777)),
        target=target,
        xattrs=draw(st.just(()) | XATTRS),
    )


@given(trees())
def test_dirtree_round_trip(tree: DirTree) -> None:
    data = tree.encode()
    assert DirTree.parse(data, label="it") == tree
    assert commit_module._decode(data, "it") == (tree.files, tree.dirs)


@given(trees(), st.randoms(use_true_random=False))
def test_dirtree_fast_path_takes_nothing_else(tree: DirTree, chance: random.Random) -> None:
    data = tree.encode()
    for _ in range(20):
        changed = mutated(data, chance)
        fast = commit_module._scan(changed)
        if fast is not None:
            assert fast == commit_module._decode(changed, "it")
        check(DirTree.parse, changed)


@pytest.mark.parametrize("count", [1, 3, 5, 6, 7, 8, 300, 1850, 1900, 3000])
def test_dirtree_of_any_size(count: int) -> None:
    """Where framing offsets grow, and that the fast path is the one taken."""
    tree = DirTree(
        files=tuple((b"%05d" % number, HEX) for number in range(count)),
        dirs=tuple((b"d%05d" % number, HEX, HEX) for number in range(count)),
    )
    assert commit_module._scan(tree.encode()) == (tree.files, tree.dirs)
    assert DirTree.parse(tree.encode(), label="it") == tree


def test_dirtree_fast_path_wants_narrow_offsets() -> None:
    """Framing offsets of two bytes where one would do, outside and inside."""
    names = [b"%07d" % number for number in range(5)]
    outside = DirTree(files=tuple((name, HEX) for name in (*names, b"999999999"))).encode()
    assert len(outside) == 255
    inside = DirTree(files=tuple((name, HEX) for name in (*names, b"999999"))).encode()
    ends = bytes.fromhex("".join(f"{end:02x}00" for end in inside[-7:-1]))
    for data in (
        outside[:-1] + (254).to_bytes(2, "little"),
        inside[:-7] + ends + (len(inside) + 5).to_bytes(2, "little"),
    ):
        assert commit_module._scan(data) is None
        with pytest.raises(ContentError, match="wider than needed"):
            DirTree.parse(data, label="it")


@pytest.mark.parametrize("size", range(234, 242))
def test_file_header_where_its_offset_grows(size: int) -> None:
    symlink = FileHeader(uid=1, gid=2, mode=LINK, target=b"x" * size)
    assert gvariant.encode("(uuuusa(ayay))", symlink._wire()) == symlink.encode()
    assert FileHeader.parse(symlink.encode(), label="it") == symlink


@given(headers(), st.integers(0, (1 << 64) - 1))
def test_file_header_round_trip(found: FileHeader, size: int) -> None:
    assert FileHeader.parse(found.encode(), label="it") == found
    assert gvariant.encode("(uuuusa(ayay))", found._wire()) == found.encode()
    if found.is_symlink:
        size = 0
    assert FileHeader.parse_filez(found.encode_filez(size), label="it") == (found, size)


@given(IDS, IDS, st.integers(0, 0o7777), XATTRS)
def test_dirmeta_round_trip(
    uid: int, gid: int, bits: int, xattrs: tuple[tuple[bytes, bytes], ...]
) -> None:
    meta = DirMeta(uid=uid, gid=gid, mode=0o40000 | bits, xattrs=xattrs)
    assert DirMeta.parse(meta.encode(), label="it") == meta


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=300)


@given(TEXT, TEXT, st.integers(0, (1 << 64) - 1), st.none() | SUMS, SUMS, SUMS)
def test_commit_round_trip(
    subject: str, body: str, time: int, parent: str | None, tree: str, meta: str
) -> None:
    commit = Commit(
        metadata=Metadata((("k", b"x\0\0s"),), "it, metadata"),
        parent=parent,
        subject=subject,
        body=body,
        timestamp=time,
        root_dirtree=tree,
        root_dirmeta=meta,
    )
    assert Commit.parse(commit.encode(), label="it") == commit


def test_thousands_of_mutations_raise_nothing_else() -> None:
    chance = random.Random(5)
    symlink = FileHeader(uid=1, gid=2, mode=LINK, target=b"x", xattrs=((b"user.a", b"b"),))
    inputs: list[tuple[Callable[..., object], bytes]] = [
        (Commit.parse, COMMIT),
        (DirTree.parse, dirtree([A, ("b", SUM)], [("c", SUM, SUM)])),
        (DirMeta.parse, owner(DIR, [(b"a\0", b"x")])),
        (FileHeader.parse, symlink.encode()),
        (parse_filez, FILEZ[8:34]),
        (DetachedMetadata.parse, b"k\0" + bytes(6) + b"x\0s\x02\x0b"),
    ]
    for parse, data in inputs:
        for _ in range(1500):
            check(parse, mutated(data, chance))


def check(parse: Callable[..., object], data: bytes) -> None:
    """Refused with our error, or read as what gives the same bytes again."""
    try:
        found = parse(data, label="it")
    except ContentError:
        return
    if isinstance(found, tuple):
        assert found[0].encode_filez(found[1]) == data
    else:
        assert found.encode() == data  # type: ignore[attr-defined]  # all that parse returns has it
