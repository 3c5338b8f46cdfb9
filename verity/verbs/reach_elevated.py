# SPDX-License-Identifier: Apache-2.0
"""Programs that raise privileges: set-id files and files with capabilities, wherever they lie.

All file systems of the host's own directories are walked, those that are mounted without set-id
excepted, which the kernel doesn't heed there. What is no program (no ELF file) has no effect: of
scripts the kernel ignores the bits. Whether it may is the elevation table of the grants.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from verity.formats.dump import Entry
from verity.formats.elf import MAGIC
from verity.formats.grant_rules import elevation_of, set_id_bits
from verity.formats.grants import Code, ElevateEntry
from verity.ports import tree as file_tree
from verity.ports.osfile import closing, translate_oserror
from verity.ports.rooted import Located
from verity.ports.tree import Contents
from verity.values.errors import VerityError
from verity.verbs.reach_judge import Signed
from verity.verbs.reach_values import Seen

_TOPS = (b"/", b"/usr", b"/etc", b"/var", b"/opt", b"/home", b"/root", b"/srv", b"/boot")
_CAPABILITY = "security.capability"


@dataclass(frozen=True, kw_only=True)
class Elevated:
    """A program that raises privileges, and the grants that there are for its contents."""

    entry: Entry
    contents: Contents
    wants: ElevateEntry
    granted: tuple[ElevateEntry, ...]
    in_manifest: Entry | None

    @property
    def covered(self) -> bool:
        """Whether one granted elevation has all of it, as the gate asks."""
        return any(_covers(one, self.wants) for one in self.granted)


def programs(seen: Seen, signed: Signed) -> Iterator[Elevated]:
    """Every one of them. What can't be read becomes a gap."""
    table: dict[bytes, list[ElevateEntry]] = {}
    for blob in signed.grants:
        for entry in blob.elevate:
            table.setdefault(entry.digest, []).append(entry)
    for top in _mounts(seen):
        device = top.status.st_dev
        try:
            for path, status in seen.tree.walk(top.path, refused=seen.refused, device=device):
                if status.st_mode & 0o111:
                    found = _program(seen, signed, table, Located(path, status))
                    if found is not None:
                        yield found
        except VerityError as error:
            seen.refused(top.path, error)


def _mounts(seen: Seen) -> Iterator[Located]:
    """The directories to walk: those that no walk before has met on the same file system.

    One file system may be at several places, as an OSTree host has /etc and /var, and set-id count
    at one of them and not at the other.
    """
    walked: list[tuple[bytes, int]] = []
    for top in _TOPS:
        located = seen.find(top)
        if located is None or not located.is_folder:
            continue
        device = located.status.st_dev
        inside = located.path.rstrip(b"/") + b"/"
        if any(device == one and inside.startswith(path) for path, one in walked):
            continue
        if seen.tree.mount_flags(located) & os.ST_NOSUID:
            seen.counts["file systems without set-id"] += 1
            continue
        walked.append((inside, device))
        yield located


def _program(
    seen: Seen, signed: Signed, table: dict[bytes, list[ElevateEntry]], located: Located
) -> Elevated | None:
    if not located.is_file:
        return None
    path = located.path
    try:
        with closing(seen.tree.open(located)) as fd:
            if not any(set_id_bits(located.status.st_mode)) and not _has_capabilities(fd):
                return None
            if not os.pread(fd, len(MAGIC), 0).startswith(MAGIC):
                return None
            contents = file_tree.measured(fd, path)
            entry = file_tree.read_node(fd, path, lambda *_: contents).entry
        wants = elevation_of(entry, Code.EXEC)
    except OSError as error:
        seen.refused(path, translate_oserror(error, os.fsdecode(path)))
        return None
    except VerityError as error:
        seen.refused(path, error)
        return None
    if wants is None:
        return None
    return Elevated(
        entry=entry,
        contents=contents,
        wants=wants,
        granted=tuple(table.get(contents.digest, ())),
        in_manifest=signed.compared(path),
    )


def _has_capabilities(fd: int) -> bool:
    try:
        return bool(os.getxattr(fd, _CAPABILITY))
    except OSError:
        return False


def _covers(granted: ElevateEntry, wants: ElevateEntry) -> bool:
    return (
        wants.set_bits & ~granted.set_bits == 0
        and wants.capabilities & ~granted.capabilities == 0
        and (not wants.set_bits & 0o4000 or wants.uid == granted.uid)
        and (not wants.set_bits & 0o2000 or wants.gid == granted.gid)
    )
