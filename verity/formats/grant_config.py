# SPDX-License-Identifier: Apache-2.0
"""Files and symlinks -> what the gate is told of them as configuration.

A path or target that the table has no room for is left out and told: that is the refusing side.
Which files these are is the caller's to know: all that `etc sign` signs, and of an OS those at
paths that a policy guards (``guarded_paths``).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from verity.formats.dump import Entry
from verity.formats.grants import MAX_CONFIG_PATH, MAX_CONFIG_TARGET, ConfigEntry, ConfigKind

OWNERS = (b"/etc", b"/home", b"/root", b"/var/home", b"/var/roothome")
"""Where `etc sign` signs: /etc, and dotfiles of homes, on a CoreOS-like host those below /var."""


_FEW = 3
_PLAIN = re.compile(rb"(?:/[A-Za-z0-9@%+=:,._~ -]+)+")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What is granted, sorted by path, and the paths that the table has no room for."""

    config: tuple[ConfigEntry, ...] = ()
    ungranted: tuple[bytes, ...] = ()


def configuration(entries: Iterable[Entry]) -> Configuration:
    """Every regular file by its digest and every symlink by its target, and nothing else."""
    config: list[ConfigEntry] = []
    ungranted: list[bytes] = []
    for entry in sorted(entries, key=lambda entry: entry.path):
        if not (entry.is_regular or entry.is_symlink):
            continue
        if not has_room(entry):
            ungranted.append(entry.path)
        elif entry.digest is not None:
            config.append(ConfigEntry(path=entry.path, kind=ConfigKind.FILE, digest=entry.digest))
        else:
            config.append(
                ConfigEntry(path=entry.path, kind=ConfigKind.SYMLINK, target=entry.target or b"")
            )
    return Configuration(config=tuple(config), ungranted=tuple(ungranted))


def has_room(entry: Entry) -> bool:
    """Whether the table has room for this path and, of a symlink, for its target."""
    return len(entry.path) <= MAX_CONFIG_PATH and len(entry.target or b"") <= MAX_CONFIG_TARGET


@dataclass(frozen=True, kw_only=True)
class Exempt:
    """Paths of one directory that can't be granted, and the line of a drop-in that exempts them.

    The line is empty where none can name them.
    """

    paths: tuple[bytes, ...]
    line: str


def exempting(paths: Iterable[bytes]) -> tuple[Exempt, ...]:
    """What to write into a drop-in, so that the gate doesn't ask for grants that can't be.

    A few paths are named; of many their directory is.
    """
    folders: dict[bytes, list[bytes]] = {}
    for path in sorted(paths):
        folders.setdefault(path.rpartition(b"/")[0], []).append(path)
    return tuple(
        Exempt(paths=tuple(found), line=_line(folder, found)) for folder, found in folders.items()
    )


def _line(folder: bytes, found: Sequence[bytes]) -> str:
    named = found if len(found) <= _FEW and all(map(_is_plain, found)) else [folder]
    if not all(map(_is_plain, named)):
        return ""
    table = "etc" if folder == b"/etc" or folder.startswith(b"/etc/") else "guarded"
    quoted = ", ".join(f'"{path.decode("ascii")}"' for path in named)
    return f'[[{table}]] class = "mutable", paths = [{quoted}]'


def _is_plain(path: bytes) -> bool:
    """Whether a drop-in can name it as it is, and the table has room for it."""
    return len(path) <= MAX_CONFIG_PATH and _PLAIN.fullmatch(path) is not None


def is_owners(path: bytes) -> bool:
    """Whether a path is one that `etc sign` can sign."""
    return any(path == one or path.startswith(one + b"/") for one in OWNERS)
