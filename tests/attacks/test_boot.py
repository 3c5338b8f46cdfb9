# SPDX-License-Identifier: Apache-2.0
"""What must keep working: a false denial is as bad as a missing one.

A Debian whose files are all signed boots with the gate's own unit, which seals before
sysinit.target; the log then holds the loader's canary and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm import Image, Machine, trust_world

from . import ground
from .conftest import GROUND_STREAM, ground_machine
from .gatelog import denials, status

UNIT = Path("policy/systemd/verity-gate.service")

# By root, each with what it must print.
WORKS = {
    "a module of the distribution": ("modprobe dummy && lsmod | grep -o ^dummy", "dummy"),
    "daemon-reload": ("systemctl daemon-reload && echo done", "done"),
    "journal rotation": ("journalctl --rotate && echo done", "done"),
    "a transient unit": ("systemd-run -q --wait --pipe echo done", "done"),
    "udev": ("udevadm trigger --settle && echo done", "done"),
    "logrotate": ("logrotate -f /etc/logrotate.conf && echo done", "done"),
    "python": ("python3 -I -c 'import ctypes, ssl, sqlite3; print(\"done\")'", "done"),
    "a login": ("runuser -l user -c 'id -un'", "user"),
    "sudo": ("runuser -u user -- sudo -n true 2>&1; sudo -u user id -un", "user"),
    "ssh": (
        "ssh-keygen -q -N '' -t ed25519 -f /etc/ssh/ssh_host_ed25519_key"
        " && systemctl start ssh && systemctl is-active ssh",
        "active",
    ),
    "an ordinary user's own program": (
        f"cp {ground.UNSIGNED}/program /home/user/own && runuser -u user /home/user/own",
        "ran unsigned uid=1000",
    ),
    "an ordinary user's own container": (
        "runuser -u user -- unshare -Urm /home/user/own",
        "ran unsigned uid=0",
    ),
}


@pytest.fixture(scope="module")
def booted(bare_image: Image) -> Iterator[Machine]:
    """A machine that was booted for real with the gate's unit enabled."""
    granted = {GROUND_STREAM: ground.ground(bare_image) / "granted"}
    with ground_machine(bare_image) as machine:
        trust_world.install(machine, trust_world.trust_world(bare_image, granted))
        machine.push(UNIT, f"/etc/systemd/system/{UNIT.name}")
        machine.run(["systemctl", "enable", UNIT.name])
        machine.shutdown()
        machine.boot_again()
        yield machine


def unexpected(machine: Machine) -> list[str]:
    """The log of a sealed gate without the loader's canaries."""
    assert status(machine)["state"] == "sealed"
    return [one.line for one in denials(machine) if "/memfd:verity-canary" not in one.line]


def test_a_signed_debian_boots_sealed_without_a_denial(booted: Machine) -> None:
    assert unexpected(booted) == []
    assert booted.run("systemctl --failed --no-legend").text == ""
    assert booted.run("systemctl is-system-running", check=False).text == "running"
    assert booted.run([f"{ground.UNSIGNED}/program"], check=False).status == 127


@pytest.mark.parametrize("what", WORKS)
def test_sealed_it_still_works(booted: Machine, what: str) -> None:
    before = unexpected(booted)
    command, expected = WORKS[what]
    done = booted.run(command, check=False, timeout_s=120)
    assert expected in done.text, done
    assert unexpected(booted) == before
