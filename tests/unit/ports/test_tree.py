# SPDX-License-Identifier: Apache-2.0
"""The walk by descriptor: what it sees, what it doesn't follow, what it calls a gap."""

import os
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from verity.formats.dump import Entry, printable
from verity.formats.fsverity import digest_bytes
from verity.ports import tree
from verity.ports.tree import Gap, Node, Tree
from verity.values.errors import CallerError, ContentError, HostError

# In CI nothing is skipped: there it runs, and fails if the tests aren't started as root.
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"), reason="needs root: mounts, device files"
)


def walk(root: Path, digester: tree.Digester = tree.hashed) -> dict[bytes, Node | Gap]:
    with Tree(root) as opened:
        found = list(opened.walk(digester))
    paths = [item.path for item in found]
    assert len(set(paths)) == len(paths)
    return dict(zip(paths, found, strict=True))


def entry(item: Node | Gap) -> Entry:
    assert isinstance(item, Node)
    return item.entry


def test_kinds(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/empty").touch()
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "loop").symlink_to(".")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        found = walk(tmp_path)
    assert set(found) == {
        *(b"/", b"/file", b"/dir", b"/dir/empty", b"/link", b"/loop", b"/fifo", b"/socket")
    }
    assert entry(found[b"/file"]).digest == digest_bytes(b"data").value
    assert entry(found[b"/file"]).size == 4
    assert entry(found[b"/dir/empty"]).digest == digest_bytes(b"").value
    assert entry(found[b"/link"]).target == b"/etc/passwd"
    assert entry(found[b"/link"]).size == len("/etc/passwd")
    assert stat.S_ISFIFO(entry(found[b"/fifo"]).mode)
    assert stat.S_ISSOCK(entry(found[b"/socket"]).mode)
    assert entry(found[b"/dir"]).size == 0


def test_order_and_parents_first(tmp_path: Path) -> None:
    for name in ("b", "a", "a-b", "B"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    paths = list(walk(tmp_path))
    assert paths[0] == b"/"
    assert paths[1::2] == [b"/B", b"/a", b"/a-b", b"/b"]
    assert paths[2::2] == [b"/B/x", b"/a/x", b"/a-b/x", b"/b/x"]


def test_names_of_any_bytes(tmp_path: Path) -> None:
    names = [b"caf\xe9", b"new\nline", b" ", b"-", b"\\x00", "ünï".encode(), b"\xff" * 200]
    for name in names:
        with open(os.fsencode(tmp_path) + b"/" + name, "wb"):
            pass
    assert set(walk(tmp_path)) == {b"/"} | {b"/" + name for name in names}


def test_xattrs_that_count(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    for name, value in (("user.b", b"2"), ("user.a", b"\0"), ("user.ostreemeta", b"x")):
        os.setxattr(path, name, value)
    found = entry(walk(tmp_path)[b"/file"])
    assert found.xattrs == ((b"user.a", b"\0"), (b"user.b", b"2"))
    os.setxattr(tmp_path, "user.root", b"r")
    assert entry(walk(tmp_path)[b"/"]).xattrs == ((b"user.root", b"r"),)


@needs_root
def test_xattrs_of_a_symlink_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.setxattr(tmp_path / "file", "user.a", b"of the file")
    (tmp_path / "link").symlink_to("file")
    assert entry(walk(tmp_path)[b"/link"]).xattrs == ()


@needs_root
def test_devices(tmp_path: Path) -> None:
    os.mknod(tmp_path / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    found = walk(tmp_path)[b"/null"]
    assert entry(found).rdev == os.makedev(1, 3)
    assert isinstance(found, Node) and found.contents is None


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "other").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "other"], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", tmp_path / "other"], check=True)


@needs_root
def test_another_file_system_is_a_gap(mounted: Path) -> None:
    (mounted / "other/secret").write_bytes(b"x")
    (mounted / "zzz").touch()
    found = walk(mounted)
    assert set(found) == {b"/", b"/other", b"/zzz"}
    assert found[b"/other"] == Gap(
        path=b"/other", why="another file system is mounted here", hint="walk it by itself"
    )


@needs_root
def test_a_bind_mount_of_a_file_is_a_gap(tmp_path: Path, mounted: Path) -> None:
    (mounted / "other/file").write_bytes(b"x")
    (tmp_path / "bound").touch()
    subprocess.run(["mount", "--bind", mounted / "other/file", tmp_path / "bound"], check=True)
    try:
        assert isinstance(walk(tmp_path)[b"/bound"], Gap)
    finally:
        subprocess.run(["umount", tmp_path / "bound"], check=True)


def forbid(monkeypatch: pytest.MonkeyPatch, wanted: Callable[[object, int], bool]) -> None:
    real = os.open

    def refuse(
        path: str | bytes, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        if wanted(path, flags):
            raise PermissionError(13, "Permission denied")
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr("verity.ports.tree.os.open", refuse)


@pytest.mark.parametrize("name", ["dir", "file"])
def test_what_cannot_be_opened_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/inner").touch()
    (tmp_path / "file").touch()
    (tmp_path / "zzz").touch()
    forbid(monkeypatch, lambda path, flags: path == name.encode())
    found = walk(tmp_path)
    gap = found[b"/" + name.encode()]
    assert isinstance(gap, Gap)
    assert gap.why == "permission denied"
    assert gap.hint
    assert b"/zzz" in found
    assert (b"/dir/inner" in found) == (name == "file")


def test_a_file_that_the_digester_refuses_is_a_gap(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()

    def digester(fd: int, path: bytes) -> tree.Contents:
        if path == b"/a":
            raise ContentError("changed-while-read", "/a: it changed", hint="again")
        return tree.hashed(fd, path)

    found = walk(tmp_path, digester)
    assert found[b"/a"] == Gap(path=b"/a", why="it changed", hint="again")
    assert isinstance(found[b"/b"], Node)


def test_a_root_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("none", "file"):
        with pytest.raises(HostError) as caught:
            Tree(tmp_path / name)
        assert caught.value.code == "not-found"


def test_one_path(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/file").write_bytes(b"data")
    (tmp_path / "dir/link").symlink_to("file")
    everything = walk(tmp_path)
    with Tree(tmp_path) as opened:
        for path, item in everything.items():
            assert opened.read(path, tree.hashed) == item
        fd = opened.open(b"/dir/file")
        assert os.read(fd, 10) == b"data"
        os.close(fd)
        with pytest.raises(HostError) as caught:
            opened.read(b"/dir/none", tree.hashed)
        assert caught.value.code == "not-found"
        assert "/dir/none" in caught.value.message


def test_no_symlink_on_the_way_is_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "way").symlink_to("../outside")
    (root / "file").symlink_to("../outside/file")
    with Tree(root) as opened:
        with pytest.raises(HostError):
            opened.read(b"/way/file", tree.hashed)
        with pytest.raises(HostError):
            opened.open(b"/way/file")
        with pytest.raises((HostError, CallerError)):
            opened.open(b"/file")


def test_descriptors_are_closed(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/b/c/file").touch()
    before = len(os.listdir("/proc/self/fd"))
    walk(tmp_path)
    with Tree(tmp_path) as opened:
        opened.read(b"/a/b/c/file", tree.hashed)
        with pytest.raises(HostError):
            opened.read(b"/a/none/file", tree.hashed)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_tree_deeper_than_the_recursion_limit(tmp_path: Path) -> None:
    """Nobody who can make directories may stop an audit."""
    deep = 1200
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(deep):
            os.mkdir("d")
            os.chdir("d")
        os.chdir(tmp_path)
        found = walk(tmp_path)
        assert found
        assert b"/d" in found
        assert len(found) == deep + 1 or any(isinstance(item, Gap) for item in found.values())
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


def test_hashed_gives_the_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"#!/bin/sh\n")
    item = walk(tmp_path)[b"/file"]
    assert isinstance(item, Node) and item.contents is not None
    assert item.contents.head.startswith(b"#!")
    assert not item.contents.by_kernel
    measured = walk(tmp_path, tree.measured)[b"/file"]
    assert isinstance(measured, Node) and measured.contents is not None
    assert measured.contents.digest == item.contents.digest


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "\udcff"])
def test_an_error_escapes_a_name_once(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    path = os.fsencode(f"/{name}")
    with Tree(tmp_path) as opened, pytest.raises(CallerError) as caught:
        opened.open(path)
    assert f"/{printable(path[1:])}" in caught.value.message
