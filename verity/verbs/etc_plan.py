# SPDX-License-Identifier: Apache-2.0
"""What has to be done to bring /etc to a signed state: entries -> a plan. Pure.

1. What is signed and differs is put there. A hard link, a wrong type or wrong metadata is replaced
   by a file of its own.
2. What an earlier intent had and this one hasn't is removed, whatever it holds by now.
3. What neither had, and what isn't of the class signed, stays where it is. If that keeps a
   directory from going, it stays, too; if it is in the way of something signed, that is refused.

The plan follows from the states alone, so that one made again after a crash is the rest of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from verity.formats.dump import Entry, printable
from verity.values.errors import HostError
from verity.verbs.etc_read import Found, above


@dataclass(frozen=True, kw_only=True)
class Plan:
    """In the order of doing. ``left`` is what nobody signed."""

    remove: tuple[Entry, ...]
    make: tuple[Entry, ...]
    put: tuple[Entry, ...]
    dress: tuple[Entry, ...]
    left: tuple[bytes, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.remove or self.make or self.put or self.dress)


def plan(earlier: Iterable[bytes], target: Mapping[bytes, Entry], found: Found) -> Plan:
    """The plan; ``earlier`` are the paths of all intents before.

    Raises HostError (``in-the-way``).
    """
    now = found.entries
    gone = {path for path in earlier if path in now and path not in target}
    for path, entry in target.items():
        there = now.get(path)
        if there is not None and there.is_directory != entry.is_directory:
            gone.add(path)
    holding = _above(path for path in (*now, *found.others) if path not in gone)
    for path in sorted(gone & holding):
        if path in target:
            raise HostError(
                "in-the-way",
                f"{printable(path)}: a directory is in the way of a signed file, and holds what"
                " nobody signed",
                hint="look at what is in it, and move it away",
            )
    gone -= holding
    return Plan(
        remove=tuple(now[path] for path in sorted(gone, reverse=True)),
        make=tuple(
            entry
            for path, entry in sorted(target.items())
            if entry.is_directory and (path not in now or path in gone)
        ),
        put=tuple(
            entry
            for path, entry in sorted(target.items())
            if not entry.is_directory and now.get(path) != entry
        ),
        dress=tuple(
            entry
            for path, entry in sorted(target.items())
            if entry.is_directory and path in now and path not in gone and now[path] != entry
        ),
        left=tuple(sorted(now.keys() - target.keys() - gone)),
    )


def _above(paths: Iterable[bytes]) -> set[bytes]:
    """Every directory above these paths."""
    return {folder for path in paths for folder in above(path)}
