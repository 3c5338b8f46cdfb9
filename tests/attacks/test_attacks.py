# SPDX-License-Identifier: Apache-2.0
"""Each attack with its controls; what they are stands in attack.py, the attacks in rows/."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest

from tests.daily import is_due
from tests.vm import Image, Machine
from verity.formats import records
from verity.formats.gate_calls import Refusal
from verity.formats.grants import Grants, Party, Role, encode
from verity.formats.records import RecordKind
from verity.ports import keystore
from verity.verbs import fragments

from . import ground
from .attack import USER, Attack, attempt
from .gatelog import status
from .rows import RESIDUAL, ROWS, SLOW, WORKING
from .rows.hardship import SET_BACK, SET_CLOCK
from .table import Record, record

_DAY = 24 * 60 * 60


def params(rows: Iterable[Attack], *, a_third: bool = False) -> list[object]:
    """Rows for tests; the slow ones in the long runs only, and of others `a_third` each day."""
    slow = {str(row) for row in SLOW}
    return [
        pytest.param(
            row,
            id=str(row),
            marks=[pytest.mark.full]
            if str(row) in slow or (a_third and not is_due(index, one_in=3))
            else [],
        )
        for index, row in enumerate(rows)
    ]


ORDINARY = params((row for row in ROWS if row.ordinary and not row.by), a_third=True)
CONTROLS = params((row.control for row in ROWS if row.control), a_third=True)


@pytest.mark.parametrize("row", params((*ROWS, *RESIDUAL)))
def test_without_the_gate_it_succeeds(off: Machine, row: Attack, record_property: Record) -> None:
    outcome = attempt(off, row)
    record(record_property, "off", outcome)
    assert outcome.succeeded, outcome


@pytest.mark.full
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_observed_it_succeeds_and_is_written_down(
    observing: Machine, row: Attack, record_property: Record
) -> None:
    outcome = attempt(observing, row)
    record(record_property, "observe", outcome)
    assert outcome.succeeded, outcome
    assert row.reason in {one.reason for one in outcome.logged}, outcome
    assert not any(one.enforced for one in outcome.logged), outcome


@pytest.mark.parametrize("row", params(ROWS))
def test_sealed_it_is_refused_for_its_reason(
    sealed: Machine, row: Attack, record_property: Record
) -> None:
    outcome = attempt(sealed, row)
    record(record_property, "sealed", outcome)
    assert not outcome.succeeded, outcome
    assert row.reason in {one.reason for one in outcome.denied}, outcome


@pytest.mark.parametrize("row", CONTROLS)
def test_sealed_the_signed_file_does_the_same(sealed: Machine, row: Attack) -> None:
    outcome = attempt(sealed, row)
    assert outcome.succeeded, outcome
    assert not outcome.denied, outcome


@pytest.mark.parametrize("row", ORDINARY)
def test_sealed_an_ordinary_user_can(sealed: Machine, row: Attack, record_property: Record) -> None:
    outcome = attempt(sealed, row, user=USER)
    record(record_property, "user", outcome)
    assert outcome.succeeded, outcome
    assert not outcome.denied, outcome


@pytest.mark.parametrize("row", WORKING, ids=str)
def test_sealed_what_must_keep_working_does(sealed: Machine, row: Attack) -> None:
    outcome = attempt(sealed, row)
    assert outcome.succeeded, outcome
    assert not outcome.denied, outcome


@pytest.mark.parametrize("row", RESIDUAL, ids=str)
def test_sealed_a_residual_is_still_one(
    sealed: Machine, row: Attack, record_property: Record
) -> None:
    outcome = attempt(sealed, row)
    record(record_property, "sealed", outcome)
    assert outcome.succeeded, outcome
    assert not outcome.denied, outcome


def test_the_kernel_has_no_uevent_helper(off: Machine) -> None:
    """A program that the kernel would start as root; where it has one, a row of group 10 is due."""
    assert off.run("ls /sys/kernel").text
    assert off.run("ls /sys/kernel/uevent_helper /proc/sys/kernel/hotplug", check=False).status == 2


def test_sealed_no_process_is_of_the_gate(sealed: Machine) -> None:
    programs = sealed.run("readlink /proc/[0-9]*/exe; :").text.splitlines()
    assert "/usr/lib/systemd/systemd" in programs
    assert not [one for one in programs if "verity" in one]
    assert status(sealed)["state"] == "sealed"


_ACCEPTED, _EXPIRED = "3000", str(Refusal.EXPIRED.number)


@pytest.mark.parametrize(
    ("year", "issued", "expires", "meanwhile", "afterwards"),
    [
        # Expired by the documents that the gate has accepted, and not by this clock.
        ("1970", 1, 30 * _DAY, _EXPIRED, _EXPIRED),
        # By this clock alone: it counts as long as it is so, and nothing is left of it.
        ("2099", int(time.time()), int(time.time()) + _DAY, _EXPIRED, _ACCEPTED),
    ],
    ids=["1970", "2099"],
)
def test_sealed_the_clock_makes_nothing_valid(
    sealed: Machine,
    bare_image: Image,
    year: str,
    issued: int,
    expires: int,
    meanwhile: str,
    afterwards: str,
) -> None:
    signer = keystore.load_signer(str(ground.world(bare_image).key("user-extension")))
    blob = encode(
        Grants(
            party=Party.USER,
            role=Role.EXTENSION,
            stream="tools",
            serial=1,
            issued=issued,
            expires=expires,
            manifest_sha256=bytes(32),
        )
    )
    kind, role = RecordKind.GRANTS, Role.EXTENSION
    grants = records.join([fragments.sign(kind, blob, [signer], party=Party.USER, role=role)])
    call = [f"{ground.TOOLS}/call", "from=-", "next"]
    sealed.run(SET_CLOCK.replace("YEAR", year))
    try:
        assert sealed.run("date +%Y").text == year
        assert sealed.run(call, input=grants).text == meanwhile
    finally:
        sealed.run(SET_BACK)
    assert sealed.run(call, input=grants).text == afterwards


_BELOW = f"""
set -e
cd {ground.WORK}
truncate -s 16M below.img
mke2fs -q -t ext4 -O verity -b 4096 below.img
mkdir below
mount -o loop below.img below
cp {ground.SIGNED}/program below/program
{ground.TOOLS}/enable below/program
sync
echo 3 >/proc/sys/vm/drop_caches
below/program
at=$(grep -abo 'ran signed' below.img | head -n 1 | cut -d: -f1)
printf 'ran forged' | dd of=below.img bs=1 seek=$at conv=notrunc status=none
sync
below/program
echo 3 >/proc/sys/vm/drop_caches
echo cold
! below/program
"""


def test_sealed_a_block_changed_below_a_signed_file_is_not_read(sealed: Machine) -> None:
    """The file system is the attacker's own; what is cached is what was verified."""
    sealed.run("dmesg -C")
    try:
        warm, _, cold = sealed.run(_BELOW).text.partition("cold")
    finally:
        sealed.run(f"cd {ground.WORK} && umount below && rmdir below && rm below.img")
    assert warm.count("ran signed") == 2
    assert not cold.strip()
    assert "FILE CORRUPTED" in sealed.run("dmesg").text
