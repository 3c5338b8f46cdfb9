# SPDX-License-Identifier: Apache-2.0
"""What a host keeps about its signed /etc: a directory for each serial, the intent, the journal.

    SERIAL/{statement.json,manifest,grants}   as signed, written all at once, never changed
    current                                   the serial that is the intent: the first one in it
                                              that is there
    stream                                    the stream that is this host's own
    journal                                   an apply that has begun and not ended
    lock                                      held by who writes

It gives out bytes that nothing has verified. Everything is readable by root alone: a digest says
whether a guess at a short secret is right. No symlink below the root is followed.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from verity.formats import dump, records, statement, strictjson
from verity.formats.grants import is_stream_name
from verity.ports.folder import Folder
from verity.ports.osfile import closing, translate_oserror
from verity.values.errors import ContentError, HostError

STATEMENT = "statement.json"
MANIFEST = "manifest"
GRANTS = "grants"

_CURRENT = "current"
_STREAM = "stream"
_JOURNAL = "journal"
_LOCK = "lock"
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

    def __init__(self, root: Path, below: PurePath) -> None:
        self.path = root / below
        self._root, self._below = root, below

    @contextlib.contextmanager
    def writing(self, *, create: bool = False) -> Iterator[None]:
        """Hold the lock; what a killed writer left half done is removed first."""
        with contextlib.ExitStack() as stack:
            try:
                folder = stack.enter_context(self._open(0o700 if create else None))
            except HostError as error:
                if error.code == "not-found":
                    raise not_signed(self.path) from error
                raise
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            try:
                fd = stack.enter_context(closing(os.open(_LOCK, flags, 0o600, dir_fd=folder.fd)))
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HostError(
                    "busy",
                    f"{self.path}: another `verity etc` writes here",
                    hint="wait for it; `fuser` on the file lock names the process",
                ) from error
            except OSError as error:
                raise translate_oserror(error, str(self.path / _LOCK)) from error
            folder.remove_temporary()
            yield

    def serials(self) -> list[int]:
        """All that are there, ascending."""
        try:
            with self._open() as folder:
                names = folder.names()
        except HostError as error:
            if error.code == "not-found":
                return []
            raise
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
        with self._open() as folder:
            return next((int(line) for line in lines if folder.has_folder(line)), None)

    def must_current(self) -> int:
        """The same; HostError (``not-signed``, ``no-intent``) if there is none."""
        serial = self.current()
        if serial is not None:
            return serial
        serials = self.serials()
        if not serials:
            raise not_signed(self.path)
        known = ", ".join(map(str, serials[-8:]))
        raise HostError(
            "no-intent",
            f"{self.path / _CURRENT}: it is gone, or what it names is, and it says which signed"
            " serial is the intent",
            hint=f"there is: {known}; `verity etc apply {serials[-1]}` makes that the intent again",
        )

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
        with self._open() as folder:
            folder.add_folder(str(serial), files, mode=0o600)

    def _write_current(self, serials: list[int]) -> None:
        self._write(_CURRENT, b"".join(b"%d\n" % serial for serial in serials))

    def load(self, serial: int) -> Stored:
        """Read a serial."""
        with self._open() as folder:
            if not folder.has(str(serial)):
                known = ", ".join(map(str, self.serials()[-8:])) or "none"
                raise HostError(
                    "no-serial",
                    f"{self.path / str(serial)}: there is no signed /etc of this serial",
                    hint=f"there is: {known}; `verity etc sign` makes one",
                )
            with folder.inside(str(serial)) as there:
                return Stored(
                    statement=there.read(STATEMENT, max_size=statement.MAX_ENVELOPE),
                    manifest=there.read(MANIFEST, max_size=dump.MAX_SIZE),
                    grants=there.read(GRANTS, max_size=records.MAX_SIZE),
                )

    @property
    def stream_file(self) -> Path:
        """Where the host's own stream stands, for messages."""
        return self.path / _STREAM

    def statement(self, serial: int) -> bytes:
        """The statement of a serial alone."""
        with self._open() as folder, folder.inside(str(serial)) as there:
            return there.read(STATEMENT, max_size=statement.MAX_ENVELOPE)

    def stream(self) -> str | None:
        """The stream that is this host's own; None before the first was signed or applied."""
        data = self._small(_STREAM)
        if data is None:
            return None
        name = data.decode("ascii", "replace").removesuffix("\n")
        if not is_stream_name(name):
            raise ContentError(
                "bad-state",
                f"{self.stream_file}: no name of a stream",
                hint="write the name there that `verity etc sign --stream` had, or remove it",
            )
        return name

    def keep_stream(self, name: str) -> None:
        """Make a stream this host's own, durably, if none is."""
        if self.stream() is None:
            self._write(_STREAM, b"%b\n" % name.encode("ascii"))

    def journal(self) -> Journal | None:
        """What has begun and not ended."""
        data = self._small(_JOURNAL)
        if data is None:
            return None
        label = str(self.path / _JOURNAL)
        try:
            fields = strictjson.Fields(
                strictjson.parse(data, what=label, max_size=_MAX_SMALL), what=label
            )
            before, after = fields.array("before"), fields.integer("after")
            fields.end()
            if not all(type(serial) is int and serial > 0 for serial in [*before, after]):
                strictjson.refuse(label, "its serials are no numbers from 1")
        except ContentError as error:
            raise ContentError(
                error.code,
                error.message,
                hint="an apply was interrupted, and what it was is lost:"
                " `verity etc apply --abandon-as-is`, then look at `verity etc diff`",
            ) from error
        return Journal(before=tuple(before), after=after)

    def has_journal(self) -> bool:
        """Whether something has begun and not ended, even if its journal is damaged."""
        with self._open() as folder:
            return folder.has(_JOURNAL)

    def begin(self, journal: Journal) -> None:
        """Write the journal, durably: from here on the new state is what it leads to."""
        data = strictjson.canonical({"before": list(journal.before), "after": journal.after})
        self._write(_JOURNAL, data + b"\n")

    def end(self) -> None:
        """Remove the journal, durably."""
        with self._open() as folder:
            folder.remove(_JOURNAL)

    def _write(self, name: str, data: bytes) -> None:
        with self._open() as folder:
            folder.replace(name, data, mode=0o600)

    def _small(self, name: str) -> bytes | None:
        try:
            with self._open() as folder:
                return folder.read(name, max_size=_MAX_SMALL)
        except HostError as error:
            if error.code == "not-found":
                return None
            raise

    def _open(self, create: int | None = None) -> contextlib.AbstractContextManager[Folder]:
        return Folder.opened(self._root, self._below, create=create)


def not_signed(path: Path) -> HostError:
    """The error of a host whose /etc was never signed."""
    return HostError(
        "not-signed",
        f"{path}: there is no signed /etc",
        hint="`verity etc sign` makes one of what is there",
    )
