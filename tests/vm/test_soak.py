# SPDX-License-Identifier: Apache-2.0
"""Half an hour of everything at once: nothing hangs, no new kind of denial is lost, nothing leaks.

$VERITY_SOAK_S: another duration, in seconds. The figures are printed with `pytest -s`.
"""

from __future__ import annotations

import os
import sys

import pytest

from .gate_machine import Gate, value
from .server_machine import boot_server
from .soak import FULL_S, KINDS, report, soak

# Not how long a beat takes on a busy emulated machine, but what would be a deadlock.
_HANG_S = 120.0
_LEAK_KIB = 48 << 10


@pytest.mark.full
def test_a_soak() -> None:
    with boot_server() as machine:
        found = soak(machine, float(os.environ.get("VERITY_SOAK_S", FULL_S)))
        sys.stdout.write("\n".join(["", *report(found), ""]))
        for beats, worst in found.beats.values():
            assert beats > 10
            assert worst < _HANG_S
        assert found.firsts.keys() == KINDS.keys()
        assert {reason: found.kept[reason] for reason in KINDS} == found.firsts
        assert found.lost > 0
        assert found.after.unreclaimable - found.before.unreclaimable < _LEAK_KIB
        assert found.before.available - found.after.available < _LEAK_KIB
        assert found.failed == ""
        assert value(Gate(machine).status(), "state") == "sealed"
