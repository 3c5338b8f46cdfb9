# SPDX-License-Identifier: Apache-2.0
"""Compute the fs-verity digest of a file by reading it.

It reads and compares; it does not ask the kernel for its own digest (``verity.ports.kernel``)
and changes nothing.

1. Only regular files; symbolic links are not followed, nothing blocks on opening.
2. A file whose size or times differ before and after reading is refused (``changed-while-read``):
   the digest of a mixture is the digest of nothing. ctime can't be set back, and it changes also
   when another file is renamed over this one. A writer that is quicker than the file system's
   clock, or that writes through a mapping, is not noticed: only fs-verity itself keeps writers out.
3. Read errors are named; nothing is retried.
"""

import os
import stat

from verity.formats.fsverity import Hasher
from verity.ports import _conditions, hashing, kernel, many
from verity.values.digest import CANONICAL, Digest, VerityParams
from verity.values.errors import CallerError, ContentError

_PIECE = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def digest_fd(fd: int, params: VerityParams = CANONICAL, *, label: str, jobs: int = 1) -> Digest:
    """The digest of the regular file behind ``fd``; its file position stays where it is.

    A large file is shared by ``jobs`` threads.
    """
    before = status(fd, label)
    size = before.st_size
    found: kernel.Hashed | hashing.Read | None
    found = kernel.hash_file(fd, params, limit=size, label=label)
    if found is None:
        found = hashing.digest_fd(fd, params, size=size, jobs=jobs, label=label)
    if found is None:
        hasher = Hasher(params, hashes=kernel.block_hashes(params))
        feed(hasher, fd, limit=size, label=label)
        found = hashing.Read(size=hasher.data_size, digest=hasher.finish())
    check_unchanged(before, status(fd, label), found.size, label)
    return found.digest


def feed(hasher: Hasher, fd: int, *, limit: int, label: str) -> None:
    """Read the file from its start to its end, at most one piece beyond ``limit``."""
    room = bytearray(_PIECE)
    view = memoryview(room)
    # Not beyond ``limit``: it does not run after a file that grows for ever.
    while hasher.data_size <= limit:
        try:
            count = os.preadv(fd, [room], hasher.data_size)
        except OSError as error:
            raise _conditions.READ.error(error.errno or 0, label) from error
        if count == 0:
            break
        hasher.update(view[:count])


def digest_stream(fd: int, params: VerityParams = CANONICAL, *, label: str) -> Digest:
    """The digest of all that comes out of a pipe, or of what is left of a file."""
    hasher = Hasher(params, hashes=kernel.block_hashes(params))
    room = bytearray(_PIECE)
    view = memoryview(room)
    try:
        while count := os.readv(fd, [room]):
            hasher.update(view[:count])
    except OSError as error:
        raise _conditions.READ.error(error.errno or 0, label) from error
    return hasher.finish()


def digest_path(
    path: str | os.PathLike[str],
    params: VerityParams = CANONICAL,
    *,
    dir_fd: int | None = None,
    label: str | None = None,
    jobs: int = 1,
) -> Digest:
    """The digest of the regular file at ``path``, below ``dir_fd`` if that is given."""
    name = os.fspath(path) if label is None else label
    fd = open_regular(path, dir_fd=dir_fd, label=name)
    try:
        return digest_fd(fd, params, label=name, jobs=jobs)
    finally:
        os.close(fd)


def open_regular(
    path: str | os.PathLike[str], *, dir_fd: int | None = None, label: str | None = None
) -> int:
    """A read-only descriptor of a regular file, for the caller to close; anything else refused."""
    name = os.fspath(path) if label is None else label
    try:
        fd = os.open(path, _FLAGS, dir_fd=dir_fd)
    except OSError as error:
        raise _conditions.OPEN.error(error.errno or 0, name) from error
    except ValueError as error:
        raise CallerError(
            "bad-path", f"cannot open {_conditions.shown(name)}: a path holds no NUL byte"
        ) from error
    return _regular(fd, name)


def open_regular_below(place: many.Place, *, label: str) -> int:
    """The same for a place: on the way there, too, no symbolic link is followed."""
    return _regular(many.open_place(place, label=label), label)


def _regular(fd: int, label: str) -> int:
    """The descriptor, closed and refused unless it is one of a regular file."""
    try:
        status(fd, label)
    except BaseException:
        os.close(fd)
        raise
    return fd


def status(fd: int, label: str) -> os.stat_result:
    """fstat, refusing all but regular files."""
    try:
        found = os.fstat(fd)
    except OSError as error:
        raise _conditions.STATX.error(error.errno or 0, label) from error
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no file")
        raise CallerError(
            "not-a-regular-file",
            f"{_conditions.shown(label)} is {kind}, expected a regular file",
            hint="only regular files have an fs-verity digest",
        )
    return found


def check_unchanged(before: os.stat_result, after: os.stat_result, read: int, label: str) -> None:
    """Refuse what was not one and the same contents from the first byte to the last."""
    if not before.st_size == after.st_size == read:
        found = f"{before.st_size} bytes before, {read} read, {after.st_size} after"
    elif before.st_mtime_ns != after.st_mtime_ns:
        found = "its modification time changed"
    elif before.st_ctime_ns != after.st_ctime_ns:
        found = "its owner, mode, links or contents did (ctime)"
    else:
        return
    raise ContentError(
        "changed-while-read",
        f"{_conditions.shown(label)} changed while it was read: {found}",
        hint="stop whatever writes to it (fuser -v FILE) and run it again",
    )
