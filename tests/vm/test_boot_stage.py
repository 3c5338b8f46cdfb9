# SPDX-License-Identifier: Apache-2.0
"""What is staged on a sealed host is put into place by its next boot, or refused, and never half.

QEMU plays the boot loader and always gives the kernel the same initramfs: it is looked at what
stands in the host's /boot and state, and with which bundle the gate comes up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from verity.formats import grub_env

from .boot_update import make_update
from .errors import MachineDied
from .gate_machine import Gate, serial, value
from .image import Image
from .machine import Machine
from .test_boot import STREAM, booted, host_files, refused

pytestmark = pytest.mark.full  # a boot takes minutes, and each case is two or three of them

_TIMEOUT_S = 400.0
_STREAM = "boot-files"
_NEXT = "/var/lib/verity/next"
_MARK = "staged for this boot"
NEW = {
    "vmlinuz-2": b"a kernel" * 4000,
    "initrd.img-2": b"an initramfs" * 90000,
    "loader/entries/two.conf": b"title two\n",
}
STAGE = f"""
rm -rf {_NEXT} {_NEXT}.part; cp -r /root/update {_NEXT}.part
find {_NEXT}.part/boot -type f -exec fsverity enable {{}} \\;
sync; mv {_NEXT}.part {_NEXT}; sync
"""
"""As `verity lockdown stage` does it, on a host without verity's own programs."""

_DAMAGE = """
at=$(grep -abo /boot/vmlinuz-2 boot.bundle | cut -d: -f1)
printf x | dd of=boot.bundle bs=1 seek=$at conv=notrunc
"""
"""A byte of the signed grants: whatever else the bundle has, only a signature tells."""


@dataclass(frozen=True, kw_only=True)
class Host:
    machine: Machine
    update: Path


@pytest.fixture(scope="module", params=["initramfs-tools", "dracut"])
def host(
    request: pytest.FixtureRequest, gate_image: Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    """A sealed machine with /boot/loader, and a directory with an update for it."""
    folder = tmp_path_factory.mktemp("stage")
    update = make_update(gate_image, folder / "update", NEW, stream=_STREAM, tree_stream=STREAM)
    files = host_files(gate_image, folder / "host")
    (files / "boot/loader/entries").mkdir(parents=True)
    (files / "boot/loader/entries/two.conf").write_text("title one\n")
    (files / "boot/grub").mkdir()
    (files / "boot/grub/verity.env").write_bytes(grub_env.encode(grub_env.IDLE))
    with booted(gate_image, files, request.param) as machine:
        yield Host(machine=machine, update=update)


def stage(host: Host, change: str = ":") -> None:
    """Stages the update, altered by these shell lines, and powers off."""
    host.machine.run("rm -rf /root/update")
    host.machine.push(host.update, "/root/update")
    host.machine.run(f"cd /root/update; {change}\n{STAGE}")
    host.machine.shutdown(timeout_s=_TIMEOUT_S)


def boot(machine: Machine) -> None:
    machine.boot_again("system", timeout_s=_TIMEOUT_S)
    assert value(Gate(machine).status(), "state") == "sealed"
    assert refused(machine) == []


def grub_count(machine: Machine) -> str:
    return machine.run("grep -ao 'verity_tries=.' /boot/grub/verity.env").text.partition("=")[2]


def is_old(machine: Machine) -> None:
    """Not one byte of the update counts."""
    assert machine.run("cat /boot/loader/entries/two.conf").text == "title one"
    assert machine.run("ls -d /boot/vmlinuz-2", check=False).status != 0
    assert not [line for line in Gate(machine).status() if _STREAM in line]


def is_new(machine: Machine) -> None:
    """All of it, and what it took the place of is kept."""
    for name, data in NEW.items():
        found = machine.run(f"sha256sum </boot/{name}; wc -c </boot/{name}").text.split()
        assert int(found[-1]) == len(data), name
    assert machine.run("cat /boot/loader/entries/two.conf").text == "title two"
    assert serial(Gate(machine).status(), _STREAM) == 1
    kept = "cat /boot/loader/entries/two.conf.verity-old; cd /var/lib/verity; ls previous; ls next"
    assert machine.run(kept, check=False).text == "title one\nboot.bundle"
    assert machine.run("find /boot -name '*.verity-new'").text == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("echo x >>boot/vmlinuz-2", "the staged grants put no such file there"),
        ("mv boot/vmlinuz-2 boot/vmlinuz-3", "the staged grants put no such file there"),
        ("ln -s /etc/passwd boot/link", "no plain file"),
        (_DAMAGE, "the gate refused"),
    ],
)
def test_what_isnt_signed_is_refused(host: Host, change: str, why: str) -> None:
    """And the host boots as it was, without a hand."""
    stage(host, change)
    boot(host.machine)
    is_old(host.machine)
    assert why in host.machine.run("dmesg").text
    assert host.machine.run(f"ls -d {_NEXT}", check=False).status != 0
    host.machine.run("ls -d /var/lib/verity/refused && rm -r /var/lib/verity/refused")


def test_power_cuts_and_then_it_is_put_into_place(host: Host) -> None:
    """Wherever the power goes, the next boots end with the new state and need no hand.

    The first cut comes before the gate has seen anything, the last one while files are written or
    later: how far a boot comes in so many seconds is the emulation's affair.
    """
    stage(host)
    machine = host.machine
    for text, after_s in ((_MARK, 0.0), (_MARK, 20.0), ("rebooting once", 0.0)):
        machine.boot_and_cut(text, after_s=after_s, timeout_s=_TIMEOUT_S)
    boot(machine)
    is_new(machine)
    # There is no GRUB to count, and that is told.
    assert grub_count(machine) == "3"
    assert "GRUB didn't count this boot" in machine.run("dmesg").text


def test_it_is_put_into_place_and_the_host_reboots_once(host: Host) -> None:
    """Without cuts: a bundle alone, on the old one, as if the entry had been confirmed with it."""
    state = "cd /var/lib/verity; mv previous/boot.bundle boot.bundle; rm -r tries applied; sync"
    host.machine.run(state)
    stage(host, "rm -r boot")
    with pytest.raises(MachineDied, match="rebooting once"):
        host.machine.boot_again("system", timeout_s=_TIMEOUT_S)
    boot(host.machine)
    assert serial(Gate(host.machine).status(), _STREAM) == 1
    assert value(Gate(host.machine).status(), "policy_serial") == "2"
    kept = host.machine.run("ls /boot/loader/entries/two.conf.verity-old", check=False)
    assert kept.status != 0


def test_from_then_on_nothing_older_is_taken(host: Host) -> None:
    """A well-signed bundle whose policy is the one before."""
    stage(host, "cp /var/lib/verity/previous/boot.bundle . && rm -r boot")
    boot(host.machine)
    assert serial(Gate(host.machine).status(), _STREAM) == 1
    assert "expected 2 or more" in host.machine.run("dmesg").text


def test_then_it_is_taken_back(host: Host) -> None:
    """As after three boots that didn't come up: the bundle of before, sealed, and the reason."""
    host.machine.run("echo 0 >/var/lib/verity/tries; sync")
    host.machine.shutdown(timeout_s=_TIMEOUT_S)
    with pytest.raises(MachineDied, match="rebooting once"):
        host.machine.boot_again("system", timeout_s=_TIMEOUT_S)
    boot(host.machine)
    assert not [line for line in Gate(host.machine).status() if _STREAM in line]
    assert grub_count(host.machine) == "-"
    why = host.machine.run("cd /var/lib/verity; cat refused/why; ls tries", check=False).text
    assert why == "boot-complete.target was not reached in three boots"
    # It was no part of that update.
    assert host.machine.run("cat /boot/loader/entries/two.conf").text == "title two"
