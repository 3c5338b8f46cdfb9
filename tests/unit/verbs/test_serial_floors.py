# SPDX-License-Identifier: Apache-2.0
"""Accepting: what another process accepted meanwhile is not undone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.world import JUST_VENDOR, OTHER, World, envelope
from verity.formats import floor_record
from verity.formats.floor_record import RecordedFloor
from verity.formats.records import Fragment, RecordKind, join
from verity.ports.floors import FloorStore
from verity.trust.clock import RELEASED, TOLERANCE
from verity.trust.verified import verify_statement
from verity.values.errors import ContentError
from verity.verbs.serial_floors import HostState, accept, judge, look


def state(path: Path) -> HostState:
    store = FloorStore(path / "floors")
    return HostState(store=store, bundle=path / "boot.bundle", without_floor=True)


def take(path: Path, world: World, *others: bytes) -> Path | None:
    envelopes = [*others, world.envelope]
    return accept(state(path), envelopes, verify_statement(envelopes, JUST_VENDOR), JUST_VENDOR)


def of_serial(serial: int, **more: Any) -> World:
    return World(statement_changes={"serial": serial}, **more)


def test_a_lower_one_that_was_verified_before_a_higher_one_was_accepted(tmp_path: Path) -> None:
    assert take(tmp_path, of_serial(6)) == tmp_path / "floors/vendor.os.os"
    before = (tmp_path / "floors/vendor.os.os").read_bytes()
    for world, code in (
        (of_serial(5), "below-floor"),
        (of_serial(6, commit=b"\7" * 32), "equivocation"),
    ):
        with pytest.raises(ContentError) as caught:
            take(tmp_path, world)
        assert caught.value.code == code
        assert (tmp_path / "floors/vendor.os.os").read_bytes() == before
    assert take(tmp_path, of_serial(6)) is None
    assert take(tmp_path, of_serial(7)) is not None


def test_what_rides_along_is_not_kept(tmp_path: Path) -> None:
    provenance = envelope(b'{"predicateType":"other"}', OTHER)
    take(tmp_path, World(), b"{", provenance)
    kept = state(tmp_path).store.read("vendor.os.os")
    assert kept is not None
    assert len(kept) == 1
    assert verify_statement(kept, JUST_VENDOR).statement.serial == 5


def test_two_records_in_a_boot_bundle_are_no_floor_and_told(tmp_path: Path) -> None:
    """Whichever of them is lower, or lacks the stream, stands in for nothing."""
    records = [
        Fragment(
            kind=RecordKind.FLOORS,
            blob=floor_record.encode([RecordedFloor(stream=stream, serial=9)]),
            signatures=(),
        )
        for stream in ("os", "other")
    ]
    (tmp_path / "boot.bundle").write_bytes(join(records))
    looked = look(replace(state(tmp_path), without_floor=False), "os", JUST_VENDOR)
    assert (looked.floors, looked.missed) == ([], True)
    assert "floors a second time" in looked.notes[0]
    assert [one.check for one in looked.findings] == ["no-floor"]


FAR = RELEASED + 99 * TOLERANCE


@pytest.mark.parametrize(
    ("now", "clock", "time"),
    [
        (RELEASED + 5, RELEASED + 5, RELEASED + 5),
        (RELEASED + 5, RELEASED, RELEASED + 5),
        # The clock was never set, and a keyring says that it is after the release.
        (RELEASED + 5, 0, FAR),
    ],
)
def test_the_time_of_a_floor_is_held_against_the_clock(
    tmp_path: Path, now: int, clock: int, time: int
) -> None:
    """Not against the newest time that is known, which may be a document's."""
    late = {"serial": 6, "issued": FAR, "expires": FAR + TOLERANCE}
    take(tmp_path, World(statement_changes=late))
    source = verify_statement([of_serial(6).envelope], JUST_VENDOR)
    assert judge(state(tmp_path), source, JUST_VENDOR, now=now, clock=clock).time == time
