# SPDX-License-Identifier: Apache-2.0
"""What grants must not say: each row is refused by the sealed gate, with the number of the reason.

Every blob is signed by the right key over the very bytes that are wrong. A row is one of them and
its control, the same with that one thing right and the same serial; the control is sent right
behind and must be accepted, and the refusal must have changed nothing in the gate's status.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.boot import EXTENSION, OS
from verity.formats.gate_calls import Refusal
from verity.formats.grants import Party, Role

from .gate_blobs import (
    EXPIRES,
    PATH_AT,
    Blob,
    ElevateRow,
    code_rows,
    config_entry,
    config_link,
    digest,
    fragment,
    signature,
    signed,
)
from .gate_machine import ACCEPTED, Gate, serial, value
from .gate_world import ETC
from .gate_wrong_grants import ROWS, SIGNERS, Row, spare, tools


@pytest.fixture(scope="module")
def serials() -> Iterator[int]:
    """Serials that no stream has had yet."""
    return itertools.count(1)


def refused_then_accepted(gate: Gate, bad: bytes, good: bytes, refusal: Refusal) -> None:
    """The gate's answers, and that the first of them changed nothing."""
    heard = gate.call("status", "next", "status", "next", fragments=bad + good)
    assert heard.answers == (refusal.number, ACCEPTED)
    assert heard.statuses[0] == heard.statuses[1]


def refused(gate: Gate, bad: bytes, refusal: Refusal) -> None:
    """With this number, and without any change."""
    heard = gate.call("status", "next", "status", fragments=bad)
    assert heard.answers == (refusal.number,)
    assert heard.statuses[0] == heard.statuses[1]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_wrong_and_well_signed(sealed: Gate, serials: Iterator[int], row: Row) -> None:
    good = row.base(next(serials))
    bad = row.spoil(good).encode()
    signers = SIGNERS[row.base]
    refused_then_accepted(
        sealed, signed(bad, *signers), signed(good.encode(), *signers), row.refusal
    )


ALTERED = {
    "the serial": 33,
    "the end": 48,
    "the manifest": 120,
    "a digest": PATH_AT + 5,
    "the flags": PATH_AT + 32,
    "the last byte": PATH_AT + 3 * 40 - 1,
}
"""Where a byte changes after signing; none of it is looked at before the signature but the first
two, which stay good."""


@pytest.mark.parametrize("what", ALTERED)
def test_altered_after_signing(sealed: Gate, serials: Iterator[int], what: str) -> None:
    good = tools(next(serials)).encode()
    bad = bytearray(good)
    bad[ALTERED[what]] ^= 2
    right = signature(EXTENSION, good)
    refused_then_accepted(
        sealed, fragment(bytes(bad), right), fragment(good, right), Refusal.THRESHOLD
    )


@pytest.mark.parametrize("cut", [1, 8, 40, 3 * 40])
def test_truncated(sealed: Gate, serials: Iterator[int], cut: int) -> None:
    good = tools(next(serials)).encode()
    short, right = good[:-cut], signature(EXTENSION, good)
    for bad in (fragment(short, right), signed(short, EXTENSION)):
        refused(sealed, bad, Refusal.HEADER)
    assert sealed.send(fragment(good, right)) == (ACCEPTED,)


def test_replayed_older_and_contradicting(sealed: Gate, serials: Iterator[int]) -> None:
    older, current = tools(next(serials)), tools(next(serials))
    other = replace(current, code=code_rows(7, 1))
    assert sealed.send(signed(current.encode(), EXTENSION)) == (ACCEPTED,)
    refused(sealed, signed(current.encode(), EXTENSION), Refusal.SERIAL)
    refused(sealed, signed(older.encode(), EXTENSION), Refusal.SERIAL)
    # The same serial for another tree; and for the same tree with other grants.
    contradiction = replace(other, manifest=b"\1" * 32)
    refused(sealed, signed(contradiction.encode(), EXTENSION), Refusal.EQUIVOCATION)
    refused(sealed, signed(other.encode(), EXTENSION), Refusal.SERIAL)
    later = replace(contradiction, serial=next(serials))
    assert sealed.send(signed(later.encode(), EXTENSION)) == (ACCEPTED,)
    assert serial(sealed.status(), "tools") == later.serial


def test_time_does_not_go_back(sealed: Gate, serials: Iterator[int]) -> None:
    """What was accepted proves a time, whatever the machine's clock says; not by a day or more."""
    now = int(sealed.machine.run("date +%s").text)
    ahead = now + 12 * 3600
    far = replace(tools(next(serials)), issued=EXPIRES - 10)
    soon = replace(tools(next(serials)), expires=now + 3600)
    proof = replace(tools(next(serials)), issued=ahead)
    before = replace(tools(next(serials)), expires=ahead)
    after = replace(before, expires=ahead + 1)
    assert sealed.send(signed(far.encode(), EXTENSION)) == (ACCEPTED,)
    assert sealed.send(signed(soon.encode(), EXTENSION)) == (ACCEPTED,)
    assert sealed.send(signed(proof.encode(), EXTENSION)) == (ACCEPTED,)
    refused(sealed, signed(before.encode(), EXTENSION), Refusal.EXPIRED)
    assert sealed.send(signed(after.encode(), EXTENSION)) == (ACCEPTED,)


def test_sixteen_elevations_of_one_digest(sealed: Gate, serials: Iterator[int]) -> None:
    """They are taken, and again; sixteen others have no room until these are gone."""
    rows = tuple(ElevateRow(digest=digest(60), uid=uid) for uid in range(32))
    first, second = rows[:16], rows[16:]
    steps = [(first, ACCEPTED), (first, ACCEPTED), (second, Refusal.TUPLES.number)]
    for table, answer in [*steps, ((), ACCEPTED), (second, ACCEPTED)]:
        blob = replace(spare(next(serials)), elevate=table)
        assert sealed.send(signed(blob.encode(), OS)) == (answer,)


def paths(number: int, stream: bytes, *rows: bytes) -> bytes:
    """What the vendor's or the user's stream puts at paths."""
    of = {b"config": (Party.USER, Role.ETC, ETC[:2])}
    party, role, signers = of.get(stream, (Party.VENDOR, Role.OS, (OS,)))
    blob = Blob(serial=number, party=party, role=role, stream=stream, config=b"".join(rows))
    return signed(blob.encode(), *signers)


def test_a_third_stream_for_a_path(sealed: Gate, serials: Iterator[int]) -> None:
    """Two may grant a path, each may renew, and when one lets go another may."""
    a, b = config_entry(b"/etc/third/a"), config_link(b"/etc/third/b", b"a")
    # The last one gives back what `spare` had before: a refused import does that, too.
    blobs = [paths(next(serials), stream, a) for stream in (b"config", b"spare", b"spare")]
    assert sealed.send(*blobs) == (ACCEPTED,) * 3
    before = sealed.status()
    assert sealed.send(paths(next(serials), b"third", a, b)) == (Refusal.THIRD_STREAM.number,)
    assert sealed.status() == before
    assert sealed.send(paths(next(serials), b"config", a, b)) == (ACCEPTED,)
    assert sealed.send(paths(next(serials), b"config", b)) == (ACCEPTED,)
    assert sealed.send(paths(next(serials), b"third", a)) == (ACCEPTED,)


def test_more_paths_than_there_is_room(sealed: Gate, serials: Iterator[int]) -> None:
    """Refused whole; what a stream lets go makes room again."""
    used, capacity = map(int, value(sealed.status(), "config").split())
    assert capacity == 8192
    number = next(serials)
    rows = [config_entry(b"/etc/many/%05d" % n) for n in range(capacity - used + 1)]
    for count, answer in ((len(rows), Refusal.PATHS.number), (len(rows) - 1, ACCEPTED)):
        with sealed.machine.exchange() as (host, guest):
            (host / "fragments").write_bytes(paths(number, b"third", *rows[:count]))
            heard = sealed.call(f"from={guest}/fragments", "next", timeout_s=120)
        assert heard.answers == (answer,)
    assert value(sealed.status(), "config") == "8192 8192"
    one = paths(next(serials), b"config", config_entry(b"/etc/one"))
    assert sealed.send(one) == (Refusal.PATHS.number,)
    assert sealed.send(paths(next(serials), b"third")) == (ACCEPTED,)
    assert sealed.send(one) == (ACCEPTED,)
