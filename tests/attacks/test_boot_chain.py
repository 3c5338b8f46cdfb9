# SPDX-License-Identifier: Apache-2.0
"""Group 26: on a host of level B1 nobody writes what the next boot comes from.

One machine with EFI and an ESP on a disk of its own: first without a gate, where each act succeeds,
then booted by Debian's initramfs, where it doesn't, while the same act elsewhere does.
"""

from __future__ import annotations

import dataclasses
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm import Image, Machine, boot_world
from tests.vm.test_boot import host_files

from .attack import Attack, attempt
from .gatelog import status
from .rows.boot_chain import (
    BY_HANDLE,
    DEVICES,
    ESP,
    IN_DIRECTORIES,
    IN_THE_ROOT,
    OTHER,
    PLACE,
    PREPARE,
    VARIABLES,
)

pytestmark = pytest.mark.full  # two boots, one of them by a firmware

_FIRMWARE = Path("/usr/share/ovmf/OVMF.fd")
_UUID = "76657269-7479-4000-8000-000000000003"
_SECTOR, _START, _SECTORS = 512, 2048, 65536
_TIMEOUT_S = 400.0


def at(row: Attack, place: str) -> Attack:
    """The row in this directory."""
    words = {name: getattr(row, name).replace(PLACE, place) for name in ("act", "setup", "cleanup")}
    return dataclasses.replace(row, name=f"{row.name} in {place}", **words)


ROWS = (
    *(at(row, place) for place in ("/boot", ESP) for row in IN_DIRECTORIES),
    *(at(row, "/boot") for row in (*IN_THE_ROOT, BY_HANDLE)),
    *DEVICES,
    *VARIABLES,
)
CONTROLS = tuple(at(row, OTHER) for row in (*IN_DIRECTORIES, *IN_THE_ROOT))


def esp(path: Path) -> Path:
    """A disk with one partition and a file system in it."""
    entry = struct.pack("<B3xB3xII", 0, 0xEF, _START, _SECTORS)
    table = bytes(446) + entry + bytes(48) + b"\x55\xaa"
    with path.open("wb") as out:
        out.truncate((_START + _SECTORS) * _SECTOR)
        out.write(table)
    size = f"{_SECTORS * _SECTOR // 1024}k"
    options = ["-q", "-t", "ext4", "-U", _UUID, "-E", f"offset={_START * _SECTOR}"]
    subprocess.run(["mke2fs", *options, str(path), size], check=True, timeout=60)
    return path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Host:
    """A machine, and what was laid over its root."""

    machine: Machine
    files: Path


@pytest.fixture(scope="module")
def without(bare_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Without a gate, and everything in place for one."""
    folder = tmp_path_factory.mktemp("boot-chain")
    host = host_files(bare_image, folder / "host")
    (host / "etc/fstab").write_text(f"UUID={_UUID} {ESP} ext4 defaults 0 0\n")
    (host / "efi").mkdir()
    disk = f"file={esp(folder / 'esp.img')},format=raw,cache=unsafe"
    arguments = ["-bios", str(_FIRMWARE), "-drive", f"if=none,id=esp,{disk}"]
    arguments += ["-device", "virtio-blk-pci,drive=esp,serial=esp"]
    append = boot_world.APPEND
    with Machine.boot(
        "bare", bare_image, append=append, arguments=arguments, timeout_s=_TIMEOUT_S
    ) as machine:
        machine.push(host, "/sysroot")
        machine.shutdown()
        machine.boot_again("system", timeout_s=_TIMEOUT_S)
        machine.run(PREPARE)
        yield Host(machine=machine, files=host)


@pytest.fixture(scope="module")
def sealed(without: Host, bare_image: Image) -> Machine:
    """The same machine, booted anew by an initramfs that knows of the ESP."""
    machine = without.machine
    machine.run(PREPARE)
    machine.shutdown(timeout_s=_TIMEOUT_S)
    machine.image = boot_world.with_initramfs(bare_image, without.files, "initramfs-tools")
    machine.boot_again(timeout_s=_TIMEOUT_S)
    assert status(machine)["state"] == "sealed"
    assert status(machine)["boot_chain"] == "2 2"  # /boot and /efi; a partition and its disk
    return machine


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_without_the_gate_it_succeeds(without: Host, row: Attack) -> None:
    outcome = attempt(without.machine, row)
    assert outcome.succeeded, outcome


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_sealed_at_b1_it_is_refused(sealed: Machine, row: Attack) -> None:
    outcome = attempt(sealed, row)
    assert not outcome.succeeded, outcome
    assert {one.reason for one in outcome.denied} == {row.reason}, outcome


@pytest.mark.parametrize("row", CONTROLS, ids=str)
def test_sealed_the_same_elsewhere_succeeds(sealed: Machine, row: Attack) -> None:
    outcome = attempt(sealed, row)
    assert outcome.succeeded and not outcome.denied, outcome


def test_what_is_booted_from_is_as_it_was(sealed: Machine) -> None:
    """Also where it was asked for in a way that the log has, and shows nothing of."""
    for place in ("/boot", ESP):
        assert sealed.run(f"cat {place}/old {place}/gone {place}/gone2").text == "old\ngone\ngone2"
        assert sealed.run(f"stat -c %a {place}/old; ls -d {place}/empty").text.startswith("644")
