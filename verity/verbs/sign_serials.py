# SPDX-License-Identifier: Apache-2.0
"""Serials: the next one, and never one for two things.

A serial is given out under the lock of a record (``ports.serials``), and is in the record, durably,
before anything that has it can be signed or written. Two signers that share the record therefore
never have one serial for two statements. What is attached to commits is looked at besides, so that
a lost record, and commits that were signed elsewhere and pulled, are noticed. Serials grow; one
that was given to something never published is a gap, which nobody minds.

Statements are taken as they are attached, verified or not: a serial that is in use is in use,
whoever signed.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from verity.formats import statement
from verity.formats.serial_record import MAX_SERIAL
from verity.formats.sign_payloads import Opened, TreeSaid
from verity.ports.ostree_repo import Repository
from verity.ports.serials import SerialRecord
from verity.values.errors import CallerError, ContentError, HostError
from verity.verbs import signed

FOLDERS = ("extensions", "verity", "serials")
MAX_COMMITS = 100_000

Attached = Callable[[bool], Iterable[tuple[int, bytes]]]
"""Serials of statements that are out already, with their SHA-256; asked for all history or not."""


def record_of_repository(repository: Repository, stream: str) -> SerialRecord:
    """The record of a stream in a repository: stock ostree leaves ``extensions`` alone."""
    return SerialRecord(Path(repository.label), FOLDERS, f"{stream}.json", stream)


def nothing_attached(history: bool) -> tuple[tuple[int, bytes], ...]:
    """For what has no repository: the record is all there is."""
    return ()


def reserve(record: SerialRecord, attached: Attached, make: Callable[[int], Opened]) -> Opened:
    """What ``make`` gives for the last serial plus one, which is then in the record.

    1. Lock the record.
    2. The last serial is the highest of those in it and those attached.
    3. Write down what has the next one.
    """
    # 1. Lock.
    with record.locked() as book:
        # 2. The last one.
        numbers = [*book.given, *(serial for serial, _ in attached(book.is_new))]
        last = max(numbers, default=0)
        if last >= MAX_SERIAL:
            raise HostError(
                "no-serial",
                f"{record.label}: the serial {last} is in use, and there is none above it",
                hint="somebody attached a statement with the highest of all: find out who",
            )
        opened = make(last + 1)
        # 3. Write down.
        book.given[last + 1] = digest_of(opened)
    return opened


def claim(record: SerialRecord, attached: Attached, opened: Opened) -> bool:
    """Write down what has its serial, or refuse (``equivocation``); True if it is new there."""
    serial, digest = tree_of(opened).statement.serial, digest_of(opened)
    with record.locked() as book:
        there = [book.given[serial]] if serial in book.given else []
        there += [found for number, found in attached(book.is_new) if number == serial]
        _refuse_other(opened, there)
        is_new = serial not in book.given
        book.given[serial] = digest
    return is_new


@contextlib.contextmanager
def given_back(record: SerialRecord | None, opened: Opened) -> Iterator[None]:
    """If the block fails, its serial goes out of the record: nothing was published with it."""
    try:
        yield
    except BaseException:
        if record is not None:
            with record.locked() as book:
                serial = tree_of(opened).statement.serial
                if book.given.get(serial) == digest_of(opened):
                    del book.given[serial]
        raise


def digest_of(opened: Opened) -> bytes:
    """The SHA-256 of the statement."""
    return sha256(opened.bundle.payload or b"").digest()


def tree_of(opened: Opened) -> TreeSaid:
    """What a bundle of a tree says; CallerError for one that has no serial in a stream."""
    if not isinstance(opened.said, TreeSaid):
        raise CallerError("bad-arguments", f"a {opened.bundle.kind} is in no stream of serials")
    return opened.said


def _refuse_other(opened: Opened, there: Iterable[bytes]) -> None:
    said = tree_of(opened).statement
    for digest in there:
        if digest != digest_of(opened):
            raise ContentError(
                "equivocation",
                f"stream {said.stream} serial {said.serial}: statement {digest_of(opened).hex()},"
                f" but statement {digest.hex()} has this serial already",
                hint="take the next serial, as `--serial auto` does: hosts refuse two statements"
                " with one serial",
            )


def attached_to(repository: Repository, stream: str) -> Attached:
    """The statements of a stream that are attached to what the refs of a repository reach.

    With ``history`` to all of it as far as it is there, else to the commits that refs name: what
    this repository's signers attached before is in the record.
    """

    def look(history: bool) -> Iterator[tuple[int, bytes]]:
        for checksum in _reached(repository, history=history):
            yield from _statements(repository, checksum, stream)

    return look


def _reached(repository: Repository, *, history: bool) -> Iterator[str]:
    pending = []
    for name in repository.refs():
        with contextlib.suppress(ContentError):  # a damaged ref reaches nothing
            pending.append(repository.resolve(name))
    seen = set(pending)
    while pending:
        checksum = pending.pop()
        yield checksum
        parent = _parent(repository, checksum) if history else None
        if parent is not None and parent not in seen and len(seen) < MAX_COMMITS:
            seen.add(parent)
            pending.append(parent)


def _parent(repository: Repository, checksum: str) -> str | None:
    try:
        return repository.read_commit(checksum)[1].parent
    except ContentError:
        return None  # damaged: `ostree fsck` says so
    except HostError as error:
        if error.code == "no-such-object":  # history that was not pulled along
            return None
        raise


def _statements(repository: Repository, checksum: str, stream: str) -> Iterator[tuple[int, bytes]]:
    try:
        envelopes = repository.read_detached(checksum).get_byte_arrays(signed.STATEMENT)
    except ContentError:
        return  # what can't be read has no serial that anyone accepts
    for data in envelopes:
        try:
            payload = statement.parse_envelope(data).payload
            said = statement.parse(payload)
        except ContentError:
            continue  # likewise, or provenance of another type
        if said.stream == stream:
            yield said.serial, sha256(payload).digest()
