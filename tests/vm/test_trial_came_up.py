# SPDX-License-Identifier: Apache-2.0
"""A trial that came up is confirmed by that, and a seal by hand asks what runs already.

One host of level B0: its trial comes up and is confirmed, with the arming proof; in the boot behind
it nothing seals but its owner, by hand.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from verity.formats import trial_record

from . import lifecycle_host as host
from .image import build_image
from .machine import Machine

pytestmark = pytest.mark.full

UNSEALED = "systemd.mask=verity-seal.service"
CAME_UP = "/var/lib/verity/confirmed/trial"


def came_up(machine: Machine) -> trial_record.CameUp | None:
    """What is written down once all has been started."""
    machine.run("systemctl is-system-running --wait", check=False, timeout_s=host.READY_S)
    done = machine.run(["cat", CAME_UP], check=False)
    return trial_record.parse_came_up(done.stdout) if done.status == 0 else None


def test_a_trial_that_came_up_and_a_seal_by_hand(tmp_path: Path) -> None:
    image, work = build_image(Path(os.environ["VERITY_WHEEL"])), tmp_path / "work"
    confirm = f"verity lockdown confirm {host.KEY}"
    with host.ready(image, work) as machine:
        assert came_up(machine) is None
        machine.run(host.trial_line("--insecure-unproven"), timeout_s=host.READY_S)
        host.reboot(machine)
        assert host.status(machine)["state"] == "sealed"
        found = came_up(machine)
        bundle = machine.run("sha256sum /var/lib/verity/boot.bundle").text.split()[0]
        assert found is not None and found.bundle.hex() == bundle
        assert machine.run("systemctl --failed --quiet").text == ""
        machine.run(confirm, timeout_s=host.READY_S)
        machine.shutdown(timeout_s=host.READY_S)
        machine.boot_again(append=UNSEALED, timeout_s=host.READY_S)
        assert host.status(machine)["state"] == "observe"
        machine.run("cp /usr/bin/sleep /run/unsigned; printf x >>/run/unsigned")
        machine.run("systemd-run --unit=unsigned /run/unsigned infinity")
        refused = machine.run("verity lockdown seal", check=False, timeout_s=host.READY_S)
        assert refused.status == 1 and b"sealed-late: process" in refused.stderr, refused.stderr
        assert b"(unsigned) runs /run/unsigned" in refused.stderr
        assert host.status(machine)["state"] == "observe"
        machine.run("systemctl stop unsigned")
        machine.run("verity lockdown seal", timeout_s=host.READY_S)
        found_now = host.status(machine)
        assert (found_now["state"], found_now["why"]) == ("sealed", "by the signed policy")
        assert machine.run(host.LOGIN, timeout_s=120).text == "user"
