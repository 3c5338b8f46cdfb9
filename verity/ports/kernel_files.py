# SPDX-License-Identifier: Apache-2.0
"""Small files in which the kernel says how it is set, and the programs that such a file names.

What isn't there is told from what can't be read. A program is looked for as the kernel would, from
the root of the host: links are followed, and never out of that root.
"""

import errno
import os
from pathlib import Path

from verity.ports.osfile import closing, open_directory_below, translate_oserror
from verity.ports.scripts import resolved
from verity.values.errors import HostError

_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_MOST = 16 << 20
_PIECE = 64 << 10
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def read(root: Path, path: str) -> bytes | None:
    """The file below the root; None if there is none."""
    # In pieces: of a sysctl the kernel first sets aside as much memory as it is asked for.
    whole = bytearray()
    try:
        with closing(os.open(root / path, _READ)) as fd:
            while piece := os.read(fd, _PIECE):
                whole += piece
                if len(whole) > _MOST:
                    raise HostError("too-large", f"{root / path}: more than {_MOST} bytes")
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise translate_oserror(error, str(root / path)) from error
    return bytes(whole)


def text(root: Path, path: str) -> str | None:
    """The same as text, without the blanks around it."""
    data = read(root, path)
    return None if data is None else data.decode("utf-8", "replace").strip()


def names(root: Path, path: str) -> list[str] | None:
    """What is in a directory; None if there is none."""
    try:
        return sorted(os.listdir(root / path))
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise translate_oserror(error, str(root / path)) from error


def open_program(root: Path, path: bytes) -> int | None:
    """A descriptor of the file to which this absolute path leads; None: there is none."""
    real = os.fsencode(resolved(root, os.fsdecode(path)))
    folder, _, name = real.rpartition(b"/")
    try:
        with closing(open_directory_below(root, folder)) as directory:
            return os.open(name, _OPEN, dir_fd=directory)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise translate_oserror(error, os.fsdecode(real)) from error
