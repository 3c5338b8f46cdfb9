# SPDX-License-Identifier: Apache-2.0
"""Reading a file for its digest: what is refused, and that nothing half-read is a digest."""

import os
import socket
import stat
from pathlib import Path

import pytest

from verity.formats.fsverity import digest_bytes
from verity.ports import content, hashing, kernel
from verity.values.digest import HashAlgorithm, VerityParams
from verity.values.errors import CallerError, ContentError, HostError, VerityError


def test_digest_of_fd_and_path(tmp_path: Path) -> None:
    data = os.urandom(3_000_001)
    file = tmp_path / "file"
    file.write_bytes(data)
    params = VerityParams(algorithm=HashAlgorithm.SHA512, block_size=1024, salt=b"s")
    with file.open("rb") as opened:
        opened.seek(7)
        assert content.digest_fd(opened.fileno(), label="f") == digest_bytes(data)
        assert opened.tell() == 7
    assert content.digest_path(file, params) == digest_bytes(data, params)


def test_below_a_directory_descriptor(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert content.digest_path("file", dir_fd=fd) == digest_bytes(b"x")
    finally:
        os.close(fd)


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """One of everything that is no regular file."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("nothing")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    (tmp_path / "device").symlink_to("/dev/null")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "family", "code", "says"),
    [
        ("directory", CallerError, "not-a-regular-file", "is a directory, expected a regular"),
        ("link", CallerError, "not-a-regular-file", "it is a symbolic link"),
        ("dangling", CallerError, "not-a-regular-file", "it is a symbolic link"),
        ("fifo", CallerError, "not-a-regular-file", "is a fifo, expected a regular file"),
        ("socket", CallerError, "not-a-regular-file", "it is a socket"),
        ("/dev/null", CallerError, "not-a-regular-file", "is a character device"),
        ("nothing", HostError, "not-found", "it does not exist"),
        ("target/below", HostError, "not-found", "not a directory"),
        ("n" * 300, CallerError, "bad-path", "too long"),
        ("nul\0", CallerError, "bad-path", "holds no NUL"),
    ],
)
def test_refused(zoo: Path, name: str, family: type[VerityError], code: str, says: str) -> None:
    open_before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(family) as caught:
        content.digest_path(zoo / name)
    assert caught.value.code == code
    assert says in caught.value.message
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_unreadable(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    fd = os.open(file, os.O_WRONLY)
    try:
        with pytest.raises(CallerError) as caught:
            content.digest_fd(fd, label="f")
    finally:
        os.close(fd)
    assert caught.value.code == "bad-descriptor"


def test_closed_descriptor() -> None:
    with pytest.raises(CallerError) as caught:
        content.digest_fd(999_999, label="f")
    assert caught.value.code == "bad-descriptor"


@pytest.fixture
def no_libcrypto(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a host without it: hashlib does the hashing."""
    monkeypatch.setattr(kernel, "hash_file", lambda *args, **kwargs: None)
    monkeypatch.setattr(hashing, "digest_fd", lambda *args, **kwargs: None)


def alter(file: Path, change: str) -> None:
    if change == "grow":
        with file.open("ab") as out:
            out.write(b"more")
    elif change == "shrink":
        os.truncate(file, 1 << 20)
    elif change == "rewrite":
        with file.open("r+b") as out:
            out.write(b"other")
    elif change == "replace":
        file.with_name("new").write_bytes(bytes(3 << 20))
        os.rename(file.with_name("new"), file)
    else:
        os.utime(file, ns=(1, 2))


CHANGES = ["grow", "shrink", "rewrite", "touch", "replace"]


@pytest.mark.parametrize("change", CHANGES)
def test_changes_while_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(3 << 20))
    os.utime(file, ns=(1, 1))
    real = kernel.hash_file

    def hash_file(fd: int, params: VerityParams, *, limit: int, label: str) -> object:
        alter(file, change)
        return real(fd, params, limit=limit, label=label)

    monkeypatch.setattr(kernel, "hash_file", hash_file)
    with pytest.raises(ContentError, match="changed while it was read") as caught:
        content.digest_path(file)
    assert caught.value.code == "changed-while-read"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.usefixtures("no_libcrypto")
def test_changes_while_reading_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(3 << 20))
    os.utime(file, ns=(1, 1))
    real = os.preadv
    calls = 0

    def preadv(fd: int, buffers: list[bytearray], offset: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            alter(file, change)
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(ContentError, match="changed while it was read") as caught:
        content.digest_path(file)
    assert caught.value.code == "changed-while-read"


@pytest.mark.usefixtures("no_libcrypto")
def test_a_file_that_grows_for_ever_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: len(buffers[0]))
    with pytest.raises(ContentError) as caught:
        content.digest_path(file)
    assert caught.value.code == "changed-while-read"


def test_files_whose_size_is_a_lie() -> None:
    assert stat.S_ISREG(os.stat("/proc/version").st_mode)
    with pytest.raises(ContentError, match="0 bytes before"):
        content.digest_path("/proc/version")


@pytest.mark.usefixtures("no_libcrypto")
def test_read_errors_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")

    def preadv(fd: int, buffers: list[bytearray], offset: int) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(HostError, match="cannot read") as caught:
        content.digest_path(file)
    assert caught.value.code == "io-error"


def test_awkward_names(tmp_path: Path) -> None:
    name = os.fsdecode(b"new\nline \xff")
    (tmp_path / name).mkdir()
    with pytest.raises(CallerError) as caught:
        content.digest_path(tmp_path / name)
    assert caught.value.message.isprintable()
    assert r"new\x0aline \xff" in caught.value.message
