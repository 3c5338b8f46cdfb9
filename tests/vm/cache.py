# SPDX-License-Identifier: Apache-2.0
"""The cache directory: entries that are whole or absent, built by one process at a time.

Rules:
- an entry is built in a sibling directory and renamed into place when it is whole, so that a
  killed build leaves nothing that is taken for good;
- building holds an exclusive lock, and a second process waits for the first, then finds the entry;
- whoever uses an entry holds a shared lock on it, and pruning skips what is locked.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import VmTimeout

BUILD_WAIT_S = 1800.0
_PARTIAL = ".partial"
_USE_LOCK = ".in-use"


def cache_root() -> Path:
    """Where everything is kept: $VERITY_CACHE, $XDG_CACHE_HOME/verity or ~/.cache/verity."""
    chosen = os.environ.get("VERITY_CACHE")
    if chosen:
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).absolute() if base else Path.home() / ".cache") / "verity"


@contextmanager
def locked(path: Path, *, timeout_s: float = BUILD_WAIT_S) -> Iterator[None]:
    """Holds an exclusive lock on `path`, made if missing; raises VmTimeout when it isn't had."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise VmTimeout(f"{path}: still locked after {timeout_s:.0f} s") from None
                time.sleep(0.1)
        yield


def entry(path: Path, build: Callable[[Path], None]) -> bool:
    """Makes the directory `path` with `build(partial)` unless it's there; says if it was built.

    Not re-entrant for one path; entries inside other entries are fine.
    """
    if path.is_dir():
        return False
    with locked(path.with_name(path.name + ".lock")):
        if path.is_dir():
            return False
        partial = path.with_name(path.name + _PARTIAL)
        remove_tree(partial)
        partial.mkdir(parents=True)
        try:
            build(partial)
            os.sync()
            partial.rename(path)
        except BaseException:
            remove_tree(partial)
            raise
    return True


def is_partial(path: Path) -> bool:
    """Whether the directory is one that is being built, or whose build was killed."""
    return path.name.endswith(_PARTIAL)


class InUse:
    """A shared lock on an entry, held until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self._handle = (path / _USE_LOCK).open("a")
        fcntl.flock(self._handle, fcntl.LOCK_SH)

    def release(self) -> None:
        self._handle.close()


def remove_if_unused(path: Path) -> bool:
    """Removes an entry that nobody holds; says whether it's gone."""
    lock = path / _USE_LOCK
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        # Renamed first: a removal that is killed half-way must not look like a whole entry.
        doomed = path.with_name(path.name + _PARTIAL)
        remove_tree(doomed)
        path.rename(doomed)
    remove_tree(doomed)
    return True


def remove_tree(path: Path) -> None:
    """Removes a directory tree, which may be missing."""
    if path.is_symlink() or path.exists():
        shutil.rmtree(path)
