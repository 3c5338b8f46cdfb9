# SPDX-License-Identifier: Apache-2.0
"""The ledger of unlocks on disk: lines are appended under its lock, and durable before it returns.

Nothing that was written is changed. The one exception is the end that a crash cut off in the middle
of a line: that line was never acknowledged, it goes, and the next one says so. Beside the ledger
lies a copy of its head, and another one in /run, which a rollback of the disk doesn't take back.
Where the TPM has a counter for it (``tpm_counter.py``), each append counts one.
"""

import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from verity.formats import ledger
from verity.formats.ledger import Chain, Entry, Event, Head
from verity.ports import ledger_turn, places
from verity.ports.folder import Folder
from verity.ports.osfile import closing, lock, translate_oserror
from verity.ports.tpm_counter import TpmCounter
from verity.values.errors import ContentError, HostError

_MODE = 0o600
_OPEN = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_COPY = Path("ledger.head")
_RUN = Path("run/verity")


def append(
    root: Path, entries: Sequence[Entry], counter: TpmCounter | None = None
) -> tuple[str, ...]:
    """Write entries, on the disk when this returns; what is to be told of the counter.

    1. Lock; take away what a crash cut off, and see whether it ends as its heads and the TPM say.
    2. Append what follows the last line, and first what was found.
    3. Copy the head, first to the disk; the TPM counts.
    """
    path = places.LEDGER
    with Folder.opened(root, path.parent, create=0o755) as folder:
        label = root / path
        try:
            with closing(os.open(path.name, _OPEN, _MODE, dir_fd=folder.fd)) as fd:
                # 1. Lock.
                lock(fd, label=str(label))
                before, torn = _last(fd, label)
                heads, damaged = _heads(root)
                found = [*damaged, *_broken(fd, before, heads)][:1]
                turn = ledger_turn.begin(counter, None if counter is None else _counted(fd))
                # 2. Append.
                data = b""
                notes = _notes(torn, [*found, *turn.found], entries[0])
                for entry in turn.numbered([*notes, *entries]):
                    following = ledger.line(entry, before)
                    before = ledger.head_of(following)
                    data += following
                _write(fd, data)
                os.fsync(fd)
                os.fsync(folder.fd)
                # 3. Heads.
                folder.replace(_COPY.name, ledger.encode_head(before), mode=_MODE)
                told = ledger_turn.end(counter, turn)
        except OSError as error:
            raise translate_oserror(error, str(label)) from error
    with Folder.opened(root, _RUN, create=0o755) as folder:
        folder.replace(_COPY.name, ledger.encode_head(before), mode=_MODE)
    return told


def read(root: Path) -> Chain:
    """What is there, with everything that is wrong with it; empty before the first entry."""
    path = places.LEDGER
    heads, problems = _heads(root)
    try:
        with Folder.opened(root, path.parent) as folder:
            data = folder.read(path.name, max_size=ledger.MAX_SIZE)
    except HostError as error:
        if error.code == "too-large":
            error.hint = f"keep a copy, and move it away with {_COPY} to begin anew"
        if error.code != "not-found":
            raise
        data = b""
    chain = ledger.read(data)
    problems += ledger.against(chain, heads)
    return Chain(
        entries=chain.entries, digests=chain.digests, problems=(*chain.problems, *problems)
    )


def _heads(root: Path) -> tuple[list[Head], list[str]]:
    heads, problems = [], []
    for place in (places.LEDGER.parent / _COPY, _RUN / _COPY):
        try:
            with Folder.opened(root, place.parent) as folder:
                heads.append(ledger.parse_head(folder.read(place.name, max_size=4096)))
        except HostError as error:
            if error.code != "not-found":
                raise
        except ContentError as error:
            problems.append(f"{root / place}: {error.message}")
    return heads, problems


def _notes(torn: int, broken: Sequence[str], now: Entry) -> list[Entry]:
    """What must be said before anything else."""

    def note(event: Event, why: str) -> Entry:
        return Entry(event=event, at=now.at, boot=now.boot, clock_s=now.clock_s, texts={"why": why})

    notes = []
    if torn:
        notes.append(note(Event.TORN, f"{torn} bytes of a line that a crash had cut off"))
    return [*notes, *(note(Event.BROKEN, why) for why in broken)]


def _broken(fd: int, last: Head, heads: Sequence[Head]) -> Iterator[str]:
    """Where a ledger isn't as its heads say, which are about to be others. A head is behind where
    its writer was killed, and never ahead."""
    for head in heads:
        if head.number > last.number:
            yield f"it ended with entry {last.number}, and had {head.number}"
        elif head != last and head.number and _digest(fd, head.number) != head.sha256:
            yield f"its entry {head.number} is another one than it was"


def _counted(fd: int) -> int | None:
    """The last number that the TPM was to have."""
    os.lseek(fd, 0, os.SEEK_SET)
    with open(fd, "rb", closefd=False) as file:
        return ledger.last_counter(file.read(ledger.MAX_SIZE))


def _digest(fd: int, number: int) -> bytes:
    """Of the line of this number, which is there."""
    os.lseek(fd, 0, os.SEEK_SET)
    with open(fd, "rb", closefd=False) as file:
        line = next(itertools.islice(file, number - 1, None), b"")
    return hashlib.sha256(line).digest()


def _last(fd: int, label: Path) -> tuple[Head, int]:
    """The last whole line, and how many bytes behind it were taken away."""
    size = os.fstat(fd).st_size
    tail = os.pread(fd, 2 * ledger.MAX_LINE, max(0, size - 2 * ledger.MAX_LINE))
    whole = tail[: tail.rfind(b"\n") + 1]
    torn = len(tail) - len(whole)
    if torn:
        if len(whole) == 0 and size > len(tail):
            raise ContentError("bad-document", f"{label}: it ends in no line of a ledger")
        os.ftruncate(fd, size - torn)
    if not whole:
        return Head(), torn
    try:
        return ledger.head_of(whole[whole.rfind(b"\n", 0, -1) + 1 :]), torn
    except ContentError as error:
        raise ContentError(
            error.code,
            f"{label}: its last line: {error.message}",
            hint="`verity unlock ledger verify` says what is wrong; move it away to begin anew",
        ) from error


def _write(fd: int, data: bytes) -> None:
    """All of it, or none: a full disk takes a part."""
    size, done = os.fstat(fd).st_size, 0
    try:
        while done < len(data):
            done += os.write(fd, data[done:])
    except OSError:
        os.ftruncate(fd, size)
        raise
