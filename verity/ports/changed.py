# SPDX-License-Identifier: Apache-2.0
"""What changed below a place in a time, by the inode's change time, which no program sets.

A clock that was set back hides a change, and a removed file leaves none but its directory's. Only
names and times are looked at: contents are for the audit.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verity.ports.osfile import translate_oserror
from verity.values.errors import HostError


@dataclass(frozen=True, kw_only=True)
class Change:
    """A name below the root, when its inode last changed, and whether that is a directory."""

    path: bytes
    at: int
    is_directory: bool


def within(root: Path, place: bytes, begin: int, end: int) -> Iterator[Change | HostError]:
    """What changed from ``begin`` to ``end`` (seconds since 1970) at or below an absolute path.

    It stays on the place's file system. What can't be read comes out as the error.
    """
    above = os.fsencode(root).rstrip(b"/")
    top = above + b"/" + place.strip(b"/")
    prefix = len(above)
    failed: list[OSError] = []
    try:
        first = os.lstat(top)
    except FileNotFoundError:
        return
    except OSError as error:
        yield translate_oserror(error, os.fsdecode(place))
        return
    if begin <= first.st_ctime <= end:
        yield Change(
            path=top[prefix:], at=int(first.st_ctime), is_directory=stat.S_ISDIR(first.st_mode)
        )
    if not stat.S_ISDIR(first.st_mode):
        return
    for folder, names, files, fd in os.fwalk(top, onerror=failed.append):
        for name in sorted((*names, *files)):
            try:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(found.st_mode) and found.st_dev != first.st_dev:
                names.remove(name)
            elif begin <= found.st_ctime <= end:
                path = os.path.join(folder, name)[prefix:]
                is_directory = stat.S_ISDIR(found.st_mode)
                yield Change(path=path, at=int(found.st_ctime), is_directory=is_directory)
        while failed:
            problem = failed.pop()
            yield translate_oserror(problem, os.fsdecode(problem.filename or top))
    for problem in failed:
        yield translate_oserror(problem, os.fsdecode(problem.filename or top))
