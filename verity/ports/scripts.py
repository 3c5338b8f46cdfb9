# SPDX-License-Identifier: Apache-2.0
"""Which interpreters the scripts of a tree name in their ``#!``, by their first bytes.

Only where an operating system keeps programs: /usr, /etc, /opt, and /bin and the like where they
are directories of their own. ``env`` stands for the program that it is asked for. Other file
systems that are mounted there are walked, too. Nothing is judged here.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from verity.ports.osfile import closing

_TOPS = ("usr", "etc", "opt", "bin", "sbin", "lib")
_PATH = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin")
_LINE = 256  # what the kernel reads of a script (BINPRM_BUF_SIZE)
_EXECUTE = 0o111


@dataclass(frozen=True, kw_only=True)
class Scripts:
    """Names of interpreters as scripts have them and as links lead to; how many scripts there are.

    ``unread`` are programs and directories that couldn't be opened, with why.
    """

    root: Path
    names: frozenset[bytes]
    number: int
    unread: tuple[tuple[bytes, str], ...]

    @classmethod
    def below(cls, root: Path) -> "Scripts":
        """Read the programs of a tree."""
        named: set[bytes] = set()
        unread: list[tuple[bytes, str]] = []
        number = 0
        refused: list[OSError] = []
        for path in _programs(root, refused.append):
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
                with closing(os.open(path, flags)) as fd:
                    head = os.read(fd, _LINE)
            except OSError as error:
                refused.append(error)
                continue
            if head.startswith(b"#!"):
                number += 1
                named |= set(_interpreters(head))
        for problem in refused:
            if not isinstance(problem, FileNotFoundError):  # removed since, or not on this host
                below = os.path.relpath(os.fsencode(problem.filename), os.fsencode(root))
                unread.append((b"/" + below, os.strerror(problem.errno or 0)))
        names = {name for one in named for name in _spellings(root, one)}
        return cls(root=root, names=frozenset(names), number=number, unread=tuple(unread))

    def need(self, pattern: re.Pattern[bytes]) -> bool:
        """Whether a script names an interpreter of this pattern."""
        return any(pattern.match(name) for name in self.names)

    def has(self, path: str) -> bool:
        """Whether the tree has a file of this path or pattern."""
        relative = path.lstrip("/")
        return any(True for _ in self.root.glob(relative.replace("[", "[[]")))


def _programs(root: Path, refused: Callable[[OSError], None]) -> Iterator[Path]:
    """Every regular file that may be executed; ``refused`` is told what can't be looked at."""
    for top in _TOPS:
        if (root / top).is_symlink():
            continue
        for directory, _, names in os.walk(root / top, onerror=refused):
            for name in names:
                path = Path(directory, name)
                try:
                    mode = path.lstat().st_mode
                except OSError as error:
                    refused(error)
                    continue
                if stat.S_ISREG(mode) and mode & _EXECUTE:
                    yield path


def _interpreters(head: bytes) -> Iterator[bytes]:
    """The program of a ``#!``, and what ``env`` is asked to find."""
    words = head[2:].partition(b"\n")[0].split()
    if not words:
        return
    yield words[0]
    if os.path.basename(words[0]) == b"env":
        for word in words[1:]:
            if not word.startswith(b"-") and b"=" not in word:
                yield word
                return


def _spellings(root: Path, name: bytes) -> Iterator[bytes]:
    """The name itself, and where links of the tree lead."""
    text = os.fsdecode(name)
    places = [text.lstrip("/")] if text.startswith("/") else [f"{one}/{text}" for one in _PATH]
    for place in places:
        yield b"/" + os.fsencode(place)
        yield os.fsencode(resolved(root, place))


def resolved(root: Path, place: str) -> str:
    """Where a path leads, with absolute links taken from this root; itself if it leads nowhere."""
    done: list[str] = []
    left = [part for part in reversed(place.split("/")) if part]
    for _ in range(40 + len(left)):
        if not left:
            break
        part = left.pop()
        if part in ("", "."):
            continue
        if part == "..":
            done = done[:-1]
            continue
        here = root.joinpath(*done, part)
        if here.is_symlink():
            target = os.readlink(here)
            if target.startswith("/"):
                done = []
            left += [one for one in reversed(target.split("/")) if one]
        else:
            done.append(part)
    return "/" + "/".join([*done, *reversed(left)])
