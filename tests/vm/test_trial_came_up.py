# SPDX-License-Identifier: Apache-2.0
"""A trial that came up is confirmed by that, with the arming proof, on one host of level B0."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from verity.formats import trial_record

from . import lifecycle_host as host
from .image import build_image
from .machine import Machine

pytestmark = pytest.mark.full

CAME_UP = "/var/lib/verity/confirmed/trial"


def came_up(machine: Machine) -> trial_record.CameUp | None:
    """What is written down once all has been started."""
    machine.run("systemctl is-system-running --wait", check=False, timeout_s=host.READY_S)
    done = machine.run(["cat", CAME_UP], check=False)
    return trial_record.parse_came_up(done.stdout) if done.status == 0 else None


def test_a_trial_that_came_up(tmp_path: Path) -> None:
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
        machine.boot_again(timeout_s=host.READY_S)
        stands = host.status(machine)
        assert (stands["state"], stands["why"]) == ("sealed", "by the signed policy")
