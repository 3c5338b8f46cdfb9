# SPDX-License-Identifier: Apache-2.0
"""The late seal, with Debian's own cloud-init: a host is provisioned at boot, and sealed behind it.

One host for all tests, in the order of the file; each boot is that of another instance, with user
data of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import cloud_host, guide
from . import lifecycle_host as host
from .image import build_image
from .machine import Machine

pytestmark = pytest.mark.full

GATE, SEAL = "verity-gate.service", "verity-seal-late.service"
SLICE = "system-sshd.slice"
SECOND = """\
#cloud-config
hostname: second
ssh_deletekeys: false
bootcmd: [[touch, /run/early]]
write_files: [{path: /srv/second, content: second}]
"""
# A Python that no signed script starts; it outlives the stage, and reads no input.
THIRD = """\
#cloud-config
hostname: third
ssh_deletekeys: false
bootcmd:
  - exec </dev/null >/dev/null 2>&1; setsid python3 -c 'import time; time.sleep(9999)' &
    echo $! >/run/stray
runcmd: ["touch /srv/third"]
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Provisioned, made ready and booted under observe."""
    image = build_image(Path(os.environ["VERITY_WHEEL"]))
    with cloud_host.ready(image, tmp_path_factory.mktemp("cloud") / "work") as machine:
        yield machine


def began(machine: Machine, unit: str) -> int:
    """When it was begun to be started, in microseconds; it was started."""
    return _moment(machine, unit, "InactiveExitTimestampMonotonic")


def done(machine: Machine, unit: str) -> int:
    """When it had been started."""
    return _moment(machine, unit, "ActiveEnterTimestampMonotonic")


def _moment(machine: Machine, unit: str, which: str) -> int:
    moment = int(machine.run(["systemctl", "show", "--value", "-p", which, unit]).text)
    assert moment, (unit, which)
    return moment


def failed(machine: Machine) -> list[str]:
    listed = machine.run("systemctl --failed --no-legend --plain").text
    return [line.split()[0] for line in listed.splitlines()]


def test_it_is_sealed_behind_provisioning(machine: Machine) -> None:
    """The arming proof before the trial has nothing open, nor has that before `confirm`, below."""
    cloud_host.instance(machine, "second", SECOND)
    machine.run(host.trial_line(), timeout_s=host.READY_S)
    came_up = cloud_host.reboot(machine)
    assert (came_up, failed(machine)) == ("running", []), host.status(machine)
    # Provisioned, to the end.
    assert machine.run("cat /srv/second; hostname").text == "secondsecond"
    machine.run("test -e /run/early")
    provisioned = machine.run("cloud-init status --long", check=False, timeout_s=120)
    assert provisioned.status == 0 and "\nextended_status: done\n" in provisioned.text
    # Sealed, with nothing refused before or since.
    assert host.status(machine)["state"] == "sealed"
    assert guide.denied(machine) == []
    assert machine.run(host.LOGIN, timeout_s=120).text == "user"
    # In this order.
    skipped = "systemctl show --value -p ConditionResult verity-seal.service"
    assert machine.run(skipped).text == "no"
    assert done(machine, GATE) <= began(machine, "cloud-init-main.service")
    assert done(machine, "cloud-config.service") <= began(machine, SEAL)
    sealed = done(machine, SEAL)
    for unit in ("ssh", "systemd-user-sessions", "verity-denials", "cloud-final"):
        assert sealed <= began(machine, f"{unit}.service"), unit
    assert sealed <= done(machine, "multi-user.target")
    assert machine.run("systemctl is-active verity-denials ssh.socket").text == "active\nactive"
    # So would be what a socket starts for each who connects.
    for unit, behind in (("sshd@1.service", SLICE), (SLICE, SEAL)):
        after = machine.run(["systemctl", "show", "--value", "-p", "After", unit]).text
        assert behind in after.split()
    cycles = machine.run("journalctl -b -o cat -t systemd --grep 'ordering cycle'", check=False)
    assert "cycle" not in cycles.text


def test_a_python_that_no_signed_script_started(machine: Machine) -> None:
    """It is named, the gate goes on observing, and the host comes up; it ends, and is sealed."""
    machine.run(f"verity lockdown confirm {host.KEY}", timeout_s=host.READY_S)
    cloud_host.instance(machine, "third", THIRD)
    came_up = cloud_host.reboot(machine)
    assert (came_up, failed(machine)) == ("degraded", [SEAL])
    found = host.status(machine)
    stray = machine.run("cat /run/stray").text
    assert found["state"] == "observe"
    assert re.search(rf"process {stray} \(python3\S*\) runs \S+: interpreter", found["why"])
    assert machine.run("cat /srv/third; hostname").text == "third"
    assert machine.run(host.LOGIN, timeout_s=120).text == "user"
    assert f"systemctl restart {cloud_host.SEALED}" in found["next"]
    machine.run(f"kill {stray}; systemctl restart {cloud_host.SEALED}", timeout_s=120)
    stands = host.status(machine)
    assert (stands["state"], stands["why"]) == ("sealed", "by the signed policy")
    assert (failed(machine), guide.denied(machine)) == ([], [])


def test_a_script_of_the_user_data_is_refused_under_the_seal(machine: Machine) -> None:
    """cloud-final.service runs it, behind the seal; nobody signed it."""
    script = "/var/lib/cloud/instances/third/scripts/runcmd"
    machine.run("rm /srv/third")
    again = "cloud-init single --name scripts_user --frequency always"
    machine.run(again, check=False, timeout_s=120)
    machine.run("test ! -e /srv/third")
    (line,) = guide.denied(machine)
    assert " denied no-digest exec uid 0 " in line and line.endswith(f" cloud-init {script}")
