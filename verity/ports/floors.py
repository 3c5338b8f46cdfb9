# SPDX-License-Identifier: Apache-2.0
"""Serial floors on disk: a file for each stream, in STATE/floors (docs/formats.md section 8).

A file holds envelopes exactly as they were signed. Nothing here verifies them: whoever reads them
does that again, each time. A file is replaced as a whole and durable before ``write`` returns.
Who compares and then writes takes the lock first.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from verity.formats import gvariant
from verity.ports.osfile import (
    closing,
    lock,
    make_directories,
    read_file,
    replace_file,
    sync_directory,
    translate_oserror,
)
from verity.values.errors import ContentError, HostError

STATE = Path("var/lib/verity")
FLOORS = STATE / "floors"
"""Below the root of a host."""

_TYPE = "aay"
_MAX_SIZE = 1 << 20
_MODE = 0o644


def has_state(root: Path) -> bool:
    """Whether there is a host that could keep floors; a build system or a bare tree is none."""
    try:
        return stat.S_ISDIR(os.stat(root / STATE).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        above = (root, *(root / folder for folder in reversed(STATE.parents[:-1])))
        closed = [path for path in above if not os.access(path, os.X_OK)]
        raise translate_oserror(error, str((*closed, root / STATE)[0])) from error


class FloorStore:
    """The floors in one directory, which is made when the first is written; what is missing between
    it and the ``top``, too, if there is one."""

    def __init__(self, directory: Path, *, top: Path | None = None) -> None:
        self.directory = directory
        self._top = top

    def path(self, name: str) -> Path:
        """The file of a floor, also for messages."""
        return self.directory / name

    def names(self, start: str) -> list[str]:
        """The names of the floors that begin so, sorted; HostError if they can't be listed."""
        try:
            found = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise translate_oserror(error, str(self.directory)) from error
        return sorted(name for name in found if name.startswith(start))

    def read(self, name: str) -> tuple[bytes, ...] | None:
        """The envelopes of a floor, None if it is not there; ContentError ``bad-floor``.

        One that can't be read is as bad as a damaged one: it was there and doesn't count.
        """
        path = self.path(name)
        try:
            data = read_file(path, max_size=_MAX_SIZE)
        except HostError as error:
            if error.code == "not-found":
                return None
            raise ContentError("bad-floor", error.message, hint=error.hint) from error
        try:
            return cast("tuple[bytes, ...]", gvariant.decode(_TYPE, data, label=str(path)))
        except ContentError as error:
            raise ContentError("bad-floor", f"{path}: {error.message}") from error

    def write(self, name: str, envelopes: Sequence[bytes]) -> None:
        """Put these envelopes in place of what is there: the old floor or the new, never between.

        Within ``locked``, which makes the directory.
        """
        replace_file(self.path(name), gvariant.encode(_TYPE, tuple(envelopes)), mode=_MODE)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One writer at a time: of two that accept at once, none may overwrite the higher one.

        What a killed writer left is removed, and what it did is made durable: this one may find it
        done, and say so.
        """
        if self._top is not None:
            make_directories(self.directory.parent, mode=0o755)
        try:
            self.directory.mkdir(mode=0o755, exist_ok=True)
            sync_directory(self.directory.parent)
            fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise translate_oserror(error, str(self.directory)) from error
        with closing(fd):
            lock(fd, label=str(self.directory))
            self._tidy(fd)
            yield

    def _tidy(self, fd: int) -> None:
        try:
            for left in self.directory.glob(".*.tmp"):
                left.unlink()
            os.fsync(fd)
        except OSError as error:
            raise translate_oserror(error, str(self.directory)) from error
