# SPDX-License-Identifier: Apache-2.0
"""A stream's next serial takes the place of the one before, and of nothing else.

What runs is tried with real programs, as root, on the sealed machine; what only the tables show is
read from the status.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.boot import EXTENSION
from verity.formats.gate_calls import Refusal
from verity.formats.grants import Code
from verity.ports.content import digest_path

from .gate_blobs import Blob, CodeRow, code_rows, signed
from .gate_machine import ACCEPTED, AT, SEALED, SPECIMENS, Gate, serial, value


@pytest.fixture(autouse=True)
def fresh(sealed: Gate) -> None:
    """Each test starts right after the seal."""
    sealed.machine.restore(SEALED)


@pytest.fixture(scope="module")
def digests(gate_files: Path) -> dict[str, bytes]:
    """The specimens' digests by their names."""
    return {name: digest_path(gate_files / name).value for name in SPECIMENS}


def blob(stream: str, number: int, *digests: bytes, flags: int = int(Code.EXEC)) -> bytes:
    """A fragment that grants these."""
    rows = tuple(CodeRow(digest=digest, flags=flags) for digest in sorted(digests))
    return signed(Blob(serial=number, stream=stream.encode(), code=rows).encode(), EXTENSION)


def running(gate: Gate) -> str:
    """Which specimens root can start, by their names; the gate's reason must be not-granted."""
    before = len(gate.denials())
    done = gate.machine.run(f"for name in {' '.join(SPECIMENS)}; do {AT}/$name; done", check=False)
    names = done.text.replace("ran ", "").replace("\n", "")
    refused = [denial for denial in gate.denials()[before:] if denial.enforced]
    assert [(one.reason, one.act) for one in refused] == [("not-granted", "exec")] * (
        len(SPECIMENS) - len(names)
    )
    return names


def test_only_the_newest_serial_counts(sealed: Gate, digests: dict[str, bytes]) -> None:
    a, b, c, d = (digests[name] for name in SPECIMENS)
    assert running(sealed) == ""
    for number, granted, names in (
        (1, (a, b), "ab"),
        (2, (b, c), "bc"),
        (7, (c, d), "cd"),
        (8, (a,), "a"),
    ):
        assert sealed.send(blob("tools", number, *granted)) == (ACCEPTED,)
        assert running(sealed) == names
        assert serial(sealed.status(), "tools") == number


def test_an_empty_serial_takes_everything_away(sealed: Gate, digests: dict[str, bytes]) -> None:
    assert sealed.send(blob("tools", 1, *digests.values())) == (ACCEPTED,)
    assert running(sealed) == "abcd"
    assert sealed.send(blob("tools", 2)) == (ACCEPTED,)
    assert running(sealed) == ""


def test_a_refused_serial_leaves_the_old_one(sealed: Gate, digests: dict[str, bytes]) -> None:
    a, b, *_ = digests.values()
    assert sealed.send(blob("tools", 1, a)) == (ACCEPTED,)
    assert sealed.send(blob("tools", 2, a, b, flags=4)) == (Refusal.FLAGS.number,)
    assert running(sealed) == "a"


def test_other_flags_of_the_same_digest(sealed: Gate, digests: dict[str, bytes]) -> None:
    """From program to library and back: the use is refused, not the file."""
    a = digests["a"]
    for number, flags, runs in ((1, Code.EXEC, True), (2, Code.LIBRARY, False), (3, 33, True)):
        assert sealed.send(blob("tools", number, a, flags=int(flags))) == (ACCEPTED,)
        done = sealed.machine.run([f"{AT}/a"], check=False)
        assert (done.text == "ran a") is runs
    assert [one.reason for one in sealed.denials() if one.enforced][-1] == "wrong-use"


def test_a_digest_that_two_streams_grant(sealed: Gate, digests: dict[str, bytes]) -> None:
    a, b, *_ = digests.values()
    assert sealed.send(blob("t1", 1, a), blob("t2", 1, a, b)) == (ACCEPTED,) * 2
    assert running(sealed) == "ab"
    assert sealed.send(blob("t2", 2)) == (ACCEPTED,)
    assert running(sealed) == "a"
    assert sealed.send(blob("t1", 2)) == (ACCEPTED,)
    assert running(sealed) == ""


def test_a_fifth_stream(sealed: Gate, digests: dict[str, bytes]) -> None:
    """Four may grant one digest; when one of them lets go, the next may."""
    a, b, *_ = digests.values()
    four = [blob(f"t{n}", 1, a) for n in range(1, 5)]
    assert sealed.send(*four) == (ACCEPTED,) * 4
    before = sealed.status()
    assert sealed.send(blob("t5", 1, a, b)) == (Refusal.FIFTH_STREAM.number,)
    assert sealed.status() == before
    assert running(sealed) == "a"
    # Each of the four may still renew, the fifth may grant other digests.
    assert sealed.send(blob("t2", 2, a), blob("t5", 1, b)) == (ACCEPTED,) * 2
    assert sealed.send(blob("t1", 2)) == (ACCEPTED,)
    assert sealed.send(blob("t5", 2, a, b)) == (ACCEPTED,)
    assert running(sealed) == "ab"


def codes(gate: Gate) -> int:
    """How many digests the gate holds."""
    return int(value(gate.status(), "code").split()[0])


def many(stream: str, number: int, first: int, count: int) -> bytes:
    """A fragment that grants `count` digests of no file."""
    rows = code_rows(first, count)
    return signed(Blob(serial=number, stream=stream.encode(), code=rows).encode(), EXTENSION)


def send_large(gate: Gate, *fragments: bytes) -> tuple[int, ...]:
    """As Gate.send, for what is too long for the agent."""
    with gate.machine.exchange() as (host, guest):
        (host / "fragments").write_bytes(b"".join(fragments))
        steps = ["next"] * len(fragments)
        return gate.call(f"from={guest}/fragments", *steps, timeout_s=120).answers


def test_more_digests_than_there_is_room(sealed: Gate, digests: dict[str, bytes]) -> None:
    """The gate fills up to its last digest; one more is refused whole, and room comes back."""
    held, capacity = map(int, value(sealed.status(), "code").split())
    room = capacity - held
    half = room // 2
    assert capacity == 200_000
    assert half < 100_000
    fill = (many("t1", 1, 0, half), many("t2", 1, half, room - half))
    over = many("t2", 1, half, room - half + 1)
    assert send_large(sealed, fill[0], over) == (ACCEPTED, Refusal.FULL.number)
    assert codes(sealed) == held + half
    assert serial(sealed.status(), "t2") == 0
    assert send_large(sealed, fill[1]) == (ACCEPTED,)
    assert codes(sealed) == capacity
    before = sealed.status()
    assert sealed.send(blob("tools", 1, digests["a"])) == (Refusal.FULL.number,)
    assert sealed.status() == before
    assert running(sealed) == ""
    # What a stream grants already needs no new room, and what it lets go makes some.
    assert send_large(sealed, many("t2", 2, half, room - half - 1)) == (ACCEPTED,)
    assert sealed.send(blob("tools", 1, digests["a"])) == (ACCEPTED,)
    assert running(sealed) == "a"
    assert codes(sealed) == capacity
