# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/guide-operators.md, one after the other: a host becomes sealed, is updated,
and gets rid of it; a plain Debian, and one that a vendor has signed and OSTree has deployed.

What stands in fences is run as an owner would type it, each reboot a real one. Chapter 8, the
emergency, is test_guide_emergency.py's, 9 test_restored.py's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from . import guide, ostree_host
from . import lifecycle_host as host
from .image import build_image
from .machine import Machine

pytestmark = pytest.mark.full

SEALED, UPDATES, AWAY = range(1, 7), (7,), (10,)
"""Chapters."""
# After each `verity lockdown status` up to the seal: state, and how the reason begins.
STANDS = [
    ("observe", "the signed policy says observe"),
    ("sealed", "this is the one boot of a trial"),
    ("sealed", "by the signed policy"),
]
# As apt's new version of a program is there: another file, which nobody has signed.
PROGRAM = "/usr/sbin/cron"
UPGRADED = f"cp -a {PROGRAM} {PROGRAM}.new; printf x >>{PROGRAM}.new; mv {PROGRAM}.new {PROGRAM}"


def follow(machine: Machine, lines: Sequence[str], reboot: Callable[[Machine], None]) -> None:
    """Type these lines; the host must stand as STANDS has it whenever it is asked."""
    stands = []
    for line in lines:
        if line == guide.REBOOT:
            reboot(machine)
            continue
        guide.run(machine, line)
        if line == guide.STATUS:
            found = host.status(machine)
            stands.append((found["state"], found["why"]))
            assert guide.denied(machine) == []
    expected = STANDS if stands else []
    assert [state for state, _ in stands] == [state for state, _ in expected]
    for (_, why), (_, begins) in zip(stands, expected, strict=True):
        assert why.startswith(begins)


def assert_sealed(machine: Machine, again: str) -> None:
    """A login from elsewhere works, an unsigned program doesn't, and nothing undoes it."""
    assert machine.run(host.LOGIN, timeout_s=120).text == "user"
    machine.run("mkdir -p /opt; cp /bin/true /opt/unsigned")
    assert machine.run("/opt/unsigned", check=False).status == 126  # not permitted
    refused = machine.run("verity lockdown remove", check=False)
    assert refused.status == 1 and b"nothing is removed under a seal" in refused.stderr
    done = machine.run(again, check=False)
    assert done.status == 1 and b"gate-sealed" not in done.stdout


def assert_gone(machine: Machine) -> None:
    """Nothing is left of it but empty directories, and no gate is loaded."""
    assert host.status(machine)["state"] == "off"
    left = "find /var/lib/verity /etc/verity -mindepth 1"
    assert machine.run(left, check=False).text == ""


def test_a_plain_debian() -> None:
    lines = guide.lines(SEALED, guide.PLAIN)
    assert lines.count(guide.REBOOT) == 3 and len(lines) >= 12
    with Machine.boot("system", build_image(Path(os.environ["VERITY_WHEEL"]))) as machine:
        machine.run(host.PREPARE, timeout_s=host.READY_S)
        follow(machine, lines, host.reboot)
        assert_sealed(machine, host.INIT)
        for line in guide.lines(UPDATES, guide.PLAIN):
            follow(machine, [line], host.reboot)
            if line.startswith("apt "):
                machine.run(UPGRADED)
        assert host.status(machine)["state"] == "observe"
        follow(machine, guide.lines(AWAY, guide.PLAIN), host.reboot)
        host.reboot(machine)
        assert_gone(machine)


def test_a_host_with_a_vendor() -> None:
    """Up to the vendor's next commit, which is booted and signed for; there is a new program."""
    vendors = ostree_host.vendor_host(build_image(Path(os.environ["VERITY_WHEEL"])))

    def lines(*chapters: int) -> list[str]:
        found = guide.lines(chapters, guide.VENDOR)
        return [line.replace("FINGERPRINT", vendors.fingerprint) for line in found]

    assert any(vendors.fingerprint in line for line in lines(2))
    with ostree_host.boot(vendors) as machine:
        machine.run(host.PREPARE, timeout_s=host.READY_S)
        shown = machine.run("verity keyring show /usr/lib/verity/keyrings", timeout_s=120).text
        assert f"sha256:{vendors.fingerprint}" in shown
        follow(machine, lines(*SEALED), ostree_host.reboot)
        (init,) = (line for line in lines(2) if "init" in line and "--plan" not in line)
        assert_sealed(machine, init)
        assert machine.run("test -e /usr/bin/greet", check=False).status == 1
        follow(machine, lines(*UPDATES), ostree_host.reboot)
        assert host.status(machine)["state"] == "observe"
        assert machine.run(["/usr/bin/greet"]).text == "second"
        follow(machine, lines(*AWAY), ostree_host.reboot)
        ostree_host.reboot(machine)
        assert_gone(machine)
