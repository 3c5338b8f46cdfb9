# SPDX-License-Identifier: Apache-2.0
"""Guarded configuration on a sealed machine: rows of gate_config_rows.py; grants that change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot import USER_ROOT
from verity.formats.gate_calls import Refusal

from . import gate_config as config
from . import gate_world as world
from .gate_blobs import Revoke, signed
from .gate_config import ETC, KEPT, OUTSIDE, VENDOR
from .gate_config_rows import ACTS, ROWS, Row
from .gate_known_rows import KNOWN
from .gate_log import Denial
from .gate_machine import ACCEPTED, AT, Gate, load, value, whole_bundle
from .gate_removal_rows import REMOVING
from .image import Image
from .machine import Machine

# Rows of tests/attacks have the essential ones in a machine that others use, too.
pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def gate(
    gate_image: Image, gate_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    """A sealed machine with guarded configuration."""
    folder = tmp_path_factory.mktemp("config")
    bundle = whole_bundle(gate_image, gate_files)
    bundle[2] = config.policy()
    with Machine.boot("system", gate_image) as machine:
        machine.push(gate_files, AT)
        machine.run(f"for file in call flood; do fsverity enable {AT}/$file; done")
        config.install(machine)
        # An ordinary user's own way to what is guarded; and what is there, unsigned.
        machine.run(f"ln -s {ETC}/good {OUTSIDE}/to")
        machine.run(f"mkdir {ETC}/proc && mount --bind /proc {ETC}/proc")
        yield load(machine, [*bundle, config.owners(folder), config.vendors(folder)])


def attempt(gate: Gate, row: Row) -> tuple[str, list[Denial]]:
    """What the row showed, and what the gate refused meanwhile."""
    before = len(gate.denials())
    gate.machine.run(["sh", "-c", row.setup])
    done = gate.machine.run(["sh", "-c", row.act], user=row.user, check=False)
    denied = [one for one in gate.denials()[before:] if one.enforced]
    undone = gate.machine.run(["sh", "-c", row.undo])
    assert not undone.stderr, undone.stderr
    return done.text, denied


@pytest.mark.parametrize("row", [*ROWS, *KNOWN, *REMOVING], ids=str)
def test_row(gate: Gate, row: Row) -> None:
    shown, denied = attempt(gate, row)
    if not row.reason:
        assert row.shows in shown
        assert denied == []
        return
    assert row.shows not in shown
    assert {(one.reason, one.act) for one in denied} == {(row.reason, ACTS[row.reason])}


def test_a_denial_names_the_path(gate: Gate) -> None:
    rows = {str(row): row for row in ROWS}
    for name, path in (
        ("unsigned", f"{ETC}/new"),
        ("a-link-out", f"{ETC}/out"),
        ("over-a-file", f"{ETC}/good"),
    ):
        _, denied = attempt(gate, rows[name])
        assert {one.line.split(" ")[-1] for one in denied} == {path}


def test_the_next_serial_takes_the_place(gate: Gate, tmp_path: Path) -> None:
    """Old or new by path: a name that is gone isn't granted any more, and a new one is."""
    machine = gate.machine
    assert machine.run(f"cat {ETC}/taken").text == "says taken"
    used = int(value(gate.status(), "config").split()[0])
    assert gate.send(world.encode([config.owners(tmp_path, 2, "given")])) == (ACCEPTED,)
    assert machine.run(f"cat {ETC}/taken", check=False).text == ""
    machine.run(f"mv {ETC}/taken {ETC}/given")
    assert machine.run(f"cat {ETC}/given {ETC}/good").text == "says taken\nsays good"
    assert gate.send(world.encode([config.owners(tmp_path, 3)])) == (ACCEPTED,)
    assert machine.run(f"cat {ETC}/given", check=False).text == ""
    machine.run(f"mv {ETC}/given {ETC}/taken")
    assert machine.run(f"cat {ETC}/taken").text == "says taken"
    # The place of the name that is gone was given back when the last serial came.
    assert int(value(gate.status(), "config").split()[0]) == used + 1
    assert gate.send(world.encode([config.owners(tmp_path, 3)])) == (Refusal.SERIAL.number,)


def test_what_was_known_is_asked_anew_after_an_import(gate: Gate, tmp_path: Path) -> None:
    """By one command: any rename or mount between would make it forgotten, too.

    Whatever else runs in the machine may do that as well, so one of some attempts shows it.
    """
    fragments, at = tmp_path / "fragments", f"{AT}/fragments"
    known = f"cat {ETC}/taken {ETC}/taken >&2; {AT}/call from={at} next; cat {ETC}/taken"
    for serial in (4, 6, 8):
        fragments.write_bytes(world.encode([config.owners(tmp_path, serial, "given")]))
        gate.machine.push(fragments, at)
        assert gate.machine.run(known, check=False).text.split() == [str(ACCEPTED)]
        back = world.encode([config.owners(tmp_path, serial + 1)])
        assert gate.send(back) == (ACCEPTED,)


def test_what_is_revoked_by_digest_need_not_stay(gate: Gate, tmp_path: Path) -> None:
    stays = f"{KEPT}/sub/stays"
    revoked = Revoke(serial=1, digests=(config.digest(tmp_path, "says stays\n"),))
    assert gate.machine.run(f"cat {stays}").text == "says stays"
    assert gate.send(signed(revoked.encode(), USER_ROOT)) == (ACCEPTED,)
    gate.machine.run(f"rm {stays}")


def test_what_is_revoked(gate: Gate) -> None:
    """The last test: nothing that the owners put there counts any more, and the vendor's does.

    Nor need it stay.
    """
    revoked = Revoke(serial=2, streams=((b"config", 2**20),))
    assert gate.machine.run(f"cat {ETC}/good {ETC}/good; readlink {ETC}/link").stdout
    assert gate.send(signed(revoked.encode(), USER_ROOT)) == (ACCEPTED,)
    for command, act in ((f"cat {ETC}/good", "config"), (f"readlink {ETC}/link", "link")):
        before = len(gate.denials())
        assert gate.machine.run(command, check=False).text == ""
        assert [(one.reason, one.act) for one in gate.denials()[before:]] == [("revoked", act)]
    assert gate.machine.run(f"cat {VENDOR}/vendor").text == "says vendor"
    gate.machine.run(f"mv {KEPT}/stays {OUTSIDE} && rm -r {KEPT}")
