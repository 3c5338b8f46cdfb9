# SPDX-License-Identifier: Apache-2.0
"""Revocations that the sealed gate refuses, each for its reason and without any change.

Every blob is signed by the right key over the bytes that are wrong, and its control, with the same
serial, is accepted right behind it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.boot import EXTENSION, OS, POLICY, STRANGER, USER_ROOT, VENDOR_ROOT
from tests.world import Signer
from verity.formats.gate_calls import Refusal
from verity.formats.grants import Party, Role

from .gate_blobs import ISSUED, Revoke, digest, fragment, signature, signed
from .gate_machine import ACCEPTED, AT, Gate, value
from .gate_world import ETC
from .test_gate_calls import counts

NEVER = 2**53


@pytest.fixture(scope="module")
def serials() -> Iterator[int]:
    """Serials that no role has revoked under yet."""
    return itertools.count(1)


def key(number: int) -> bytes:
    """The id of nobody's key. The gate tells keys apart by their first 16 bytes."""
    return b"\x6b" + number.to_bytes(15, "big") + bytes(16)


def good(number: int) -> Revoke:
    """What the user's root may say: two entries in each table."""
    return Revoke(
        serial=number,
        keys=(key(1), key(2)),
        digests=(digest(800), digest(801)),
        streams=((b"spare", 2), (b"t5", 2)),
    )


def refused(gate: Gate, bad: bytes, refusal: Refusal) -> None:
    """With this number, and without any change."""
    heard = gate.call("status", "next", "status", fragments=bad)
    assert heard.answers == (refusal.number,)
    assert heard.statuses[0] == heard.statuses[1]


def change(**changes: Any) -> Callable[[Revoke], Revoke]:
    """Other values of a blob's fields."""
    return lambda blob: replace(blob, **changes)


WRONG: dict[str, tuple[Callable[[Revoke], Revoke], Refusal]] = {
    "header length": (change(header_len=72), Refusal.HEADER),
    "total length": (change(total_len=64), Refusal.HEADER),
    "total length huge": (change(total_len=2**32 - 1), Refusal.HEADER),
    "reserved bytes behind the role": (change(zero0=1), Refusal.HEADER),
    "reserved bytes before the serial": (change(zero1=1), Refusal.HEADER),
    "reserved bytes at the end": (change(zero2=1), Refusal.HEADER),
    "serial 0": (change(serial=0), Refusal.HEADER),
    "serial beyond JSON": (change(serial=NEVER), Refusal.HEADER),
    "a time beyond JSON": (change(issued=NEVER), Refusal.HEADER),
    "a key too few": (change(n_keys=3), Refusal.HEADER),
    "a digest too many": (change(n_digests=1), Refusal.HEADER),
    "a stream too few": (change(n_streams=3), Refusal.HEADER),
    "257 keys": (change(keys=[key(n) for n in range(257)]), Refusal.HEADER),
    "4097 digests": (change(digests=[digest(n) for n in range(4097)]), Refusal.HEADER),
    "65 streams": (change(streams=[(b"s%02d" % n, 2) for n in range(65)]), Refusal.HEADER),
    # 32 * 0x8000000 is 4 GiB.
    "a product beyond 32 bits": (change(n_keys=0x8000002), Refusal.HEADER),
    "bytes behind the tables": (change(extra=bytes(8)), Refusal.HEADER),
    "party 0": (change(party=0), Refusal.PARTY_ROLE),
    "party 3": (change(party=3), Refusal.PARTY_ROLE),
    "party 255": (change(party=255), Refusal.PARTY_ROLE),
    "role 0": (change(role=0), Refusal.PARTY_ROLE),
    "role 255": (change(role=255), Refusal.PARTY_ROLE),
    "a role that grants nothing": (change(role=Role.POLICY), Refusal.PARTY_ROLE),
    "the user's os": (change(role=Role.OS), Refusal.PARTY_ROLE),
    "the vendor's etc": (change(party=Party.VENDOR, role=Role.ETC), Refusal.PARTY_ROLE),
    "keys unsorted": (change(keys=(key(2), key(1))), Refusal.UNSORTED),
    "a key twice": (change(keys=(key(1), key(1))), Refusal.UNSORTED),
    "digests unsorted": (change(digests=(digest(2), digest(1))), Refusal.UNSORTED),
    "a digest twice": (change(digests=(digest(1), digest(1))), Refusal.UNSORTED),
    "streams unsorted": (change(streams=((b"t5", 2), (b"spare", 2))), Refusal.UNSORTED),
    "a stream twice": (change(streams=((b"t5", 2), (b"t5", 3))), Refusal.UNSORTED),
    "streams that differ in their last byte only": (
        change(streams=((b"a" * 62 + b"c", 2), (b"a" * 62 + b"b", 2))),
        Refusal.UNSORTED,
    ),
    "a stream without a name": (change(streams=((b"", 2),)), Refusal.ENTRY),
    "a stream's name without an end": (change(streams=((b"t" * 64, 2),)), Refusal.ENTRY),
    "a stream's name that goes on": (change(streams=((b"t5\0x", 2),)), Refusal.ENTRY),
    "a capital letter": (change(streams=((b"T5", 2),)), Refusal.ENTRY),
    "nothing below it": (change(streams=((b"t5", 1),)), Refusal.ENTRY),
    "lowest serial 0": (change(streams=((b"t5", 0),)), Refusal.ENTRY),
    "lowest serial beyond JSON": (change(streams=((b"t5", NEVER),)), Refusal.ENTRY),
    "another version": (change(kind=b"\x93verity-revoke2\0"), Refusal.KIND),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_and_well_signed(sealed: Gate, serials: Iterator[int], name: str) -> None:
    spoil, refusal = WRONG[name]
    right = good(next(serials))
    refused(sealed, signed(spoil(right).encode(), USER_ROOT), refusal)
    assert sealed.send(signed(right.encode(), USER_ROOT)) == (ACCEPTED,)


SIGNERS: dict[str, tuple[Signer, ...]] = {
    "a foreign key": (STRANGER,),
    "the other party's root": (VENDOR_ROOT,),
    "every role but root": (EXTENSION, POLICY, OS, *ETC[:4]),
}


@pytest.mark.parametrize("name", SIGNERS)
def test_signed_by_others(sealed: Gate, serials: Iterator[int], name: str) -> None:
    blob = good(next(serials)).encode()
    refused(sealed, signed(blob, *SIGNERS[name]), Refusal.THRESHOLD)
    assert sealed.send(signed(blob, *SIGNERS[name], USER_ROOT)) == (ACCEPTED,)


def test_signed_by_one_of_two(sealed: Gate, serials: Iterator[int]) -> None:
    """A role's threshold is that of its grants."""
    blob = Revoke(serial=next(serials), role=Role.ETC, digests=[digest(800)]).encode()
    refused(sealed, signed(blob, ETC[0]), Refusal.THRESHOLD)
    assert sealed.send(signed(blob, *ETC[:2])) == (ACCEPTED,)


@pytest.mark.parametrize("at", [33, 40, 64 + 5, -1, -72])
def test_altered_after_signing(sealed: Gate, serials: Iterator[int], at: int) -> None:
    blob = good(next(serials)).encode()
    altered = bytearray(blob)
    altered[at] ^= 2
    right = signature(USER_ROOT, blob)
    refused(sealed, fragment(bytes(altered), right), Refusal.THRESHOLD)
    assert sealed.send(fragment(blob, right)) == (ACCEPTED,)


@pytest.mark.parametrize("cut", [1, 32, 72])
def test_truncated(sealed: Gate, serials: Iterator[int], cut: int) -> None:
    blob = good(next(serials)).encode()
    refused(sealed, signed(blob[:-cut], USER_ROOT), Refusal.HEADER)
    assert sealed.send(signed(blob, USER_ROOT)) == (ACCEPTED,)


def test_replayed_older_and_contradicting(sealed: Gate, serials: Iterator[int]) -> None:
    """By party and role: each has serials of its own."""
    older, current = good(next(serials)), good(next(serials))
    assert sealed.send(signed(current.encode(), USER_ROOT)) == (ACCEPTED,)
    refused(sealed, signed(current.encode(), USER_ROOT), Refusal.SERIAL)
    refused(sealed, signed(older.encode(), USER_ROOT), Refusal.SERIAL)
    for other in (
        replace(current, digests=(digest(803),)),
        replace(current, keys=(key(3),)),
        replace(current, streams=((b"t4", 2),)),
        replace(current, streams=((b"t5", 3),)),
        replace(current, issued=ISSUED + 1),
    ):
        refused(sealed, signed(other.encode(), USER_ROOT), Refusal.EQUIVOCATION)
    later = replace(current, serial=next(serials), digests=(digest(803),))
    assert sealed.send(signed(later.encode(), USER_ROOT)) == (ACCEPTED,)
    for party, role, signer in (
        (Party.VENDOR, Role.ROOT, VENDOR_ROOT),
        (Party.VENDOR, Role.OS, OS),
        (Party.USER, Role.EXTENSION, EXTENSION),
    ):
        first = Revoke(serial=1, party=party, role=role, digests=(digest(804),)).encode()
        assert sealed.send(signed(first, signer)) == (ACCEPTED,)
        refused(sealed, signed(first, signer), Refusal.SERIAL)


def test_noise(sealed: Gate, serials: Iterator[int]) -> None:
    """Mutations of good revocations: none is accepted, nothing changes, and the gate lives."""
    right = signed(good(next(serials)).encode(), USER_ROOT)
    before = sealed.status()
    argv = [f"{AT}/flood", "noise", "20260102", "5000"]
    answers = counts(sealed.machine.run(argv, input=right, timeout_s=300).text)
    assert sum(answers.values()) == 5000
    assert ACCEPTED not in answers
    wanted = (Refusal.HEADER, Refusal.TEMPLATE, Refusal.THRESHOLD, Refusal.PARTY_ROLE)
    assert all(answers[refusal.number] > 5 for refusal in wanted)
    assert set(answers) <= {refusal.number for refusal in Refusal}
    assert sealed.status() == before
    assert sealed.send(right) == (ACCEPTED,)


def test_more_than_there_is_room_for(sealed: Gate, serials: Iterator[int]) -> None:
    """It fills up to the last digest and key; one more is refused whole."""

    def lot(first: int, count: int, *keys: bytes) -> bytes:
        rows = [digest(2000 + n) for n in range(first, first + count)]
        return signed(Revoke(serial=next(serials), digests=rows, keys=keys).encode(), USER_ROOT)

    def send(*fragments: bytes) -> tuple[int, ...]:
        with sealed.machine.exchange() as (host, guest):
            (host / "fragments").write_bytes(b"".join(fragments))
            return sealed.call(f"from={guest}/fragments", *["next"] * len(fragments)).answers

    held, capacity = map(int, value(sealed.status(), "revoked_digests").split())
    assert capacity == 8192
    rest = capacity - 4096 - held
    assert send(lot(0, 4096), lot(4096, rest)) == (ACCEPTED,) * 2
    before = sealed.status()
    assert value(before, "revoked_digests") == "8192 8192"
    assert send(lot(4096 + rest, 1, key(50))) == (Refusal.FULL.number,)
    assert sealed.status() == before
    # What is revoked already needs no room.
    assert send(lot(0, 10, key(50))) == (ACCEPTED,)
    held, capacity = map(int, value(sealed.status(), "revoked_keys").split())
    assert capacity == 1024
    lots = [[key(1000 + 256 * n + one) for one in range(256)] for n in range(4)]
    assert send(*(lot(0, 0, *keys) for keys in lots[:3])) == (ACCEPTED,) * 3
    assert send(lot(0, 0, *lots[3])) == (Refusal.FULL.number,)
    assert value(sealed.status(), "revoked_keys") == f"{held + 768} 1024"
    assert send(lot(0, 0, *lots[3][: 256 - held])) == (ACCEPTED,)
    assert value(sealed.status(), "revoked_keys") == "1024 1024"
