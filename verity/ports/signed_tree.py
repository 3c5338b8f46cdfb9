# SPDX-License-Identifier: Apache-2.0
"""A tree held against the bytes of its manifest, in C: only what differs comes back, as records.

A file is as signed if the line that it would have is the manifest's. For anything else there is a
record that names the path and says nothing of what is wrong: that is for ``verity.ports.tree`` and
``verity.ports.kernel``, one file at a time. Nothing here is per file, so neither time nor memory
grows with what is as it should be.
"""

import errno
import functools
import os
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from verity.formats.dump import Entry, entry_of_line
from verity.ports.kernel import ffi, lib
from verity.ports.osfile import open_directory_below, translate_oserror


class State(IntEnum):
    """What is known of a line of the manifest."""

    UNSEEN = 0
    SEEN = lib.VERITY_SEEN
    AS_SIGNED = lib.VERITY_AS_SIGNED
    BY_KERNEL = lib.VERITY_BY_KERNEL
    GRANTED = lib.VERITY_GRANTED
    BY_HASH = lib.VERITY_BY_HASH
    PASSED = lib.VERITY_PASSED


class What(IntEnum):
    """Why there is a record (cffi-build/walk.h)."""

    CLOSER = lib.VERITY_CLOSER
    NO_VERITY = lib.VERITY_NO_VERITY
    STAYS = lib.VERITY_STAYS
    MOUNT = lib.VERITY_MOUNT
    UNOPENED = lib.VERITY_UNOPENED
    UNLISTED = lib.VERITY_UNLISTED


@dataclass(frozen=True, slots=True)
class Record:
    """``line`` is that of the manifest, None if it has none; ``error`` is an errno or 0."""

    path: bytes
    line: int | None
    what: What
    error: int


_RECORD = struct.Struct("@IHBB")
if _RECORD.size != ffi.sizeof("struct verity_remark"):
    raise ImportError("struct verity_remark has another layout than this module")
_REFUSED = {errno.ENOMEM: MemoryError}
_ROOM = 1 << 20
_STEP = 1 << 14  # names between two looks at the clock, the progress, or an interrupt


class Lines:
    """A manifest by its lines; ``data`` has to be canonical, as ``is_canonical`` says."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._view = ffi.from_buffer("uint8_t[]", data)  # keeps the bytes, too
        handle = ffi.new("struct verity_manifest **")
        result = lib.verity_manifest_open(self._view, len(data), handle)
        if result < 0:
            raise _REFUSED.get(-result, ValueError)(os.strerror(-result))
        self.handle = ffi.gc(handle[0], lib.verity_manifest_close)
        self.count = lib.verity_manifest_lines(self.handle)

    def text(self, line: int) -> bytes:
        """One line, without its LF."""
        start = lib.verity_manifest_start(self.handle, line)
        return self.data[start : lib.verity_manifest_start(self.handle, line + 1) - 1]

    def entry(self, line: int) -> Entry:
        """The same, read."""
        return entry_of_line(self.text(line))

    def find(self, escaped: bytes) -> int | None:
        """The number of the line of an escaped path."""
        view = ffi.from_buffer("uint8_t[]", escaped)
        line = lib.verity_manifest_find(self.handle, view, len(escaped))
        return None if line == lib.VERITY_NO_LINE else line


@functools.lru_cache(maxsize=1)
def lines_of(data: bytes) -> Lines:
    """The same bytes as lately give the same lines: who verifies a manifest goes on to use it."""
    return Lines(data)


def is_canonical(data: bytes) -> bool:
    """Whether ``dump.parse`` would take these bytes; it says why, where it wouldn't."""
    try:
        lines_of(data)
    except ValueError:
        return False
    return True


class SignedTree:
    """The tree at a root, and the manifest that it is held against.

    ``state`` are paths below the root: what lies in them and has no line is passed by, and counted
    in ``passed``. ``granted`` are digests that get a state of their own. ``deep`` evicts each file
    that has fs-verity and reads it back from the disk. ``threads`` is as many as there are
    processors for this process, at most 8, if 0.
    """

    def __init__(
        self,
        root: Path,
        lines: Lines,
        *,
        state: Sequence[bytes] = (),
        granted: Collection[bytes] = (),
        deep: bool = False,
        threads: int = 0,
    ) -> None:
        self.lines = lines
        self.states = bytearray(lines.count)
        # What C points to has to stay.
        self._kept = (
            ffi.from_buffer("uint8_t[]", self.states, True),
            ffi.from_buffer("char[]", b"".join(path + b"\0" for path in state)),
            ffi.from_buffer("uint8_t[]", b"".join(sorted(granted))),
        )
        try:
            self._fd = open_directory_below(root, b"/")
        except OSError as error:
            raise translate_oserror(error, str(root)) from error
        handle = ffi.new("struct verity_walk **")
        states, places, digests = self._kept
        result = lib.verity_walk_start(
            lines.handle,
            self._fd,
            places,
            len(state),
            digests,
            len(granted),
            deep,
            threads or min(len(os.sched_getaffinity(0)), 8),
            states,
            handle,
        )
        if result < 0:
            os.close(self._fd)
            raise MemoryError(os.strerror(-result))
        self._walk = handle[0]

    def __enter__(self) -> "SignedTree":
        return self

    def __exit__(self, *exc: object) -> None:
        lib.verity_walk_end(self._walk)
        os.close(self._fd)

    def records(self) -> Iterator[Sequence[Record]]:
        """What wants a closer look, in no order; an empty one now and then tells of progress."""
        room = bytearray(_ROOM)
        view = ffi.from_buffer("uint8_t[]", room, True)
        used = ffi.new("size_t *")
        while True:
            result = lib.verity_walk_step(self._walk, _STEP, view, len(room), used)
            if result < 0:
                raise MemoryError(os.strerror(-result))
            yield list(_records(bytes(room[: used[0]])))
            if not result:
                return

    @property
    def passed(self) -> int:
        """How many names were passed by, because they are state."""
        return lib.verity_walk_passed(self._walk)


def _records(data: bytes) -> Iterator[Record]:
    at = 0
    while at < len(data):
        line, length, what, error = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        path = data[at : at + length]
        at += (length + 3) // 4 * 4
        yield Record(path, None if line == lib.VERITY_NO_LINE else line, What(what), error)
