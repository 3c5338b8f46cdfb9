# SPDX-License-Identifier: Apache-2.0
"""The attacks on a machine with fapolicyd or IMA in the gate's place: what docs/comparison.md says.

What a peer stops isn't judged here; it is written down, and comparison.py makes the table of it.
Judged is whether the comparison is fair: every act's tool did its work, and each peer refuses what
it is meant to refuse and runs what it trusts, before it is attacked itself and afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm import Image, Machine

from . import ground
from .attack import USER, Attack
from .comparison import BY_A_USER, ITSELF, VERITY, note
from .peers import IMA, PEERS, STOPPED, Peer, peer_machine, verdict
from .rows import RESIDUAL, ROWS
from .rows.peers import HANGS, RUNS, WHILE_STOPPED
from .table import Record

pytestmark = pytest.mark.full

# What stops every process stops fapolicyd, and then nothing runs in its machine again, the harness
# included; _WHILE says what becomes of a program meanwhile.
_HANGING = "24-all-processes-stopped"
_BY_ROOT = [row for row in (*ROWS, *RESIDUAL) if str(row) != _HANGING]
_BY_A_USER = [row for row in BY_A_USER if str(row) != _HANGING]
_PLAIN = Attack(group=1, name="plain", act=f"{ground.UNSIGNED}/program", reason="")
_WHILE = f"{ITSELF}-its processes stopped, another program starts"


@pytest.fixture(scope="module", params=PEERS)
def peer(request: pytest.FixtureRequest, bare_image: Image) -> Iterator[Peer]:
    """The peers one after the other; each enforces."""
    with peer_machine(bare_image, request.param) as one:
        _enforces(one)
        yield one


def _enforces(peer: Peer) -> None:
    """On an ordinary user for fapolicyd, whose recommended rules exempt root; on root for IMA."""
    user = None if peer.name == IMA else USER
    assert verdict(peer.machine, _PLAIN, user=user) == STOPPED


def _while_stopped(machine: Machine, processes: str) -> str:
    script = ["bash", "-c", WHILE_STOPPED]
    return machine.run(script, env={"PROCESSES": processes}, timeout_s=120).text


@pytest.mark.parametrize("row", _BY_ROOT, ids=str)
def test_by_root(peer: Peer, row: Attack, record_property: Record) -> None:
    note(record_property, str(row), peer.name, verdict(peer.machine, row))


@pytest.mark.parametrize("row", _BY_A_USER, ids=str)
def test_by_an_ordinary_user(peer: Peer, row: Attack, record_property: Record) -> None:
    note(record_property, str(row), f"{peer.name}, user", verdict(peer.machine, row, user=USER))


def test_on_the_peer_itself(peer: Peer, record_property: Record) -> None:
    for row in peer.rows:
        note(record_property, f"{ITSELF}-{row.name}", peer.name, verdict(peer.machine, row))
        _enforces(peer)


def test_a_program_starts_while_the_peer_is_stopped(peer: Peer, record_property: Record) -> None:
    said = _while_stopped(peer.machine, peer.process)
    assert said == (f"{HANGS} done" if peer.process else f"{RUNS} done")
    note(record_property, _WHILE, peer.name, said)


def test_the_gate_needs_no_process(sealed: Machine, record_property: Record) -> None:
    said = _while_stopped(sealed, "verity")
    assert said == f"{RUNS} done"
    note(record_property, _WHILE, VERITY, said)
