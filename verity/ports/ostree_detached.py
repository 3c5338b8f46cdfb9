# SPDX-License-Identifier: Apache-2.0
"""Detached metadata of a commit, written: old or new, never between.

1. Take the repository's lock, the one that stock ostree takes: an open file description lock
   on ``.lock``, here an exclusive one, as for pruning. Commits and pulls that are under way
   hold a shared one, so this waits for them, and they for this.
2. Compare what is there with what the caller read: anything else is refused.
3. Write a file in ``tmp``, of the same file system, and sync it.
4. Rename it into place, or link it if nothing was there, and sync the directory.

A crash leaves the old or the new metadata, and at most a file in ``tmp`` that the next write for
this commit replaces and that ostree tidies up. What is not prevented: `ostree sign` and
`ostree gpg-sign` take no lock at all, so one that runs between 2 and 4 on a commit that has
metadata already can lose its signature, or ours. If it had none, the link fails instead.
"""

import contextlib
import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator

from verity.formats.commitmeta import DetachedMetadata
from verity.formats.gvariant import MAX_SIZE
from verity.ports.osfile import closing
from verity.ports.ostree_objects import ObjectStore, translated
from verity.values.errors import ContentError, HostError

KIND = "commitmeta"

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux
_ATTEMPTS = 300
_PAUSE = 0.1


def read(store: ObjectStore, checksum: str) -> DetachedMetadata:
    """The detached metadata of a commit; empty if there is none."""
    return DetachedMetadata.parse(
        _read_bytes(store, checksum) or b"", label=store.object_label(checksum, KIND)
    )


def write(
    repository_fd: int,
    store: ObjectStore,
    checksum: str,
    new: DetachedMetadata,
    *,
    expected: DetachedMetadata,
) -> None:
    """Replace ``expected`` by ``new``, durably; nothing to write removes the file."""
    label = store.object_label(checksum, KIND)
    data = new.encode()
    if len(data) > MAX_SIZE:
        raise ContentError(
            "too-large", f"{label}: {len(data)} bytes, at most {MAX_SIZE} are allowed"
        )
    # 1. Lock.
    with _locked(repository_fd, store.label):
        # 2. Compare.
        before = _read_bytes(store, checksum)
        if (before or b"") != expected.encode():
            raise _changed(label)
        with translated(label):
            directory = store.directory(checksum)
            name = f"{checksum[2:]}.{KIND}"
            if not data:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=directory)
                os.fsync(directory)
                return
            with closing(_open_directory("tmp", repository_fd)) as tmp:
                # 3. Write.
                temporary = f"verity-{checksum}.{KIND}"
                _write_new(tmp, temporary, data)
                # 4. Put in place.
                try:
                    _put(tmp, temporary, directory, name, replace=before is not None)
                except FileExistsError as error:
                    raise _changed(label) from error
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(temporary, dir_fd=tmp)
                os.fsync(directory)


def _read_bytes(store: ObjectStore, checksum: str) -> bytes | None:
    try:
        return store.read_unnamed(checksum, KIND)
    except HostError as error:
        if error.code == "no-such-object":
            return None
        raise


def _write_new(tmp: int, name: str, data: bytes) -> None:
    # The lock is ours, so whatever has this name was left by a crash.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=tmp)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(name, flags, 0o644, dir_fd=tmp), "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=tmp)
        raise


def _put(tmp: int, temporary: str, directory: int, name: str, *, replace: bool) -> None:
    if replace:
        os.rename(temporary, name, src_dir_fd=tmp, dst_dir_fd=directory)
    else:
        # Unlike rename, it fails if the name was taken meanwhile.
        os.link(temporary, name, src_dir_fd=tmp, dst_dir_fd=directory)


@contextlib.contextmanager
def _locked(repository_fd: int, label: str) -> Iterator[None]:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with translated(f"{label}/.lock"):
        fd = os.open(".lock", flags, 0o660, dir_fd=repository_fd)
    with closing(fd):
        _lock(fd, f"{label}/.lock")
        yield  # the lock goes with the descriptor


def _lock(fd: int, label: str) -> None:
    wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    for _ in range(_ATTEMPTS):
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                with translated(label):
                    raise
        else:
            return
        time.sleep(_PAUSE)
    raise HostError(
        "locked",
        f"{label}: held by another process for {_ATTEMPTS * _PAUSE:.0f} s",
        hint="wait for the ostree commit, pull or prune that is running (fuser -v names it)",
    )


def _open_directory(name: str, dir_fd: int) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, dir_fd=dir_fd)


def _changed(label: str) -> HostError:
    return HostError(
        "changed-meanwhile",
        f"{label}: it was changed by somebody else since it was read; nothing was written",
        hint="run it again: it starts from what is there now",
    )
