# SPDX-License-Identifier: Apache-2.0
"""A disk that is put back whole, on a machine whose TPM counts the ledger of unlocks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tpm as tpms
from tests.tpm import Tpm

from . import debs
from .image import Image
from .machine import Machine
from .process import Completed

pytestmark = pytest.mark.full

BOOT_S = 400
# A line of the ledger as every verb about unlocks writes it, which only a gate would let run.
LINE = """
from pathlib import Path
from verity.formats.ledger import Entry, Event
from verity.ports import ledger, tpm_counter
entry = Entry(event=Event.DRILL, at=1767225600, boot="", clock_s=1, texts={"token": "01" * 16})
print(ledger.append(Path("/"), [entry], tpm_counter.of(Path("/"))))
"""
UNIT = Path(__file__).parents[2] / "policy/systemd/verity-unlock.service"
# The unit that keeps the ledger up to date, with that line in the place of what needs a gate.
INSTEAD = """
[Unit]
ConditionPathExists=
[Service]
ExecStart=
ExecStart=/usr/bin/python3 /opt/line.py
"""


@pytest.fixture
def tpm() -> Iterator[Tpm]:
    with tpms.made() as made:
        yield made


def line(machine: Machine) -> None:
    done = machine.run(["python3", "-c", LINE], timeout_s=180)
    assert done.text == "()", done


def line_by_the_unit(machine: Machine) -> None:
    """Shut in as the unit is, which runs in no boot that has written no line before."""
    at = "/etc/systemd/system/verity-unlock.service"
    machine.push(UNIT, at)
    machine.run(f"mkdir -p /run/motd.d /run/verity {at}.d")
    machine.run(["tee", "/opt/line.py"], input=LINE.encode())
    machine.run(["tee", f"{at}.d/instead.conf"], input=INSTEAD.encode())
    started = "systemctl daemon-reload && systemctl start verity-unlock.service"
    done = machine.run(started, timeout_s=180, check=False)
    assert done.status == 0, machine.run("journalctl -b -u verity-unlock.service").text


def verify(machine: Machine) -> Completed:
    return machine.run("verity unlock ledger verify", check=False, timeout_s=180)


def again(machine: Machine, tpm: Tpm) -> None:
    tpm.stop()  # QEMU has ended it, or is about to
    tpm.start(for_qemu=True)
    machine.boot_again(timeout_s=BOOT_S)


def test_an_earlier_disk_is_found(vm_image: Image, tpm: Tpm, tmp_path: Path) -> None:
    tpm.start(for_qemu=True)
    kept = tmp_path / "earlier.qcow2"
    with Machine.boot("system", vm_image, arguments=tpm.qemu, timeout_s=BOOT_S) as machine:
        debs.install(machine, debs.packages(vm_image, "tpm2-tools"))
        before = verify(machine)
        assert before.status == 0 and b"`verity unlock ledger counter`" in before.stderr
        begun = machine.run("verity unlock ledger counter", timeout_s=180).text
        assert begun == "counter  the TPM counts from here on, and stands at 2"
        line(machine)
        counted = verify(machine)
        assert counted.status == 0 and b"the TPM counts 3" in counted.stderr, counted
        machine.shutdown(timeout_s=180)
        shutil.copyfile(machine.disk, kept)
        # The next boot goes on counting, and finds nothing.
        again(machine, tpm)
        assert verify(machine).status == 0
        line_by_the_unit(machine)
        counted = verify(machine)
        assert counted.status == 0 and b"the TPM counts 4" in counted.stderr, counted
        assert b"behind the last number" not in counted.stderr
        machine.shutdown(timeout_s=180)
        # The earlier disk: its ledger and both heads are whole, and only the TPM knows better.
        shutil.copyfile(kept, machine.disk)
        again(machine, tpm)
        found = verify(machine)
        assert found.status == 1, found
        assert found.text.count("FINDING") == 1
        assert "the TPM counts 4, and its last number is 3: it was rolled back" in found.text
        # What is written next doesn't cover it up.
        line(machine)
        assert "says: the TPM counts 4, and its last number is 3" in verify(machine).text
