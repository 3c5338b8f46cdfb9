# SPDX-License-Identifier: Apache-2.0
"""Names of commits in an OSTree repository: refs, aliases of refs, REMOTE:REF.

Rules:

* Every step of a name is opened below the step before it, without following symlinks: a ref
  cannot lead out of the repository. An alias (`ostree refs --alias`), which is a symlink, is
  read and looked up anew, within its own folder, a few hops at most.
* A ref holds 64 hex digits and a line feed; anything else is damage (``bad-ref``).
* ``refs/heads`` comes first, then ``refs/remotes`` and ``refs/mirrors``, as in stock ostree.
"""

import errno
import os
import posixpath
import re
import stat
from collections.abc import Iterator

from verity.formats.commit import is_checksum
from verity.ports.osfile import closing
from verity.ports.ostree_objects import read_exactly, translated
from verity.values.errors import CallerError, ContentError, HostError

_NAME = re.compile(r"\w[-._\w]*(/\w[-._\w]*)*", re.ASCII)  # OSTREE_REF_REGEXP, ostree-core.c
_REMOTE = re.compile(r"\w[-._\w]*", re.ASCII)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_LENGTH = 65
_HOPS = 5
_SHOWN = 5
_MAX_LISTED = 10_000


def resolve(repository_fd: int, revision: str, label: str) -> str:
    """The checksum that a ref holds; HostError ``no-such-ref`` if there is none."""
    remote, colon, name = revision.rpartition(":")
    if not _NAME.fullmatch(name) or (colon and not _REMOTE.fullmatch(remote)):
        raise CallerError(
            "bad-ref",
            f"{revision[:255]!r} is neither a checksum nor the name of a ref",
            hint="a ref is like debian/trixie, or REMOTE:debian/trixie",
        )
    folders = (
        [f"refs/remotes/{remote}"] if colon else ["refs/heads", "refs/remotes", "refs/mirrors"]
    )
    for folder in folders:
        found = _read(repository_fd, folder, name, f"{label}/{folder}/{name}", _HOPS)
        if found is not None:
            return found
    there = sorted(names(repository_fd, label))
    shown = ", ".join(there[:_SHOWN]) + (", ..." if there[_SHOWN:] else "")
    raise HostError(
        "no-such-ref",
        f"{label}: there is no ref {revision}",
        hint=f"it has {shown}" if there else "it has no refs at all: pull or commit one",
    )


def names(repository_fd: int, label: str) -> Iterator[str]:
    """All refs, as ``resolve`` takes them, in no particular order."""
    pending = ["refs/heads", "refs/remotes", "refs/mirrors"]
    left = _MAX_LISTED
    while pending and left > 0:
        folder = pending.pop()
        with translated(f"{label}/{folder}"):
            fd = _open_directory(repository_fd, folder)
            if fd is None:
                continue
            with closing(fd), os.scandir(fd) as found:
                entries = [(one.name, one.is_dir(follow_symlinks=False)) for one in found]
        for name, is_directory in entries:
            left -= 1
            if is_directory:
                pending.append(f"{folder}/{name}")
                continue
            _, kind, *rest = f"{folder}/{name}".split("/")
            if kind == "remotes" and len(rest) > 1:
                yield f"{rest[0]}:{'/'.join(rest[1:])}"
            else:
                yield "/".join(rest)


def _read(repository_fd: int, folder: str, name: str, label: str, hops: int) -> str | None:
    path = f"{folder}/{name}"
    parent, last = posixpath.split(path)
    with translated(label):
        directory = _open_directory(repository_fd, parent)
        if directory is None:
            return None
        with closing(directory):
            try:
                fd = os.open(last, _FILE, dir_fd=directory)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                target = os.readlink(last, dir_fd=directory)
            else:
                with closing(fd):
                    if stat.S_ISDIR(os.fstat(fd).st_mode):
                        return None
                    return _checksum(read_exactly(fd, _LENGTH + 1), label)
    aimed = posixpath.relpath(posixpath.normpath(posixpath.join("/", parent, target)), f"/{folder}")
    if target.startswith("/") or not _NAME.fullmatch(aimed) or not hops:
        raise ContentError("bad-ref", f"{label}: an alias of {target[:255]!r}, which is no ref")
    return _read(repository_fd, folder, aimed, label, hops - 1)


def _checksum(data: bytes, label: str) -> str:
    text = data.decode("ascii", "replace").removesuffix("\n")
    if not is_checksum(text):
        raise ContentError(
            "bad-ref",
            f"{label}: it holds {data[:_LENGTH]!r}, expected 64 hex digits",
            hint="write it anew: `ostree refs --delete`, then pull or `ostree refs --create`",
        )
    return text


def _open_directory(repository_fd: int, path: str) -> int | None:
    """Step by step, so that no part of it is a symlink; None if it is not there."""
    fd = os.dup(repository_fd)
    for part in path.split("/"):
        try:
            deeper = os.open(part, _DIRECTORY, dir_fd=fd)
        except (FileNotFoundError, NotADirectoryError):
            return None
        finally:
            os.close(fd)
        fd = deeper
    return fd
