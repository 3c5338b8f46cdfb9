# SPDX-License-Identifier: Apache-2.0
"""A host's floors through any sequence of verifying, accepting, crashing, damage and deletion.

As long as the state is intact, nothing below an acceptance that was reported is ever good; when it
isn't, nothing is good but for who says that there is no floor, and never below what the boot bundle
records. A crash is an acceptance that ends at its nth system call by what no handler catches: like
a kill, but for what Python still does on the way out; tests/crash/test_floors.py takes that away.
"""

import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.world import JUST_VENDOR, World
from verity.formats import floor_record
from verity.formats.floor_record import RecordedFloor
from verity.formats.records import Fragment, RecordKind, join
from verity.ports.floors import FloorStore
from verity.trust.verified import VerifiedStatement, verify_statement
from verity.values.errors import ContentError
from verity.verbs import serial_floors
from verity.verbs.serial_floors import HostState

CALLS = ("mkdir", "fsync", "fchmod", "rename")
SERIALS = st.integers(1, 6)


class Killed(BaseException):
    """The end of a process."""


@functools.cache
def signed(serial: int) -> tuple[bytes, VerifiedStatement]:
    envelope = World(statement_changes={"serial": serial}).envelope
    return envelope, verify_statement([envelope], JUST_VENDOR)


class Floors(RuleBasedStateMachine):
    """One stream, os. ``possible`` are the floors that may be stored, None for none that counts:
    several after a crash, until an answer tells."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp())
        self.possible: set[int | None] = {None}
        self.recorded = 0  # by the boot bundle
        self.reported = 0  # the last acceptance that was reported, 0 after damage

    def teardown(self) -> None:
        shutil.rmtree(self.path)

    def state(self, *, first: bool) -> HostState:
        store = FloorStore(self.path / "floors")
        return HostState(store=store, bundle=self.path / "boot.bundle", without_floor=first)

    @property
    def file(self) -> Path:
        return self.path / "floors/vendor.os.os"

    def due(self, floor: int | None, serial: int, *, first: bool) -> bool:
        """Whether a serial is good with this floor stored."""
        return serial >= max(floor or 0, self.recorded) and (first or floor is not None)

    def learn(self, good: bool, serial: int, *, first: bool) -> None:
        """Keep the floors that give this answer; one of them does."""
        left = {one for one in self.possible if self.due(one, serial, first=first) == good}
        assert left, f"serial {serial} is {'good' if good else 'refused'} with {self.possible}"
        self.possible = left

    def verified(self, serial: int, *, first: bool) -> None:
        state = self.state(first=first)
        judged = serial_floors.judge(state, signed(serial)[1], JUST_VENDOR, now=0)
        assert not judged.not_evaluated
        self.learn(not judged.findings, serial, first=first)
        if not judged.findings:
            assert serial >= self.reported

    def accept(self, serial: int, *, first: bool) -> bool:
        envelope, source = signed(serial)
        try:
            serial_floors.accept(self.state(first=first), [envelope], source, JUST_VENDOR)
        except ContentError:
            return False
        return True

    def ended(self, good: bool, serial: int, *, first: bool) -> None:
        """An acceptance that came to its end."""
        self.learn(good, serial, first=first)
        if good:
            assert serial >= self.reported
            self.possible, self.reported = {serial}, serial

    # --- what happens

    @rule(serial=SERIALS, first=st.booleans())
    def verifies(self, serial: int, first: bool) -> None:
        self.verified(serial, first=first)

    @rule(serial=SERIALS, first=st.booleans())
    def accepts(self, serial: int, first: bool) -> None:
        self.ended(self.accept(serial, first=first), serial, first=first)

    @rule(serial=SERIALS, first=st.booleans(), call=st.sampled_from(CALLS), nth=st.integers(1, 4))
    def is_killed(self, serial: int, first: bool, call: str, nth: int) -> None:
        with mock.patch.object(os, call, killing(getattr(os, call), nth)):
            try:
                good = self.accept(serial, first=first)
            except Killed:
                if any(self.due(one, serial, first=first) for one in self.possible):
                    self.possible.add(serial)
                return
        self.ended(good, serial, first=first)

    @precondition(lambda self: self.file.exists())
    @rule(how=st.sampled_from(["delete", "cut", "empty", "no directory"]))
    def is_damaged(self, how: str) -> None:
        if how == "delete":
            self.file.unlink()
        elif how == "no directory":
            shutil.rmtree(self.file.parent)
        else:
            self.file.write_bytes(self.file.read_bytes()[:-1] if how == "cut" else b"")
        self.possible, self.reported = {None}, 0

    @precondition(lambda self: self.reported in self.possible and len(self.possible) == 1)
    @rule()
    def is_recorded(self) -> None:
        """What `lockdown bundle` writes."""
        self.recorded = max(self.reported, self.recorded)
        blob = floor_record.encode([RecordedFloor(stream="os", serial=self.recorded)])
        fragment = Fragment(kind=RecordKind.FLOORS, blob=blob, signatures=())
        (self.path / "boot.bundle").write_bytes(join([fragment]))

    # --- what always holds

    @invariant()
    def every_serial_is_answered_by_one_floor(self) -> None:
        for serial in range(1, 7):
            self.verified(serial, first=False)


def killing(call: Callable[..., Any], nth: int) -> Callable[..., Any]:
    """The same function, which ends the process when it is called for the nth time."""
    count = 0

    def counted(*args: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == nth:
            raise Killed
        return call(*args, **more)

    return counted


Floors.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestFloors = Floors.TestCase
