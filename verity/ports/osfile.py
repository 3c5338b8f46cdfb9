# SPDX-License-Identifier: Apache-2.0
"""Plain files: read whole within a bound, written whole or not at all.

The one place where an OSError of an ordinary file operation becomes a named condition.
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from verity.values.errors import ContentError, HostError

_LOCK_ATTEMPTS, _LOCK_PAUSE_S = 200, 0.05

_CONDITIONS = {
    errno.ENOENT: ("not-found", "does not exist", "check the path"),
    errno.ENOTDIR: ("not-found", "a part of the path is no directory", "check the path"),
    errno.EACCES: ("no-permission", "permission denied", "run as a user that may, or as root"),
    errno.EPERM: ("no-permission", "operation not permitted", "run as root"),
    errno.EISDIR: ("is-directory", "is a directory, expected a file", "name a file"),
    errno.EEXIST: ("exists", "exists already and is not overwritten", "choose another name"),
    errno.ELOOP: ("is-symlink", "is a symbolic link, expected the thing itself", "name its target"),
    errno.ENOSPC: ("no-space", "no space left on the device", "free some space"),
    errno.EROFS: ("read-only", "the file system is mounted read-only", "remount it read-write"),
    errno.EIO: ("damaged", "the kernel reports an input/output error", "see the kernel's log"),
}


def translate_oserror(error: OSError, label: str) -> HostError:
    """The named condition of an OSError; ``label`` is the path for the message."""
    code, text, hint = _CONDITIONS.get(
        error.errno or 0, ("os-error", (error.strerror or "unknown error").lower(), "")
    )
    return HostError(code, f"{label}: {text}", hint=hint or None)


@contextlib.contextmanager
def closing(fd: int) -> Iterator[int]:
    """Close a descriptor at the end of the block."""
    try:
        yield fd
    finally:
        os.close(fd)


def lock(fd: int, *, label: str) -> None:
    """Take the exclusive flock(2) of an open file, within ten seconds; HostError ``locked``.

    Whoever may read a file may hold its lock, for ever.
    """
    for _ in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_S)
    raise HostError(
        "locked",
        f"{label}: another process has held its lock for ten seconds",
        hint=f"`fuser {label}` names it; run this again when it has ended",
    )


def open_directory_below(root: Path, path: bytes) -> int:
    """A descriptor of a directory: ``path`` is absolute, below the root, and follows no symlink.

    The root itself may be one. Raises OSError (ELOOP: there is a symlink on the way).
    """
    current = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in filter(None, path.split(b"/")):
        try:
            following = open_directory_at(current, part)
        finally:
            os.close(current)
        current = following
    return current


def open_directory_at(directory: int, name: str | bytes) -> int:
    """A descriptor of a directory in another. Raises OSError, with ELOOP for a symlink."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=directory)
    except NotADirectoryError:
        # What the kernel says of a symlink, too, when a directory is asked for.
        if stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise


def check_below(root: Path, *places: Path) -> None:
    """Refuse (ContentError ``leads-out``) a path below the root that links lead out of it.

    For a tree that lies here and may be anybody's: its documents are read by their paths. A link
    that is put there after this was asked isn't seen.
    """
    top = os.path.join(os.path.realpath(root), "")
    for place in places:
        found = os.path.realpath(root / place)
        if not os.path.join(found, "").startswith(top):
            raise ContentError(
                "leads-out",
                f"{root / place}: links lead to {found}, out of {root}",
                hint="look at the link; a tree's own files lie in it",
            )


def read_file(
    path: Path, *, max_size: int, see_mode: Callable[[int], object] = lambda mode: None
) -> bytes:
    """Read a regular file of at most ``max_size`` bytes; ``see_mode`` hears its st_mode.

    Symlinks are followed: the caller names the file, as for a key on a mounted stick.
    """
    try:
        with closing(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)) as fd:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(mode):
                raise HostError("not-a-file", f"{path}: not a regular file")
            see_mode(mode)
            with open(fd, "rb", closefd=False) as file:
                data = file.read(max_size + 1)
    except OSError as error:
        raise translate_oserror(error, str(path)) from error
    if len(data) > max_size:
        raise HostError("too-large", f"{path}: more than {max_size} bytes")
    return data


def read_if_there(path: Path, *, max_size: int) -> bytes | None:
    """The same, or None if nothing has this name."""
    try:
        return read_file(path, max_size=max_size)
    except HostError as error:
        if error.code == "not-found":
            return None
        raise


def read_head(fd: int, size: int, *, label: str) -> bytes:
    """The first bytes of an open file."""
    try:
        return os.pread(fd, size, 0)
    except OSError as error:
        raise translate_oserror(error, label) from error


def write_new_file(path: Path, data: bytes, *, mode: int) -> None:
    """Create a file with these contents, durably; refuse to overwrite, leave no half file."""
    temporary = _temporary(path)
    try:
        _write(temporary, data, mode)
        try:
            _link(temporary, path)
        finally:
            os.unlink(temporary)
        try:
            sync_directory(path.parent)
        except OSError:
            os.unlink(path)  # reported as failed, so it must not be there
            raise
    except OSError as error:
        raise translate_oserror(error, str(path)) from error


def _link(temporary: Path, path: Path) -> None:
    """Unlike rename(2) it fails if the name is taken; and where there are no hard links."""
    try:
        os.link(temporary, path)
    except PermissionError as error:
        if error.errno != errno.EPERM:
            raise
        raise HostError(
            "no-hard-links",
            f"{path}: hard links are refused there, as by a file system that has none (FAT)",
            hint="a stick for keys needs a file system such as ext4: `mkfs.ext4` empties it",
        ) from error


@contextlib.contextmanager
def new_file(path: Path, *, mode: int) -> Iterator[int]:
    """A descriptor to write a file piece by piece, which has its name only after the block.

    Refuses to overwrite, leaves no half file, and the file is durable.
    """
    temporary = _temporary(path)
    try:
        if os.path.lexists(path):  # before hours of work; link(2) below is what counts
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        raise translate_oserror(error, str(path)) from error
    try:
        with closing(fd):
            yield fd
            os.fsync(fd)
        _link(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        raise translate_oserror(error, str(path)) from error
    finally:
        os.unlink(temporary)


def replace_file(path: Path, data: bytes, *, mode: int) -> None:
    """Write a file with these contents, durably, over what is there: old or new, never between."""
    temporary = _temporary(path)
    try:
        _write(temporary, data, mode)
        try:
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise translate_oserror(error, str(path)) from error


def write_new_directory(path: Path, files: Mapping[str, bytes], *, mode: int) -> None:
    """Create a directory with these files (of this mode), durably: all of it or nothing.

    Refuses to overwrite. Whoever may read the files may enter the directory.
    """
    there = _temporary(path)
    try:
        if os.path.lexists(path):  # rename(2) would take the place of an empty directory
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.mkdir(there, 0o700)
        try:
            for name, data in files.items():
                _write(there / name, data, mode)
            os.chmod(there, mode | (mode & 0o444) >> 2)
            sync_directory(there)
            os.rename(there, path)
            there = path
            sync_directory(path.parent)
        except BaseException:
            for name in files:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(there / name)
            os.rmdir(there)
            raise
    except OSError as error:
        raise translate_oserror(error, str(path)) from error


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A directory to fill with durable files, which has its name only after the block.

    Refuses to overwrite; whatever the block leaves in it goes if the block fails.
    """
    there = _temporary(path)
    try:
        if os.path.lexists(path):  # rename(2) would take the place of an empty directory
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.mkdir(there, 0o755)
    except OSError as error:
        raise translate_oserror(error, str(path)) from error
    try:
        yield there
        sync_directory(there)
        os.rename(there, path)
        there = path
        sync_directory(path.parent)
    except BaseException as error:
        import shutil  # here: little else needs it

        shutil.rmtree(there)
        if isinstance(error, OSError):
            raise translate_oserror(error, str(path)) from error
        raise


def is_there(path: Path) -> bool:
    """Whether there is anything of this name; a link that leads nowhere is something, too."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise translate_oserror(error, str(path)) from error
    return True


def _temporary(path: Path) -> Path:
    # Not to be guessed: whoever may write beside it could put something there before.
    return path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")


def _write(path: Path, data: bytes, mode: int) -> None:
    """A new file with these contents, on the disk when this returns, or none."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(data)
            file.flush()
            os.fsync(fd)
    except BaseException:
        os.unlink(path)
        raise


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    with closing(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as fd:
        os.fsync(fd)


def make_directories(path: Path, *, mode: int) -> None:
    """Make a directory of this mode and what is missing above it, durably."""
    if path.is_dir():
        return
    make_directories(path.parent, mode=0o755)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, mode)
        sync_directory(path.parent)
    except OSError as error:
        raise translate_oserror(error, str(path)) from error
