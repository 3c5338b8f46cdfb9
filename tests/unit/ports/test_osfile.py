# SPDX-License-Identifier: Apache-2.0
"""Plain files: whole or not at all, within bounds, each errno a named condition."""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from verity.ports import osfile
from verity.ports.osfile import (
    new_directory,
    new_file,
    read_file,
    replace_file,
    translate_oserror,
    write_new_directory,
    write_new_file,
)
from verity.values.errors import HostError


def test_write_new_file(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_new_file(tmp_path / "new", b"data", mode=0o640)
    finally:
        os.umask(old)
    assert (tmp_path / "new").read_bytes() == b"data"
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["new"]


def test_the_mode_is_exact_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o777)
    try:
        write_new_file(tmp_path / "new", b"data", mode=0o644)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o644


@pytest.mark.parametrize("what", ["file", "directory", "dangling"])
def test_nothing_is_overwritten(tmp_path: Path, what: str) -> None:
    path = tmp_path / "there"
    if what == "file":
        path.write_bytes(b"old")
    elif what == "directory":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    with pytest.raises(HostError) as caught:
        write_new_file(path, b"new", mode=0o600)
    assert caught.value.code == "exists"
    assert caught.value.message == f"{path}: exists already and is not overwritten"
    assert os.listdir(tmp_path) == ["there"]
    assert what != "file" or path.read_bytes() == b"old"


@pytest.mark.parametrize("call", ["fsync", "link", "fchmod"])
def test_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*args: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(f"verity.ports.osfile.os.{call}", fail)
    with pytest.raises(HostError) as caught:
        write_new_file(tmp_path / "new", b"data", mode=0o600)
    assert caught.value.code == "no-space"
    assert str(tmp_path / "new") in caught.value.message
    assert isinstance(caught.value.__cause__, OSError)
    assert os.listdir(tmp_path) == []


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a stick: being root helps nothing, and wasn't what was missing."""

    def refuse(*args: object) -> None:
        raise OSError(errno.EPERM, "operation not permitted")

    monkeypatch.setattr("verity.ports.osfile.os.link", refuse)
    with pytest.raises(HostError, match=r"hard links are refused there.*\(FAT\)") as caught:
        write_new_file(tmp_path / "new", b"data", mode=0o600)
    assert caught.value.code == "no-hard-links" and "mkfs.ext4" in (caught.value.hint or "")
    with pytest.raises(HostError, match="hard links"), new_file(tmp_path / "new", mode=0o600):
        pass
    assert os.listdir(tmp_path) == []


def test_a_name_that_could_not_be_made_durable_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, "input/output error")
        real(fd)

    monkeypatch.setattr("verity.ports.osfile.os.fsync", fsync)
    with pytest.raises(HostError) as caught:
        write_new_file(tmp_path / "new", b"data", mode=0o600)
    assert caught.value.code == "damaged"
    assert os.listdir(tmp_path) == []


def test_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        write_new_file(tmp_path / "no/new", b"data", mode=0o600)
    assert caught.value.code == "not-found"
    assert os.listdir(tmp_path) == []


def failing_sync(monkeypatch: pytest.MonkeyPatch, *, when: Callable[[int], bool]) -> None:
    """fsync that fails with ENOSPC on the descriptors that ``when`` picks."""
    real = os.fsync

    def fsync(fd: int) -> None:
        if when(fd):
            raise OSError(errno.ENOSPC, "no space")
        real(fd)

    monkeypatch.setattr("verity.ports.osfile.os.fsync", fsync)


def test_replace_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"first", b"second"):
        replace_file(path, data, mode=0o640)
        assert path.read_bytes() == data
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert os.listdir(tmp_path) == ["file"]


def test_what_can_not_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    failing_sync(monkeypatch, when=lambda fd: True)
    with pytest.raises(HostError) as caught:
        replace_file(path, b"new", mode=0o640)
    assert caught.value.code == "no-space"
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_directory_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    with pytest.raises(HostError) as caught:
        replace_file(tmp_path / "dir", b"new", mode=0o640)
    assert caught.value.code == "is-directory"
    assert os.listdir(tmp_path) == ["dir"]


FILES = {"one": b"1", "two": b""}


@pytest.mark.parametrize(("mode", "directory_mode"), [(0o644, 0o755), (0o600, 0o700)])
def test_write_new_directory(tmp_path: Path, mode: int, directory_mode: int) -> None:
    path = tmp_path / "dir"
    write_new_directory(path, FILES, mode=mode)
    assert {name: (path / name).read_bytes() for name in os.listdir(path)} == FILES
    assert stat.S_IMODE(path.stat().st_mode) == directory_mode
    assert {stat.S_IMODE((path / name).stat().st_mode) for name in FILES} == {mode}
    assert os.listdir(tmp_path) == ["dir"]


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda p: p.symlink_to("nowhere")])
def test_a_directory_overwrites_nothing(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "taken")
    with pytest.raises(HostError) as caught:
        write_new_directory(tmp_path / "taken", FILES, mode=0o644)
    assert caught.value.code == "exists"
    assert os.listdir(tmp_path) == ["taken"]


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_a_directory_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Two files, the directory, its parent: whichever can't be made durable, nothing is left."""
    calls: list[int] = []

    def is_that_one(fd: int) -> bool:
        calls.append(fd)
        return len(calls) == failing

    failing_sync(monkeypatch, when=is_that_one)
    with pytest.raises(HostError) as caught:
        write_new_directory(tmp_path / "dir", FILES, mode=0o644)
    assert caught.value.code == "no-space"
    assert os.listdir(tmp_path) == []


def fill(directory: Path) -> None:
    (directory / "below").mkdir()
    write_new_file(directory / "below/file", b"data", mode=0o600)


def test_new_directory(tmp_path: Path) -> None:
    with new_directory(tmp_path / "dir") as there:
        fill(there)
        assert not (tmp_path / "dir").exists()
    assert (tmp_path / "dir/below/file").read_bytes() == b"data"
    assert os.listdir(tmp_path) == ["dir"]


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda p: p.symlink_to("nowhere")])
def test_a_new_directory_overwrites_nothing(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "taken")
    with pytest.raises(HostError) as caught, new_directory(tmp_path / "taken"):
        pytest.fail("nothing to fill")
    assert caught.value.code == "exists"
    assert os.listdir(tmp_path) == ["taken"]


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt(), ValueError()])
def test_a_new_directory_is_there_whole_or_not_at_all(tmp_path: Path, error: BaseException) -> None:
    expected = HostError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), new_directory(tmp_path / "dir") as there:
        fill(there)
        raise error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("failing", [1, 2])
def test_a_new_directory_that_is_not_durable_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Itself, its parent: whichever can't be made durable, nothing is left."""
    calls: list[int] = []

    def is_that_one(fd: int) -> bool:
        calls.append(fd)
        return len(calls) == failing

    failing_sync(monkeypatch, when=is_that_one)
    with pytest.raises(HostError) as caught, new_directory(tmp_path / "dir") as there:
        (there / "file").write_text("")
    assert caught.value.code == "no-space"
    assert os.listdir(tmp_path) == []


def test_read_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_file(path, max_size=5) == b"12345"
    with pytest.raises(HostError, match="more than 4 bytes") as caught:
        read_file(path, max_size=4)
    assert caught.value.code == "too-large"


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert osfile.read_if_there(tmp_path / "missing", max_size=9) is None
    (tmp_path / "there").write_bytes(b"data")
    assert osfile.read_if_there(tmp_path / "there", max_size=9) == b"data"
    with pytest.raises(HostError) as caught:
        osfile.read_if_there(tmp_path, max_size=9)
    assert caught.value.code != "not-found"


def test_the_mode_is_that_of_what_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"secret")
    path.chmod(0o604)
    seen: list[int] = []
    assert read_file(path, max_size=10, see_mode=seen.append) == b"secret"
    assert [stat.S_IMODE(mode) for mode in seen] == [0o604]


def test_a_fifo_neither_blocks_nor_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(HostError) as caught:
        read_file(tmp_path / "fifo", max_size=10)
    assert caught.value.code == "not-a-file"


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        read_file(tmp_path, max_size=10)
    assert caught.value.code in ("not-a-file", "is-directory")


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for name in ("none", "."):
        with pytest.raises(HostError):
            read_file(tmp_path / name, max_size=1)
    write_new_file(tmp_path / "new", b"", mode=0o600)
    with pytest.raises(HostError):
        write_new_file(tmp_path / "new", b"", mode=0o600)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOENT, "not-found"),
        (errno.EACCES, "no-permission"),
        (errno.EPERM, "no-permission"),
        (errno.ELOOP, "is-symlink"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "damaged"),
        (errno.EMFILE, "os-error"),
    ],
)
def test_conditions(number: int, code: str) -> None:
    error = translate_oserror(OSError(number, os.strerror(number)), "thing")
    assert error.code == code
    assert error.message.startswith("thing: ")
    assert error.message == error.message.lower()
    assert error.hint or code == "os-error"


def test_a_lock_that_is_held_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osfile, "_LOCK_ATTEMPTS", 3)
    (tmp_path / "f").touch()
    with (tmp_path / "f").open() as holder, (tmp_path / "f").open() as other:
        fcntl.flock(holder, fcntl.LOCK_SH)  # as whoever may read it can
        with pytest.raises(HostError, match="f: another process has held its lock") as caught:
            osfile.lock(other.fileno(), label=str(tmp_path / "f"))
        assert caught.value.code == "locked"
        fcntl.flock(holder, fcntl.LOCK_UN)
        osfile.lock(other.fileno(), label="f")
        with pytest.raises(BlockingIOError):
            fcntl.flock(holder, fcntl.LOCK_SH | fcntl.LOCK_NB)


@pytest.mark.parametrize("write", [write_new_file, replace_file])
def test_nobody_can_be_in_the_way_by_guessing_the_name(
    tmp_path: Path, write: Callable[..., None]
) -> None:
    """In a directory that others may write to, such as /tmp."""
    (tmp_path / f".new.{os.getpid()}.tmp").write_text("planted")
    write(tmp_path / "new", b"data", mode=0o644)
    assert (tmp_path / "new").read_bytes() == b"data"
