# SPDX-License-Identifier: Apache-2.0
"""The gate's log under a flood: the last 256 refusals, and the first one of each reason."""

from __future__ import annotations

from .gate_machine import AT, Gate, value

RING = 256
FLOOD = 300


def test_a_flood_leaves_the_first_of_each_reason(sealed: Gate) -> None:
    """The first since the load, even if it was only observed: the loader's canary before the seal
    is the first `no-digest` here, and the canary after it is denied and no first."""
    canaries = sealed.denials()
    assert [(one.reason, one.enforced) for one in canaries] == [
        ("no-digest", False),
        ("no-digest", True),
    ]
    sealed.machine.run(f"n=0; until [ $n = {FLOOD} ]; do {AT}/a; n=$((n + 1)); done", check=False)
    found = sealed.denials()
    flood = [one for one in found if one.reason == "not-granted"]
    assert all(one.enforced and one.act == "exec" for one in flood)
    numbers = [one.number for one in found]
    last = canaries[-1].number + FLOOD
    assert numbers == [canaries[0].number, flood[0].number, *range(last - RING + 1, last + 1)]
    assert flood[0].number == canaries[-1].number + 1
    assert found[0] == canaries[0]
    assert value(sealed.status(), "lost") == str(last - RING)
