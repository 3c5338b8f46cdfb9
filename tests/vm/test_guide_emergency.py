# SPDX-License-Identifier: Apache-2.0
"""Chapter 8 of docs/guide-operators.md, line by line: a sealed host, and its owner's own machine.

The owner's machine has the keys and nothing of the host; a stick goes between the two. What asks
is asked at a terminal, and what is read out is typed, with a slip.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import guide
from . import lifecycle_host as host
from .image import Image, build_image
from .machine import Machine

pytestmark = pytest.mark.full

CARRY = "/media/carry"
RESCUE = "/opt/rescue/fix"
HELPER = "/usr/lib/verity/verity-unlock"
# What nobody has signed, and shows who runs it.
UNSIGNED = f"mkdir -p {CARRY} /opt/rescue; cp /usr/bin/id {RESCUE}; printf x >>{RESCUE}"
PYTHON = "/usr/bin/python3.*"


@contextmanager
def both(image: Image, folder: Path) -> Iterator[tuple[Machine, Machine]]:
    """The host in the boot of a trial, which is sealed; and the owner's machine, with the keys."""
    with (
        host.ready(image, folder / "host") as machine,
        Machine.boot("system", image) as own,
    ):
        machine.run(UNSIGNED)
        machine.run(host.trial_line("--insecure-unproven"), timeout_s=host.READY_S)
        machine.pull(host.KEYS, folder / "keys")
        machine.run(["rm", "-r", host.KEYS])
        own.run(["mkdir", "-p", CARRY])
        own.push(folder / "keys", host.KEYS)
        host.reboot(machine)
        assert host.status(machine)["state"] == "sealed"
        yield machine, own


def carry(source: Machine, target: Machine, folder: Path) -> None:
    """The stick, from one to the other."""
    names = source.run(["ls", CARRY]).text.split()
    for name in names:
        source.pull(f"{CARRY}/{name}", folder / name)
        target.push(folder / name, f"{CARRY}/{name}")


def with_a_slip(groups: list[str]) -> str:
    """As somebody types it: the first group wrong, and then right."""
    first = groups[0]
    wrong = first[:4] + ("7" if first[4] != "7" else "8") + first[5:]
    return "\n".join((wrong, *groups, ""))


def is_refused(machine: Machine) -> bool:
    return machine.run(RESCUE, check=False).status == 126


def events(machine: Machine) -> list[str]:
    """What the ledger has."""
    text = machine.run("verity unlock ledger show --json", timeout_s=120).text
    found = [json.loads(line) for line in text.splitlines()]
    return [one["event"] for one in found if one["type"] == "entry"]


def test_the_chapter(tmp_path: Path) -> None:
    image = build_image(Path(os.environ["VERITY_WHEEL"]))
    stick = tmp_path / "stick"
    stick.mkdir()
    shown: dict[str, str] = {}
    with both(image, tmp_path) as (machine, own):
        assert is_refused(machine)
        at: Machine = machine
        groups: list[str] = []
        for one in guide.typed((8,)):
            line = one.line
            wanted = own if one.elsewhere else machine
            if wanted is not at:
                carry(at, wanted, stick)
                at = wanted
            if line == f"{HELPER} >{CARRY}/challenge-2":
                assert is_refused(machine)  # relocked
                machine.run(f"chmod 0 {PYTHON}")
            if line.startswith("verity unlock sign "):
                shown[line] = guide.at_a_terminal(own, line, "y\n")
                assert "host      db7 " in shown[line], shown[line]
                groups = guide.groups(shown[line])
                assert bool(groups) == ("--typed" in line), shown[line]
            elif line == "verity unlock apply --typed":
                shown[line] = guide.at_a_terminal(machine, line, with_a_slip(groups))
                assert "is wrong" in shown[line] and "drill     passed" in shown[line]
                assert is_refused(machine)
            elif line == f"{HELPER} --typed":
                answer = with_a_slip(groups) + f"{RESCUE}\nexit\n"
                shown[line] = guide.at_a_terminal(machine, line, answer)
                assert "is wrong" in shown[line] and "uid=0(root)" in shown[line], shown[line]
                assert is_refused(machine)  # elsewhere than in the session
            else:
                shown[line] = guide.run(at, line).text
        assert "uid=0(root)" in shown[RESCUE]
        assert RESCUE in shown["verity explain --denial last"]
        assert "drill     last practised" in shown["verity unlock status"]
        assert "UNLOCKED  path-prefix /opt/rescue" in shown["verity unlock status"]
        assert f"let through {RESCUE}" in shown["verity unlock review"]
        assert "whole: " in shown["verity unlock ledger verify"]
        card = machine.run(["cat", f"{CARRY}/card"]).text
        assert machine.run(["cat", "/etc/verity/host-id"]).text in card and HELPER in card
        machine.run(f"chmod 755 {PYTHON}")
        machine.run("verity unlock status", timeout_s=120)
        assert events(machine) == [
            *("challenge", "apply", "drill"),
            *("challenge", "apply", "grant", "relock", "end"),
            *("grant", "end"),
        ]
        assert all(RESCUE in line for line in guide.denied(machine))
