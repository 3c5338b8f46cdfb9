# SPDX-License-Identifier: Apache-2.0
"""The calls themselves: who may make them, in which order, with which memory; and very many.

Steps are those of gate_tools/call.c, one answer each. After every row a fresh blob is accepted: no
row leaves the gate's one staging area taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot import EXTENSION
from verity.formats.gate_calls import Refusal

from .gate_blobs import Blob, code_rows, signed
from .gate_machine import ACCEPTED, AT, Gate, serial, value

OK = ACCEPTED
PERMISSION, REQUEST, MEMORY, NO_UPLOAD, SEALED, NOT_BOOTING, KIND = (
    refusal.number
    for refusal in (
        Refusal.PERMISSION,
        Refusal.REQUEST,
        Refusal.MEMORY,
        Refusal.NO_UPLOAD,
        Refusal.SEALED,
        Refusal.NOT_BOOTING,
        Refusal.KIND,
    )
)
NO_GATE = 22  # EINVAL: the kernel's own answer to a command that nobody knows
BLOB_MAX = 5 * 2**20
BEGIN, PUT, COMMIT, UNLOCK, SEAL, ENTER, RELOCK = range(7)


@pytest.fixture(scope="module")
def serials() -> Iterator[int]:
    """Serials that no stream has had yet."""
    return itertools.count(1)


def good(number: int, stream: str = "tools") -> bytes:
    """A fragment that is accepted."""
    rows = code_rows(0, 4)
    return signed(Blob(serial=number, stream=stream.encode(), code=rows).encode(), EXTENSION)


def request(
    command: int,
    *,
    attr: int = 32,
    size: int = 32,
    version: int = 1,
    data: str = "0",
    length: int = 0,
    nsig: int = 0,
    sigs: str = "0",
) -> str:
    """Any request, as a step."""
    return f"call={command},{attr},{size},{version},{data},{length},{nsig},{sigs}"


Rows = dict[str, tuple[str, tuple[int, ...]]]

ORDER: Rows = {
    "put without begin": ("put", (NO_UPLOAD,)),
    "commit without begin": ("commit", (NO_UPLOAD,)),
    "commit before anything was put": ("begin commit", (OK, REQUEST)),
    "commit before all was put": ("begin put=0,100 commit", (OK, OK, REQUEST)),
    "a part beyond the length": ("begin=100 put", (OK, REQUEST)),
    "a byte beyond the length": ("begin put put=0,1", (OK, OK, REQUEST)),
    "an empty part": ("begin put=0,0", (OK, REQUEST)),
    "a part that is too long": ("begin=65536 put=0,32769", (OK, REQUEST)),
    "a part of 4 GiB": ("begin=65536 put=0,0xffffffff", (OK, REQUEST)),
    "a blob that is too long": (f"begin={BLOB_MAX + 1}", (REQUEST,)),
    "a blob of 4 GiB": ("begin=0xffffffff", (REQUEST,)),
    "a blob that is too short": ("begin=63", (REQUEST,)),
    "no blob": ("begin=0", (REQUEST,)),
    "the longest and the shortest": (f"begin={BLOB_MAX} begin=64", (OK, OK)),
    "the second begin forgets": ("begin put begin commit", (OK, OK, OK, REQUEST)),
    "commit from another thread": ("begin put thread=commit", (OK, OK, NO_UPLOAD)),
    "put from another thread": ("begin thread=put", (OK, NO_UPLOAD)),
    "another begin ends it before put": ("begin thread=begin put", (OK, OK, NO_UPLOAD)),
    "another begin ends it before commit": (
        "begin put thread=begin commit",
        (OK, OK, OK, NO_UPLOAD),
    ),
}
MEMORY_ROWS: Rows = {
    "a part from nowhere": (
        f"begin {request(PUT, data='nowhere', length=64)}",
        (OK, MEMORY),
    ),
    "a part from address 0": (f"begin {request(PUT, length=64)}", (OK, MEMORY)),
    "a part from the kernel": (
        f"begin {request(PUT, data='0xffffffff81000000', length=64)}",
        (OK, MEMORY),
    ),
    "a part that ends beyond its memory": (
        f"begin {request(PUT, data='edge', length=2)}",
        (OK, MEMORY),
    ),
    "a part at the edge of its memory": (f"begin {request(PUT, data='edge', length=1)}", (OK, OK)),
    "signatures from nowhere": (
        f"begin put {request(COMMIT, nsig=1, sigs='nowhere')}",
        (OK, OK, MEMORY),
    ),
    "signatures from the kernel": (
        f"begin put {request(COMMIT, nsig=1, sigs='0xffffffff81000000')}",
        (OK, OK, MEMORY),
    ),
    "signatures that end beyond their memory": (
        f"begin put {request(COMMIT, nsig=1, sigs='edge')}",
        (OK, OK, MEMORY),
    ),
}
REQUESTS: Rows = {
    **{
        f"{name} in {what}": (f"begin put {request(command, **changes)}", (OK, OK, REQUEST))  # type: ignore[arg-type]  # a table of one request's values
        for what, command in (("begin", BEGIN), ("put", PUT), ("commit", COMMIT), ("seal", SEAL))
        for name, changes in (
            ("a short size", {"size": 31}),
            ("a long size", {"size": 40}),
            ("version 0", {"version": 0}),
            ("version 2", {"version": 2}),
            ("a short call", {"attr": 31}),
            ("a long call", {"attr": 33}),
            ("an empty call", {"attr": 0}),
        )
    },
    "data in begin": (request(BEGIN, length=64, data="blob"), (REQUEST,)),
    "signatures in begin": (request(BEGIN, length=64, nsig=1), (REQUEST,)),
    "a pointer to signatures in begin": (request(BEGIN, length=64, sigs="sigs"), (REQUEST,)),
    "signatures in put": (
        f"begin {request(PUT, data='blob', length=64, nsig=1)}",
        (OK, REQUEST),
    ),
    "data in commit": (
        f"begin put {request(COMMIT, data='blob', nsig=1, sigs='sigs')}",
        (OK, OK, REQUEST),
    ),
    "a length in commit": (
        f"begin put {request(COMMIT, length=1, nsig=1, sigs='sigs')}",
        (OK, OK, REQUEST),
    ),
    "no signatures": ("begin put commit=0", (OK, OK, REQUEST)),
    "nine signatures": ("begin put commit=9", (OK, OK, REQUEST)),
    "4 G signatures": ("begin put commit=0xffffffff", (OK, OK, REQUEST)),
    "data in seal": (request(SEAL, data="blob"), (REQUEST,)),
    "a second seal": (request(SEAL), (SEALED,)),
    "unlock": (request(UNLOCK), (REQUEST,)),
    "no signature in unlock": (request(UNLOCK, data="blob", length=416), (REQUEST,)),
    "enter": (request(ENTER), (NOT_BOOTING,)),
    "relock of nothing": (request(RELOCK), (OK,)),
    "relock of half an id": (request(RELOCK, data="blob", length=8), (REQUEST,)),
    "relock of an id that isn't there": (request(RELOCK, data="nowhere", length=16), (MEMORY,)),
    "relock with data and no length": (request(RELOCK, data="blob"), (REQUEST,)),
    "relock with signatures": (request(RELOCK, nsig=1, sigs="sigs"), (REQUEST,)),
    "unlock with memory that isn't there": (
        request(UNLOCK, data="nowhere", length=416, nsig=1, sigs="sigs"),
        (MEMORY,),
    ),
    "unlock with signatures that aren't there": (
        request(UNLOCK, data="blob", length=416, nsig=1, sigs="nowhere"),
        (MEMORY,),
    ),
    "unlock with another length": (
        request(UNLOCK, data="blob", length=415, nsig=1, sigs="sigs"),
        (REQUEST,),
    ),
    "unlock with nine signatures": (
        request(UNLOCK, data="blob", length=416, nsig=9, sigs="sigs"),
        (REQUEST,),
    ),
    "unlock with something else": (
        request(UNLOCK, data="blob", length=416, nsig=1, sigs="sigs"),
        (KIND,),
    ),
    "a command behind the last": (request(RELOCK + 1), (NO_GATE,)),
    "a command before the first": (request(-1), (NO_GATE,)),
}
CALLERS: Rows = {
    "an ordinary user": ("user=1000 begin put commit", (PERMISSION,) * 3),
    "an ordinary user who seals": (f"user=1000 {request(SEAL)}", (PERMISSION,)),
    "root of a user's own namespace": (
        "user=1000 namespace begin put commit",
        (PERMISSION,) * 3,
    ),
    "root in a namespace of its own": ("namespace begin put commit", (PERMISSION,) * 3),
    "an ordinary user with a bad request": (
        f"user=1000 {request(BEGIN, size=0)}",
        (PERMISSION,),
    ),
    "who was root at begin and put": ("begin put user=1000 commit", (OK, OK, PERMISSION)),
}
ROWS = {**ORDER, **MEMORY_ROWS, **REQUESTS, **CALLERS}


# A user namespace that a row makes is counted, as it is only observed.
COUNTED = ("observed ", "reason user-namespace ")


@pytest.mark.parametrize("name", ROWS)
def test_nothing_comes_of_it(sealed: Gate, serials: Iterator[int], name: str) -> None:
    steps, answers = ROWS[name]
    number = next(serials)
    before = sealed.status()
    heard = sealed.call("take", *steps.split(), fragments=good(number))
    assert heard.answers == answers
    heard = sealed.call("status", "next", fragments=good(number))
    (after,) = heard.statuses
    assert [line for line in after if not line.startswith(COUNTED)] == [
        line for line in before if not line.startswith(COUNTED)
    ]
    assert heard.answers == (ACCEPTED,)


TAKEN: Rows = {
    "three calls": ("begin put commit", (OK, OK, OK)),
    "in parts": ("begin put=0,1 put=1,167 put=168,160 commit", (OK,) * 5),
    "begun again": ("begin put begin put commit", (OK,) * 5),
    "committed again": ("begin put commit commit", (OK, OK, OK, NO_UPLOAD)),
    "put again": ("begin put commit put", (OK, OK, OK, NO_UPLOAD)),
    "a bad part ends nothing": ("begin put=0,0 put commit", (OK, REQUEST, OK, OK)),
    "a bad commit ends nothing": ("begin put commit=9 commit", (OK, OK, REQUEST, OK)),
    "bad memory ends nothing": (
        f"begin {request(PUT, data='nowhere', length=64)} put"
        f" {request(COMMIT, nsig=1, sigs='nowhere')} commit",
        (OK, MEMORY, OK, MEMORY, OK),
    ),
    "another thread's tries end nothing": (
        "begin put thread=put thread=commit commit",
        (OK, OK, NO_UPLOAD, NO_UPLOAD, OK),
    ),
    "who waits for memory holds nothing": ("stall begin put commit", (OK, OK, OK)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_it_is_taken(sealed: Gate, serials: Iterator[int], name: str) -> None:
    steps, answers = TAKEN[name]
    number = next(serials)
    heard = sealed.call("take", *steps.split(), "status", fragments=good(number))
    assert heard.answers == answers
    assert serial(heard.statuses[0], "tools") == number


def test_another_upload_in_between(sealed: Gate, serials: Iterator[int]) -> None:
    number, other = next(serials), next(serials)
    steps = ("take", "begin", "put=0,168", "thread=next", "put=168,160", "commit")
    heard = sealed.call(*steps, "status", fragments=good(number) + good(other, "t1"))
    assert heard.answers == (OK, OK, ACCEPTED, NO_UPLOAD, REQUEST)
    assert serial(heard.statuses[0], "t1") == other
    assert serial(heard.statuses[0], "tools") < number


def test_root_without_the_capability(sealed: Gate, serials: Iterator[int]) -> None:
    number = next(serials)
    argv = ["setpriv", "--bounding-set=-sys_admin", f"{AT}/call", "from=-", "next"]
    done = sealed.machine.run(argv, input=good(number))
    assert done.text == str(PERMISSION)
    assert sealed.send(good(number)) == (ACCEPTED,)


def counts(text: str) -> dict[int, int]:
    """What gate_tools/flood.c prints: how often each answer came."""
    return {int(key): int(times) for key, times in map(str.split, text.splitlines())}


NOISE = 10_000


def test_noise(sealed: Gate, serials: Iterator[int]) -> None:
    """Mutations of a good fragment: none is accepted, nothing changes, and the gate lives."""
    fragment = good(next(serials))
    before = sealed.status()
    argv = [f"{AT}/flood", "noise", "20260101", str(NOISE)]
    answers = counts(sealed.machine.run(argv, input=fragment, timeout_s=300).text)
    assert sum(answers.values()) == NOISE
    assert ACCEPTED not in answers
    wanted = (Refusal.HEADER, Refusal.TEMPLATE, Refusal.THRESHOLD, Refusal.STREAM, Refusal.KIND)
    assert all(answers[refusal.number] > 10 for refusal in wanted)
    assert set(answers) <= {refusal.number for refusal in Refusal}
    assert sealed.status() == before
    assert sealed.send(fragment) == (ACCEPTED,)


EACH, ROWS_EACH = 12, 1000


def test_two_uploaders_at_once(sealed: Gate, tmp_path: Path) -> None:
    """Each ends the other's upload now and then; whatever is accepted is whole."""
    for stream, first in (("t2", 10_000), ("t3", 20_000)):
        code = code_rows(first, ROWS_EACH)
        blobs = [
            Blob(serial=n, stream=stream.encode(), code=code, manifest=n.to_bytes(32, "big"))
            for n in range(1, EACH + 1)
        ]
        fragments = b"".join(signed(blob.encode(), EXTENSION) for blob in blobs)
        (tmp_path / stream).write_bytes(fragments)
        sealed.machine.push(tmp_path / stream, f"/run/{stream}")
    before = int(value(sealed.status(), "code").split()[0])
    done = sealed.machine.run(f"{AT}/flood rivals /run/t2 </run/t3", timeout_s=120)
    answers = counts(done.text)
    assert answers.pop(ACCEPTED) == 2 * EACH
    assert set(answers) <= {Refusal.BUSY.number, Refusal.NO_UPLOAD.number}
    assert sum(answers.values()) > 0
    after = sealed.status()
    assert [serial(after, stream) for stream in ("t2", "t3")] == [EACH, EACH]
    assert int(value(after, "code").split()[0]) == before + 2 * ROWS_EACH
