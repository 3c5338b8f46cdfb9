# SPDX-License-Identifier: Apache-2.0
"""What a policy may let through or refuse as it likes, under one that is the default's contrary.

What the default refuses, tracing, has its rows among all the others (rows/tracing.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm import Image, Machine, trust_world

from . import ground
from .attack import Attack, attempt
from .conftest import gated
from .rows.acts import ROWS, WORKING
from .rows.tracing import BETWEEN
from .rows.tracing import ROWS as TRACING
from .table import Record, record

pytestmark = pytest.mark.full

CONTRARY = {
    "user-namespaces": "deny",
    "bpf-programs": "deny",
    "tracing": "observe",
    "extension-modules": "observe",
}
# A program that traces is a BPF program, too, and what is refused for one reason is refused.
OBSERVED = [row for row in TRACING if not row.name.startswith("BPF program")]
BOTH = [row for row in TRACING if row not in OBSERVED]


@pytest.fixture(scope="module")
def contrary(bare_image: Image) -> Iterator[Machine]:
    """A sealed machine with that policy."""
    with gated(bare_image, "sealed", CONTRARY) as machine:
        yield machine


@pytest.mark.parametrize("row", (*ROWS, *BETWEEN), ids=str)
def test_without_the_gate_it_succeeds(off: Machine, row: Attack, record_property: Record) -> None:
    outcome = attempt(off, row)
    record(record_property, "off", outcome)
    assert outcome.succeeded, outcome


@pytest.mark.parametrize("row", (*ROWS, *BETWEEN), ids=str)
def test_refused_it_is_refused(contrary: Machine, row: Attack, record_property: Record) -> None:
    outcome = attempt(contrary, row)
    record(record_property, "sealed", outcome)
    assert not outcome.succeeded, outcome
    assert row.reason in {one.reason for one in outcome.denied}, outcome


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_by_default_it_is_only_counted(sealed: Machine, row: Attack) -> None:
    before = _count(sealed, row.reason)
    outcome = attempt(sealed, row)
    assert outcome.succeeded and not outcome.denied, outcome
    assert _count(sealed, row.reason) > before


@pytest.mark.parametrize("row", [row for row in BETWEEN if row.ordinary], ids=str)
def test_under_an_ordinary_users_eyes_too(contrary: Machine, row: Attack) -> None:
    outcome = attempt(contrary, row, user="user")
    assert outcome.succeeded and not outcome.denied, outcome


@pytest.mark.parametrize("row", OBSERVED, ids=str)
def test_tracing_that_is_observed_works(contrary: Machine, row: Attack) -> None:
    before = _count(contrary, "tracing")
    outcome = attempt(contrary, row)
    assert outcome.succeeded and not outcome.denied, outcome
    assert _count(contrary, "tracing") > before


@pytest.mark.parametrize("row", BOTH, ids=str)
def test_what_is_observed_hides_nothing_that_is_refused(contrary: Machine, row: Attack) -> None:
    outcome = attempt(contrary, row)
    assert not outcome.succeeded, outcome
    assert {one.reason for one in outcome.denied} == {"bpf-program"}, outcome


@pytest.mark.parametrize("row", WORKING, ids=str)
def test_what_is_something_else_works(contrary: Machine, row: Attack) -> None:
    outcome = attempt(contrary, row)
    assert outcome.succeeded and not outcome.denied, outcome


def test_a_flood_of_what_is_observed_takes_one_place_in_the_log(sealed: Machine) -> None:
    """Or a browser would drive out of the ring what was denied."""
    before = _count(sealed, "user-namespace")
    flood = Attack(
        group=14,
        name="flood",
        act="for i in 1 2 3 4 5 6 7 8; do unshare -U true || exit; done; echo ran",
        reason="user-namespace",
    )
    outcome = attempt(sealed, flood)
    assert outcome.succeeded and not outcome.denied, outcome
    # One a minute: a slow machine may see a minute end.
    assert len(outcome.logged) <= 2, outcome
    assert _count(sealed, "user-namespace") == before + 8


def test_a_module_of_an_extension_loads_where_the_policy_lets_it(
    bare_image: Image, contrary: Machine, sealed: Machine, tmp_path: Path
) -> None:
    """Debian's own, with four bytes more: another digest, which Debian's grants don't name."""
    (found,) = bare_image.tree.glob("usr/lib/modules/*/kernel/drivers/net/dummy.ko.xz")
    module = tmp_path / "tree/usr/lib/modules/attack.ko.xz"
    module.parent.mkdir(parents=True)
    module.write_bytes(found.read_bytes() + bytes(4))
    grants = trust_world.sign_extension(
        ground.world(bare_image, reactions=CONTRARY), tmp_path / "tree", tmp_path / "out"
    )
    answers = {}
    for machine in (contrary, sealed):
        machine.push(module, f"{ground.WORK}/{module.name}")
        call = [f"{ground.TOOLS}/call", "from=-", "next"]
        answers[machine] = machine.run(call, input=grants).text
        loading = Attack(
            group=9,
            name="module of an extension",
            setup=f"{ground.TOOLS}/enable {ground.WORK}/attack.ko.xz",
            act=f"{ground.TOOLS}/kernel file {ground.WORK}/attack.ko.xz",
            cleanup=f"! grep -q ^dummy /proc/modules || rmmod dummy; rm {ground.WORK}/attack.ko.xz",
            shows="ok",
            reason="not-granted",
        )
        outcome = attempt(machine, loading)
        assert outcome.succeeded == (machine is contrary), outcome
        assert {one.reason for one in outcome.denied} == (
            set() if machine is contrary else {"not-granted"}
        )
    assert answers == {contrary: "3000", sealed: "3018"}


def _count(machine: Machine, reason: str) -> int:
    text = machine.run(["cat", "/sys/fs/bpf/verity/status"]).text
    lines = (line.split() for line in text.splitlines() if line.startswith("reason "))
    return next((int(count) for _, name, count in lines if name == reason), 0)
