# SPDX-License-Identifier: Apache-2.0
"""Files that an installation puts on a host, and their record: made durably, taken away again.

The record is written before what it names, so that nothing is ever there that it doesn't name. What
was there before the installation is not in it, and is never taken away.
"""

import contextlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

from verity.formats import host_record
from verity.formats.host_record import Installation
from verity.ports import places
from verity.ports.osfile import (
    make_directories,
    read_if_there,
    replace_file,
    sync_directory,
    translate_oserror,
)

RECORD = Path("var/lib/verity/installation")
_MODE = 0o644
_KEPT = "ledger"  # what was unlocked is history, and no part of an installation


class Installed:
    """The installation of the host at ``root``; ``found`` is what its record says."""

    def __init__(self, root: Path, found: Installation) -> None:
        self.root = root
        self.found = found

    @classmethod
    def read(cls, root: Path) -> "Installed | None":
        """The one that is there; None if there is none."""
        data = read_if_there(root / RECORD, max_size=host_record.MAX_SIZE)
        if data is None:
            return None
        return cls(root, host_record.parse(data))

    def save(self) -> None:
        """Write the record, durably."""
        make_directories((self.root / RECORD).parent, mode=0o755)
        replace_file(self.root / RECORD, host_record.encode(self.found), mode=_MODE)

    def put(self, path: str, data: bytes, *, mode: int = _MODE) -> None:
        """A file with these contents, recorded first if it wasn't there; old or new."""
        place = self.root / path
        if not os.path.lexists(place) and path not in self.found.files:
            self.found = replace(self.found, files=(*self.found.files, path))
            self.save()
        make_directories(place.parent, mode=0o755)
        replace_file(place, data, mode=mode)

    def link(self, path: str, target: str) -> None:
        """A symlink, recorded first if it wasn't there; whatever has the name stays."""
        place = self.root / path
        if os.path.lexists(place):
            return
        if path not in self.found.links:
            self.found = replace(self.found, links=(*self.found.links, path))
            self.save()
        make_directories(place.parent, mode=0o755)
        try:
            os.symlink(target, place)
            sync_directory(place.parent)
        except OSError as error:
            raise translate_oserror(error, str(place)) from error

    def complete(self) -> None:
        """From here on nothing is missing."""
        self.found = replace(self.found, complete=True)
        self.save()

    def state(self) -> frozenset[str]:
        """What is in the directory of all state."""
        try:
            return frozenset(os.listdir((self.root / RECORD).parent))
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            raise translate_oserror(error, str((self.root / RECORD).parent)) from error

    def take_away(self, kept: frozenset[str] = frozenset()) -> None:
        """Remove what has a boot load a gate; what the record names; then all state but the ledger
        of unlocks and what is to be ``kept``, names in its directory; the record last."""
        mine = {*self.found.files, *self.found.links}
        folder = RECORD.parent
        loaded_by = [
            place for place in places.LOADED_BY if place.relative_to(folder).parts[0] not in kept
        ]
        try:
            for place in (*loaded_by, *map(Path, sorted(mine, reverse=True))):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    os.unlink(self.root / place)
                    sync_directory((self.root / place).parent)
            for path in mine:
                self._tidy((self.root / path).parent)
            state = self.root / folder
            for name in sorted(self.state() - kept):
                if name == RECORD.name or name.startswith(_KEPT):
                    continue
                there = state / name
                if there.is_dir() and not there.is_symlink():
                    shutil.rmtree(there)
                else:
                    os.unlink(there)
            sync_directory(state)
            os.unlink(self.root / RECORD)
            sync_directory(state)
        except OSError as error:
            raise translate_oserror(error, str(error.filename or self.root)) from error

    def _tidy(self, folder: Path) -> None:
        """Directories that hold nothing any more, up to those of the host itself."""
        stops = {self.root / one for one in ("etc", "etc/systemd/system", "var")}
        while folder not in stops and self.root in folder.parents:
            try:
                os.rmdir(folder)
            except OSError:
                return
            folder = folder.parent
