# SPDX-License-Identifier: Apache-2.0
"""Files and symlinks -> what the gate is told of them as configuration.

A path or target that the table has no room for is left out and told: that is the refusing side.
Which files these are is the caller's to know: all that `etc sign` signs, and of an OS those at
paths that a policy guards (``guarded_paths``).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from verity.formats.dump import Entry
from verity.formats.grants import MAX_CONFIG_PATH, MAX_CONFIG_TARGET, ConfigEntry, ConfigKind

OWNERS = (b"/etc", b"/home", b"/root", b"/var/home", b"/var/roothome")
"""Where `etc sign` signs: /etc, and dotfiles of homes, on a CoreOS-like host those below /var."""


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
        target = entry.target or b""
        if not (entry.is_regular or entry.is_symlink):
            continue
        if len(entry.path) > MAX_CONFIG_PATH or len(target) > MAX_CONFIG_TARGET:
            ungranted.append(entry.path)
        elif entry.digest is not None:
            config.append(ConfigEntry(path=entry.path, kind=ConfigKind.FILE, digest=entry.digest))
        else:
            config.append(ConfigEntry(path=entry.path, kind=ConfigKind.SYMLINK, target=target))
    return Configuration(config=tuple(config), ungranted=tuple(ungranted))


def is_owners(path: bytes) -> bool:
    """Whether a path is one that `etc sign` can sign."""
    return any(path == one or path.startswith(one + b"/") for one in OWNERS)
