# SPDX-License-Identifier: Apache-2.0
"""A manifest's lines in C: the same manifests as in Python, and what of a tree comes back."""

import errno
import os
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verity.formats import dump
from verity.formats.dump import Entry
from verity.ports import tree
from verity.ports.signed_tree import Lines, Record, SignedTree, State, What, is_canonical
from verity.ports.tree import Node, Tree
from verity.values.errors import ContentError, HostError

ROOT = "/ 0 40755 1 0 0 0 0.0 - - -\n"
D = "a" * 64


def file_line(path: str, rest: str = "") -> str:
    return f"{path} 3 100644 1 0 0 0 0.0 - - {D}{rest}\n"


# --- what is canonical -------------------------------------------------------------------------

LINES = [
    *(file_line(path) for path in ("/a", "/a/b", "/a-b", "/d/f", "/d/..", "/.f", "//", "/x\\x20")),
    "/d 0 40755 1 0 0 0 0.0 - - -\n",
    "/d/e 0 40755 1 0 0 0 0.0 - - -\n",
    file_line("/d/e/f"),
    "/d/l 1 120777 1 0 0 0 0.0 a - -\n",
    "/d/m 1 120777 1 0 0 0 0.0 \\x2d - -\n",
    "/d/n 2 120777 1 0 0 0 0.0 \\x2da - -\n",
    "/d/o 4 120777 1 0 0 0 0.0 a\\x20\\xffb - -\n",
    "/c 0 20600 1 0 0 5 0.0 - - -\n",
    "/p 0 10600 1 0 0 5 0.0 - - -\n",
    "/s 1 140600 1 0 0 0 0.0 - - -\n",
    file_line("/e", " user.a=1"),
    file_line("/e1", " user.=1"),
    file_line("/e2", " security.capability=\\x01\\x00 system.posix_acl_access=x user.b="),
    file_line("/e3", " user.a=1 user.a=1"),
    file_line("/e4", " user.b=1 user.a=1"),
    file_line("/e5", " user.a\\x3d=1= user.aa=\\x3d"),
    file_line("/e6", " user.ostreemeta=1"),
    file_line("/e7", " trusted.a=1"),
    file_line("/e8", " user.a\\x3d=1 user.ab=-"),
    file_line("/e9", " user.a"),
    file_line("/g").replace(" 0 0 0 0.0", " 4294967295 9999999999 0 0.0"),
    file_line("/g1").replace(" 0 0 0 0.0", " 4294967295 0 0 0.0"),
    file_line("/g2").replace(" 0 0 0 0.0", " 4294967296 0 0 0.0"),
    file_line("/h").replace(" 3 ", " 9223372036854775807 "),
    file_line("/h1").replace(" 3 ", " 9223372036854775808 "),
    file_line("/h2").replace(" 3 ", " 99999999999999999999 "),
    file_line("/h3").replace(" 3 ", " 03 "),
    file_line("/i").replace("100644", "0100644"),
    file_line("/i1").replace("100644", "160644"),
    file_line("/i2").replace("100644", "300644"),
    file_line("/j").replace(D, D[1:]),
    file_line("/j1").replace(D, "A" * 64),
    "\n",
]


def read(data: bytes) -> bool:
    try:
        dump.parse(data)
    except ContentError:
        return False
    return True


@pytest.mark.parametrize("line", LINES)
def test_each_line_is_judged_as_in_python(line: str) -> None:
    """Below directories that are there, so that the line alone decides."""
    text = "".join(sorted({ROOT, "/d 0 40755 1 0 0 0 0.0 - - -\n", LINES[9], line}))
    assert is_canonical(text.encode()) == read(text.encode())


def test_there_are_lines_of_both_kinds() -> None:
    judged = [read((ROOT + line).encode()) for line in LINES]
    assert sum(judged) > 8 and judged.count(False) > 8


@settings(max_examples=400)
@given(st.data())
def test_the_same_manifests_as_in_python(data: st.DataObject) -> None:
    lines = data.draw(st.lists(st.sampled_from([ROOT, *LINES]), max_size=7))
    if data.draw(st.booleans()):
        lines = sorted({ROOT, *lines})
    text = bytearray("".join(lines).encode() or ROOT.encode())
    for _ in range(data.draw(st.integers(0, 2))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(
            st.sampled_from(b"/ .-0123456789\\\n=aA\xff\0") | st.integers(0, 255)
        )
    assert is_canonical(bytes(text)) == read(bytes(text))


@pytest.mark.parametrize("data", [b"", b"\n", ROOT.encode()[:-1], ROOT.encode() + b"\n"])
def test_no_manifest(data: bytes) -> None:
    assert not is_canonical(data)
    with pytest.raises(ValueError, match=os.strerror(errno.EBADMSG)):
        Lines(data)


@pytest.mark.parametrize("over", [0, 1])
def test_the_longest_line_and_path(over: int) -> None:
    line = ROOT[:-1] + " user.a=" + "v" * (65536 + over - len(ROOT) + 1 - len(" user.a="))
    assert is_canonical(line.encode() + b"\n") is (over == 0) is read(line.encode() + b"\n")
    path, text = "", ROOT
    for _ in range(15):
        path += "/" + "d" * 255
        text += f"{path} 0 40755 1 0 0 0 0.0 - - -\n"
    text += file_line(path + "/" + "\\xff" * (254 + over))
    assert is_canonical(text.encode()) is (over == 0) is read(text.encode())


def test_lines_are_found_by_their_escaped_path() -> None:
    lines = Lines("".join(sorted([ROOT, file_line("/a"), file_line("/a\\x20b")])).encode())
    assert lines.count == 3
    assert [lines.find(path) for path in (b"/", b"/a", b"/a\\x20b")] == [0, 1, 2]
    assert [lines.find(path) for path in (b"", b"/a b", b"/a\\x20", b"/b")] == [None] * 4
    assert lines.text(2) == file_line("/a\\x20b").encode()[:-1]


# --- trees -------------------------------------------------------------------------------------


def manifest(root: Path) -> bytes:
    with Tree(root) as opened:
        items = list(opened.walk(tree.hashed))
    return dump.serialise([item.entry for item in items if isinstance(item, Node)])


def walk(
    root: Path, data: bytes, *, state: tuple[bytes, ...] = (), granted: tuple[bytes, ...] = ()
) -> tuple[dict[bytes, Record], SignedTree]:
    with SignedTree(root, Lines(data), state=state, granted=granted, threads=3) as walked:
        records = [record for some in walked.records() for record in some]
    found = {record.path: record for record in records}
    assert len(found) == len(records)
    return found, walked


def differing(root: Path, data: bytes) -> dict[bytes, What]:
    """All but what has no fs-verity, which on this host is everything."""
    found, _ = walk(root, data)
    return {path: one.what for path, one in found.items() if one.what is not What.NO_VERITY}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    (path / "dir/sub").mkdir(parents=True)
    (path / "dir/sub/file").write_bytes(b"data" * 5000)
    (path / "dir/empty").touch()
    (path / "dir/-").symlink_to("-")
    (path / "a\nb\\c d").write_text("x")
    os.mkfifo(path / "fifo")
    (path / "link").symlink_to("no such\nplace")
    os.setxattr(path / "dir/empty", "user.b", b"\xff \0")
    os.setxattr(path / "dir/empty", "user.a=", b"")
    os.setxattr(path / "dir", "user.dir", b"1")
    with socket.socket(socket.AF_UNIX) as unix:
        here = os.getcwd()
        os.chdir(path)
        unix.bind("socket")
        os.chdir(here)
    return path


def test_a_tree_with_one_of_everything(root: Path) -> None:
    data = manifest(root)
    found, walked = walk(root, data)
    assert {one.what for one in found.values()} == {What.NO_VERITY}
    assert set(found) == {b"/a\nb\\c d", b"/dir/empty", b"/dir/sub/file"}
    assert walked.states.count(State.BY_HASH) == 3
    assert walked.states.count(State.AS_SIGNED) == walked.lines.count - 3


def changes(root: Path) -> None:
    (root / "dir/sub/file").write_bytes(b"Data" * 5000)
    (root / "dir/empty").chmod(0o600)
    (root / "link").unlink()
    (root / "link").symlink_to("no such\nplacE")
    os.setxattr(root / "dir", "user.dir", b"2")
    (root / "a\nb\\c d").unlink()
    (root / "a\nb\\c d").mkdir()
    (root / "fifo").unlink()
    (root / "new\n").touch()
    (root / "dir/sub/new").mkdir()


def test_each_change_wants_a_closer_look_and_nothing_else_does(root: Path) -> None:
    data = manifest(root)
    changes(root)
    found, walked = walk(root, data)
    assert {path for path, one in found.items() if one.what is What.CLOSER} == {
        b"/dir/sub/file",
        b"/dir/empty",
        b"/link",
        b"/dir",
        b"/a\nb\\c d",
        b"/new\n",
        b"/dir/sub/new",
    }
    assert [path for path, one in found.items() if one.line is None] == [b"/new\n", b"/dir/sub/new"]
    assert [walked.lines.text(at).split()[0] for at in range(walked.lines.count)
            if walked.states[at] == State.UNSEEN] == [b"/fifo"]  # fmt: skip


def test_nothing_is_followed_out_of_the_tree(root: Path, tmp_path: Path) -> None:
    data = manifest(root)
    os.rename(root / "dir", tmp_path / "elsewhere")
    (root / "dir").symlink_to("../elsewhere")
    found, walked = walk(root, data)
    assert found[b"/dir"].what is What.CLOSER
    assert not any(path.startswith(b"/dir/") for path in found)
    assert walked.states[walked.lines.find(b"/dir/sub/file") or 0] == State.UNSEEN


def test_state_is_passed_by_but_for_what_is_signed(root: Path) -> None:
    data = manifest(root)
    (root / "dir/sub/new").mkdir()
    (root / "dir/sub/new/file").touch()
    (root / "dir/new").touch()
    (root / "direction").touch()
    (root / "dir/empty").chmod(0o600)
    found, walked = walk(root, data, state=(b"/dir",))
    assert {path for path, one in found.items() if one.what is What.CLOSER} == {
        b"/dir/empty",
        b"/direction",
    }
    assert walked.passed == 2


@pytest.mark.parametrize(("room", "names"), [(150_000, 1 << 20), (1 << 20, 100)])
def test_more_than_fits_into_one_step(
    root: Path, monkeypatch: pytest.MonkeyPatch, room: int, names: int
) -> None:
    data = manifest(root)
    for number in range(3000):
        (root / "dir/sub" / f"{number:0200}").touch()
    monkeypatch.setattr("verity.ports.signed_tree._ROOM", room)
    monkeypatch.setattr("verity.ports.signed_tree._STEP", names)
    found, _ = walk(root, data)
    assert sum(one.line is None for one in found.values()) == 3000


def test_a_path_longer_than_any_in_a_manifest(root: Path) -> None:
    data = manifest(root)
    here = os.open(root, os.O_PATH)
    for _ in range(18):
        os.mkdir("d" * 250, dir_fd=here)
        deeper = os.open("d" * 250, os.O_PATH, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    found, _ = walk(root, data)
    (unopened,) = (one for one in found.values() if one.what is What.UNOPENED)
    assert unopened.error == errno.ENAMETOOLONG
    assert sum(one.what is What.CLOSER for one in found.values()) == 16


def test_a_tree_that_changes_all_the_time(root: Path) -> None:
    """Whatever comes and goes, there is an end, and what stays is as signed."""
    data = manifest(root)
    stop = threading.Event()

    def trouble() -> None:
        while not stop.is_set():
            (root / "coming").mkdir()
            (root / "coming/file").touch()
            (root / "coming/file").rename(root / "coming/going")
            (root / "coming/going").unlink()
            (root / "coming").rmdir()

    thread = threading.Thread(target=trouble)
    thread.start()
    try:
        for _ in range(50):
            found = differing(root, data)
            assert all(path.startswith(b"/coming") or path == b"/" for path in found)
    finally:
        stop.set()
        thread.join()


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        SignedTree(tmp_path / "no", Lines(ROOT.encode()), threads=1)
    assert caught.value.code == "not-found"


def test_an_entry_of_a_line() -> None:
    entry = Entry(path=b"/a b", mode=0o100644, uid=1, gid=2, size=3, digest=bytes(32))
    assert dump.entry_of_line(dump.line(entry)[:-1]) == entry
    with pytest.raises(ValueError, match="not a canonical line"):
        dump.entry_of_line(b"x")
