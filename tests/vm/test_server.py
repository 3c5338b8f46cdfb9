# SPDX-License-Identifier: Apache-2.0
"""A whole Debian under the gate, sealed at boot with the default policy: what it does works.

A false denial is as bad as a missing one. After all of it the gate's log holds nothing but the
loader's own canary. One machine for all tests, in the order of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import server_world
from .gate_machine import Gate, serial, value
from .machine import Machine
from .qemu import Disk
from .server_machine import (
    ACCEPT_UNIT,
    BOOTED,
    DEPLOY,
    OSTREE,
    PARTS,
    beside_the_canary,
    boot_server,
    health,
    remake,
    sealed_again,
    sealed_and_quiet,
    update,
)
from .server_work import AS_ROOT, AS_USER

pytestmark = pytest.mark.full  # its image alone takes minutes; test_gate_boot.py is the short one

_FULL = """
trap 'rm -f /var/tmp/fill /var/tmp/x' EXIT
fallocate -l $(df --output=avail -B1 /var | tail -1) /var/tmp/fill; cat /dev/zero >>/var/tmp/fill
[ "$(df --output=avail /var | tail -1)" -lt 1024 ] || exit 9
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """The sealed server."""
    with boot_server() as machine:
        yield machine


@pytest.fixture
def gate(machine: Machine) -> Iterator[Gate]:
    """The machine's gate; the log must not gain a line by the test."""
    gate = Gate(machine)
    before = beside_the_canary(gate)
    yield gate
    after = beside_the_canary(gate)
    assert after[len(before) :] == []


def accepted(machine: Machine) -> str:
    """What the unit that accepts the booted commit said; it ended well."""
    machine.run(
        f"until systemctl show -p SubState --value {ACCEPT_UNIT} | grep -qx dead;"
        " do sleep 0.2; done"
    )
    show = f"systemctl show -p Result -p ExecMainStatus -p ExecMainCode {ACCEPT_UNIT}"
    said = machine.run(f"journalctl -b -o cat -u {ACCEPT_UNIT}").text
    expected = {"Result=success", "ExecMainCode=1", "ExecMainStatus=0"}
    assert set(machine.run(show).text.split()) == expected, said
    return said


def test_it_boots_sealed(gate: Gate) -> None:
    assert health(gate.machine) == ("running", "")
    sealed_and_quiet(gate)
    lockdown = gate.machine.run(["cat", "/sys/kernel/security/lockdown"]).text
    assert "[integrity]" in lockdown


def test_the_booted_commit_is_accepted(gate: Gate) -> None:
    assert f"in the stream {server_world.SITE}, serial 1," in accepted(gate.machine)


@pytest.mark.parametrize("name", AS_USER)
def test_an_ordinary_user_at_work(gate: Gate, name: str) -> None:
    gate.machine.run(f"exec 2>&1; {AS_USER[name]}", user="user", timeout_s=180)


@pytest.mark.parametrize("name", AS_ROOT)
def test_root_at_work(gate: Gate, name: str) -> None:
    gate.machine.run(f"exec 2>&1; {AS_ROOT[name]}", timeout_s=180)


def test_a_disk_is_plugged_in(gate: Gate, tmp_path: Path) -> None:
    disk = tmp_path / "late.img"
    with disk.open("wb") as handle:
        handle.truncate(32 << 20)
    gate.machine.plug([Disk(path=disk, serial="late")])
    link = "/dev/disk/by-id/virtio-late"
    gate.machine.run(f"udevadm settle && mkfs.ext4 -q {link} && mount {link} /mnt && umount /mnt")


def test_memory_runs_out(gate: Gate) -> None:
    """Programs start while others are killed for memory; theirs isn't the gate's to refuse."""
    gate.machine.run(
        "set -e; systemd-run --quiet --unit=hungry -p MemoryMax=200M -p OOMPolicy=continue"
        " stress-ng --quiet --vm 2 --vm-bytes 400M --vm-populate --timeout 20;"
        " until dmesg | grep -q 'Memory cgroup out of memory'; do id -u; done;"
        " systemctl stop hungry || systemctl reset-failed hungry || :;"
        " stress-ng --quiet --vm 2 --vm-bytes 75% --timeout 5 & "
        "for round in $(seq 20); do /usr/bin/true; done; wait",
        timeout_s=180,
    )


def test_the_disk_is_full(gate: Gate) -> None:
    done = gate.machine.run(
        f"{_FULL} logger full; sudo -u user id -u && systemctl restart cron"
        " && ! cp /bin/sh /var/tmp/x",
        timeout_s=180,
    )
    assert done.text == "1000"


def test_an_update_to_a_newly_signed_commit(gate: Gate) -> None:
    """Pulled, verified, enabled, imported and made the next boot's, sealed all the while."""
    machine = gate.machine
    old = machine.run([f"{BOOTED}/usr/bin/greet"]).text
    machine.run(update(2), timeout_s=180)
    names = f"--repo {OSTREE} vendor:site/2"
    machine.run(f"verity commit verify {names}", timeout_s=60)
    machine.run(
        f"verity commit show --grants {names} >{PARTS}/new && mv {PARTS}/new {PARTS}/site.grants"
    )
    machine.run(f"verity lockdown import {PARTS}/site.grants")
    machine.run(remake(), timeout_s=60)
    assert (old, machine.run([f"{BOOTED}/usr/bin/greet"]).text) == ("ran site 1", "ran site 2")
    assert machine.run([f"{BOOTED}/usr/bin/greet.sh"]).text == "site 2 script"
    assert serial(gate.status(), server_world.SITE) == 2


def test_only_that_changed_in_etc_which_changes_by_itself(gate: Gate) -> None:
    """The classes of the default policy fit: accounts, the host's name, caches, machine-id."""
    gate.machine.run("exec 2>&1; verity etc status", timeout_s=180)


def test_nothing_of_it_was_denied(machine: Machine) -> None:
    sealed_and_quiet(Gate(machine))


def test_it_boots_into_the_update(machine: Machine) -> None:
    sealed_again(machine)
    assert health(machine) == ("running", "")
    gate = Gate(machine)
    assert machine.run([f"{BOOTED}/usr/bin/greet"]).text == "ran site 2"
    assert serial(gate.status(), server_world.SITE) == 2
    assert f"in the stream {server_world.SITE}, serial 2," in accepted(machine)
    sealed_and_quiet(gate)


def test_unsigned_and_outdated_code_is_refused_all_the_same(machine: Machine) -> None:
    """The control of all the rest, and the last: it leaves denials."""
    gate = Gate(machine)
    outdated = machine.run(
        f"for one in {DEPLOY}/*.0; do $one/usr/bin/greet; done"
        "; /home/user/own; /usr/bin/python3 -c pass; true"
    )
    assert outdated.text == "ran site 2"
    reasons = [line.split()[2:5] for line in beside_the_canary(gate)]
    assert sorted(reasons) == [
        ["denied", "interpreter", "exec"],
        ["denied", "no-digest", "exec"],
        ["denied", "not-granted", "exec"],
    ]
    assert value(gate.status(), "denied") == "4"
