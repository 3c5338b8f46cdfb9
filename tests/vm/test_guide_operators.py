# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/guide-operators.md, one after the other: a plain Debian becomes sealed.

What stands in fences is run as an owner would type it, each reboot a real one. After it a host is
sealed, logins work, nothing was denied, and it can't be taken away under the seal.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from . import lifecycle_host as host
from .image import build_image
from .machine import Machine

GUIDE = Path("docs/guide-operators.md")
# After each `verity lockdown status` of the guide: state, and how the reason begins.
STANDS = [
    ("observe", "the signed policy says observe"),
    ("sealed", "this is the one boot of a trial"),
    ("sealed", "by the signed policy"),
]


def fenced(text: str) -> list[str]:
    """The lines between fences."""
    return [
        line
        for block in re.findall(r"^```\n(.*?)^```$", text, re.M | re.S)
        for line in block.splitlines()
    ]


def denied(machine: Machine) -> list[str]:
    """What was denied beside the loader's own canary."""
    log = machine.run("verity lockdown log", timeout_s=120).text.splitlines()
    return [line for line in log if " denied " in line and "verity-canary" not in line]


@pytest.mark.full
def test_the_guide_runs() -> None:
    lines = fenced(GUIDE.read_text())
    assert lines.count("systemctl reboot") == 3 and len(lines) >= 12
    stands = []
    wheel = os.environ["VERITY_WHEEL"]
    with Machine.boot("system", build_image(Path(wheel))) as machine:
        machine.run(host.PREPARE, timeout_s=host.READY_S)
        for line in lines:
            if line == "systemctl reboot":
                host.reboot(machine)
                continue
            done = machine.run(line, check=False, timeout_s=host.READY_S)
            assert done.status == 0, (line, done.stdout.decode(), done.stderr.decode())
            if line == "verity lockdown status":
                found = host.status(machine)
                stands.append((found["state"], found["why"]))
                assert denied(machine) == []
        assert [state for state, _ in stands] == [state for state, _ in STANDS]
        for (_, why), (_, begins) in zip(stands, STANDS, strict=True):
            assert why.startswith(begins)
        # Sealed: a login from elsewhere works, an unsigned program doesn't, and nothing undoes it.
        assert machine.run(host.LOGIN, timeout_s=120).text == "user"
        machine.run("cp /bin/true /opt/unsigned")
        assert machine.run("/opt/unsigned", check=False).status == 126  # not permitted
        refused = machine.run("verity lockdown remove", check=False)
        assert refused.status == 1 and b"nothing is removed under a seal" in refused.stderr
        again = machine.run(host.INIT, check=False)
        assert again.status == 1 and b"gate-sealed" not in again.stdout
        # The owner's signature, and not root, brings it back to observing; then it can go.
        machine.run(f"verity lockdown observe {host.KEY}", timeout_s=120)
        host.reboot(machine)
        assert host.status(machine)["state"] == "observe"
        machine.run("verity lockdown remove", timeout_s=120)
        host.reboot(machine)
        assert host.status(machine)["state"] == "off"
        left = "find /var/lib/verity /etc/verity -mindepth 1"
        assert machine.run(left, check=False).text == ""
