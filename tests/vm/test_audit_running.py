# SPDX-License-Identifier: Apache-2.0
"""The areas running and posture on a sealed Debian: clean, and each tampering by its check.

One machine, audited twice: as it was sealed, and after all the tampering that a sealed gate lets
root do.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import boot
from verity.formats.grants import Code, CodeEntry
from verity.ports.content import digest_path

from . import gate_world, wheel
from .errors import VmError
from .gate_blobs import EXPIRES
from .gate_machine import ACCEPTED, AT, Gate, value
from .gate_world import harness_grants, os_grants
from .image import Image
from .machine import Machine

pytestmark = pytest.mark.full  # two audits under emulation

HERE = "/opt/auditor"
_EVICT = "sync; echo 3 >/proc/sys/vm/drop_caches"
MACHINES_OWN = ("posture-hardening", "the kernel's command line")
"""All of these machines are started with mitigations=off, and that is found."""
_DRIVER = Path(__file__).with_name("running_audit.py")


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What an audit said of both areas together."""

    areas: dict[str, Any]

    def findings(self) -> list[tuple[str, str]]:
        """Checks and objects."""
        return [
            (one["check"], one["object"])
            for area in self.areas.values()
            for one in area["findings"]
        ]

    def gaps(self) -> list[tuple[str, str, str]]:
        """Checks, objects and why."""
        return [
            (one["check"], one["object"], one["why"])
            for area in self.areas.values()
            for one in area["gaps"]
        ]


def audit(machine: Machine, *options: str) -> Heard:
    """Asks in the machine."""
    argv = ["python3", "-I", f"{HERE}/running_audit.py", f"{HERE}/grants", *options]
    return Heard(areas=json.loads(machine.run(argv, timeout_s=240).text))


def _own(folder: Path, image: Image) -> Path:
    """verity and what it stands on, as its wheel brings it, and the driver."""
    named = os.environ.get("VERITY_WHEEL")
    if not named:
        raise VmError("VERITY_WHEEL is not set; `tests/prepare wheel` prints what it should be")
    own = folder / "auditor"
    wheel.unpack(wheel.read_wheel(Path(named)), own, debian=image.tree)
    shutil.copyfile(_DRIVER, own / _DRIVER.name)
    (own / "grants").mkdir()
    return own


@pytest.fixture(scope="module")
def gate(
    sealed: Gate, gate_image: Image, gate_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Gate:
    """The sealed machine with the auditor in it; its libraries are granted like anybody's."""
    own = _own(tmp_path_factory.mktemp("running"), gate_image)
    libraries = sorted(own.rglob("*.so*"))
    code = {digest_path(path).value: Code.LIBRARY for path in libraries}
    entries = tuple(CodeEntry(digest, flags) for digest, flags in sorted(code.items()))
    ours = boot.extension_grants(serial=1, expires=EXPIRES, code=entries).fragment
    programs = harness_grants(*(gate_files / name for name in ("call", "flood")))
    for name, fragment in (("os", os_grants(gate_image)), ("harness", programs), ("tools", ours)):
        (own / f"grants/{name}.grants").write_bytes(fragment.blob)
    sealed.machine.push(own, HERE)
    names = " ".join(f"{HERE}/{path.relative_to(own)}" for path in libraries)
    # What was read before fs-verity was on must be out of the cache before the gate believes it.
    sealed.machine.run(
        f"for file in {names}; do fsverity enable $file || exit; done; {_EVICT}", timeout_s=120
    )
    assert sealed.send(gate_world.encode([ours])) == (ACCEPTED,)
    return sealed


@pytest.fixture(scope="module")
def clean(gate: Gate) -> Heard:
    """The machine as it was sealed."""
    before = value(gate.status(), "denied")
    heard = audit(gate.machine)
    assert int(value(gate.status(), "denied")) == int(before) + 1  # the canary
    return heard


def test_as_it_was_sealed_nothing_is_found(clean: Heard) -> None:
    assert clean.findings() == [MACHINES_OWN]
    assert clean.gaps() == []


JOURNAL, CRON = "/usr/lib/systemd/systemd-journald", "/usr/sbin/cron"
BINFMT = "/proc/sys/fs/binfmt_misc"
TAMPERED = f"""
set -e; PATH=$PATH:/usr/sbin
echo '|{AT}/a %p' >/proc/sys/kernel/core_pattern
cp /usr/bin/sleep /opt/sleep; fsverity enable /opt/sleep; {_EVICT}
/opt/sleep 1000 >/dev/null 2>&1 &
while [ "$(readlink /proc/$!/exe)" != /opt/sleep ]; do :; done
rm /opt/sleep
mkdir -p /opt/other; mount -t tmpfs tmpfs /opt/other
cp /usr/bin/true /opt/other/su; chmod 4755 /opt/other/su
echo 0 >/proc/sys/kernel/perf_event_paranoid
fallocate -l 16M /opt/swap; chmod 600 /opt/swap; mkswap -q /opt/swap; swapon /opt/swap
mount -t tmpfs tmpfs /var/tmp
modprobe binfmt_misc
# systemd's automount may have it there by then.
[ -e {BINFMT}/register ] || mount -t binfmt_misc binfmt_misc {BINFMT}
echo ':evil:M::EVIL::{AT}/c:' >{BINFMT}/register
echo {AT}/b >/proc/sys/kernel/modprobe
"""
AS_USER = "import mmap, time; mmap.mmap(-1, 4096, flags=2, prot=5); time.sleep(1000)"
EVERYBODYS = "/var/tmp"  # noqa: S108  # mounted over in the machine, not used
FOUND = {
    ("running-helper", "kernel.core_pattern"),
    ("running-helper", "kernel.modprobe"),
    ("running-binfmt", "binfmt_misc evil"),
    ("running-deleted", r"/opt/sleep\x20(deleted)"),
    ("running-unsigned", CRON),
    ("running-before-seal", "systemd-journal"),
    ("posture-other-files", "/opt/other/su"),
    ("posture-hardening", "kernel.perf_event_paranoid"),
    ("posture-swap", "swap"),
    ("posture-mount-options", EVERYBODYS),
}


def _named(object_: str) -> str:
    """A process by its name: nobody knows its number beforehand."""
    return object_.rpartition("(")[2].rstrip(")") if object_.startswith("process ") else object_


@pytest.fixture(scope="module")
def tampered(gate: Gate, clean: Heard) -> Heard:
    """The same machine, after root did what they could; an ordinary user does as they like."""
    gate.machine.run(TAMPERED, timeout_s=120)
    gate.machine.start(["python3", "-I", "-c", AS_USER], user="user")
    gate.machine.run("until pgrep -U user python3; do sleep 0.1; done")
    return audit(gate.machine, f"--also=interpreter={JOURNAL}", f"--without={CRON}")


def test_each_tampering_is_found_by_its_check_and_nothing_else(tampered: Heard) -> None:
    found = sorted((check, _named(object_)) for check, object_ in tampered.findings())
    assert found == sorted({*FOUND, MACHINES_OWN})
    assert tampered.gaps() == []


def test_the_sealed_gate_is_what_enforces(clean: Heard) -> None:
    coverage = clean.areas["running"]["coverage"]
    assert coverage["enforced by the kernel"] > 20
    assert set(coverage) == {"enforced by the kernel"}
    assert clean.areas["running"]["counts"]["older than the seal"] > 3
