# SPDX-License-Identifier: Apache-2.0
"""What a host keeps about its signed /etc: a directory for each serial, the intent, the journal.

    SERIAL/{statement.json,manifest,grants}   as signed, written all at once, never changed
    current                                   the serial that is the intent: the first one in it
                                              that is there
    journal                                   an apply that has begun and not ended
    lock                                      held by who writes

It gives out bytes that nothing has verified. Everything is readable by root alone: a digest says
whether a guess at a short secret is right.
"""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verity.formats import dump, records, statement, strictjson
from verity.ports.osfile import (
    closing,
    make_directories,
    read_file,
    replace_file,
    sync_directory,
    translate_oserror,
    write_new_directory,
)
from verity.values.errors import ContentError, HostError

STATEMENT = "statement.json"
MANIFEST = "manifest"
GRANTS = "grants"

_CURRENT = "current"
_JOURNAL = "journal"
_SERIAL = re.compile(r"[1-9][0-9]{0,15}")
_MAX_SMALL = 4096


@dataclass(frozen=True, kw_only=True)
class Stored:
    """The bytes of one serial."""

    statement: bytes
    manifest: bytes
    grants: bytes


@dataclass(frozen=True, kw_only=True)
class Journal:
    """To which intent, and from which: several if one apply was interrupted by another."""

    before: tuple[int, ...]
    after: int


class EtcState:
    """The directory of all that; it need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def writing(self, *, create: bool = False) -> Iterator[None]:
        """Hold the lock; what a killed writer left half done is removed first."""
        if create:
            make_directories(self.path, mode=0o700)
        elif not self.path.is_dir():
            raise not_signed(self.path)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            with closing(os.open(self.path / "lock", flags, 0o600)) as fd:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise HostError(
                        "busy",
                        f"{self.path}: another `verity etc` writes here",
                        hint="wait for it; `fuser` on the file lock names the process",
                    ) from error
                self._tidy()
                yield
        except OSError as error:
            raise translate_oserror(error, str(self.path)) from error

    def serials(self) -> list[int]:
        """All that are there, ascending."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise translate_oserror(error, str(self.path)) from error
        return sorted(int(name) for name in names if _SERIAL.fullmatch(name))

    def current(self) -> int | None:
        """The serial that is the intent; None before the first was signed."""
        data = self._small(_CURRENT)
        if data is None:
            return None
        lines = data.decode("ascii", "replace").splitlines()
        if not lines or not all(_SERIAL.fullmatch(line) for line in lines):
            raise ContentError(
                "bad-state",
                f"{self.path / _CURRENT}: no list of serials",
                hint="remove it; then `verity etc apply SERIAL` writes it anew",
            )
        return next((int(line) for line in lines if (self.path / line).is_dir()), None)

    def make_current(self, serial: int) -> None:
        """From now on this is the intent; durable."""
        self._write_current([serial])

    def add(self, serial: int, stored: Stored) -> None:
        """Write a new serial and make it the intent, durably, both at once or nothing.

        1. ``current`` names the new one and behind it the old: the first that is there counts.
        2. So the new one is the intent from the moment that its directory has its name.
        """
        files = {STATEMENT: stored.statement, MANIFEST: stored.manifest, GRANTS: stored.grants}
        before = self.current()
        self._write_current([serial] if before is None else [serial, before])
        write_new_directory(self.path / str(serial), files, mode=0o600)

    def _write_current(self, serials: list[int]) -> None:
        data = b"".join(b"%d\n" % serial for serial in serials)
        replace_file(self.path / _CURRENT, data, mode=0o600)

    def load(self, serial: int) -> Stored:
        """Read a serial."""
        folder = self.path / str(serial)
        if not folder.is_dir():
            known = ", ".join(map(str, self.serials()[-8:])) or "none"
            raise HostError(
                "no-serial",
                f"{folder}: there is no signed /etc of this serial",
                hint=f"there is: {known}; `verity etc sign` makes one",
            )
        return Stored(
            statement=read_file(folder / STATEMENT, max_size=statement.MAX_ENVELOPE),
            manifest=read_file(folder / MANIFEST, max_size=dump.MAX_SIZE),
            grants=read_file(folder / GRANTS, max_size=records.MAX_SIZE),
        )

    def journal(self) -> Journal | None:
        """What has begun and not ended."""
        data = self._small(_JOURNAL)
        if data is None:
            return None
        label = str(self.path / _JOURNAL)
        fields = strictjson.Fields(
            strictjson.parse(data, what=label, max_size=_MAX_SMALL), what=label
        )
        before, after = fields.array("before"), fields.integer("after")
        fields.end()
        if not all(type(serial) is int and serial > 0 for serial in [*before, after]):
            strictjson.refuse(label, "its serials are no numbers from 1")
        return Journal(before=tuple(before), after=after)

    def begin(self, journal: Journal) -> None:
        """Write the journal, durably: from here on the new state is what it leads to."""
        data = strictjson.canonical({"before": list(journal.before), "after": journal.after})
        replace_file(self.path / _JOURNAL, data + b"\n", mode=0o600)

    def end(self) -> None:
        """Remove the journal, durably."""
        try:
            os.unlink(self.path / _JOURNAL)
            sync_directory(self.path)
        except OSError as error:
            raise translate_oserror(error, str(self.path / _JOURNAL)) from error

    def _small(self, name: str) -> bytes | None:
        try:
            return read_file(self.path / name, max_size=_MAX_SMALL)
        except HostError as error:
            if error.code == "not-found":
                return None
            raise

    def _tidy(self) -> None:
        for name in os.listdir(self.path):
            if name.startswith(".") and name.endswith(".tmp"):
                left = self.path / name
                if left.is_dir():
                    shutil.rmtree(left)
                else:
                    left.unlink()


def not_signed(path: Path) -> HostError:
    """The error of a host whose /etc was never signed."""
    return HostError(
        "not-signed",
        f"{path}: there is no signed /etc",
        hint="`verity etc sign` makes one of what is there",
    )
