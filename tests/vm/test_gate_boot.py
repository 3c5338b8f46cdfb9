# SPDX-License-Identifier: Apache-2.0
"""A whole Debian under the gate, sealed at boot by its unit: what it does every day works.

A false denial is as bad as a missing one. After all of it the gate's log holds nothing but the
loader's own canary. A row is a command that fails if what it does doesn't work.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from verity.ports import gate_object

from .gate_machine import AT, Gate, value
from .image import Image
from .machine import Machine
from .trust_world import LOADER, install, trust_world

UNIT = "verity-gate.service"
SEALING = ("verity-seal.service", "verity-seal-late.service", "verity-sealed.target")
_UNITS = Path(__file__).parents[2] / "policy" / "systemd"
_CANARY = "verity-canary"
_OBSERVED = ("bpf-program", "user-namespace")

PREPARE = """
mkdir -p -m 700 /home/user/.ssh
ssh-keygen -q -N '' -t ed25519 -f /root/key
cp /root/key.pub /home/user/.ssh/authorized_keys
chown -R user:user /home/user/.ssh
echo 'user ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/user
chmod 440 /etc/sudoers.d/user
echo '* * * * * root /usr/bin/id -un >/run/cron-ran' >/etc/cron.d/test
install -m 755 -o user {at}/a /home/user/own
printf '#!/bin/sh\\necho ran script\\n' >/home/user/own.sh
chmod 755 /home/user/own.sh
ssh-keygen -A
systemctl enable {unit} ssh
"""
_SSH = "ssh -i /root/key -o StrictHostKeyChecking=accept-new -o BatchMode=yes user@localhost"

AS_ROOT = {
    "a login by key": f'[ "$({_SSH} id -un)" = user ]',
    "sudo in a login": f'[ "$({_SSH} sudo -n id -un)" = root ]',
    "su": '[ "$(su - user -c "id -un")" = user ]',
    # cron looks at the clock when it starts, and then once a minute.
    "a cron job": "date -s 12:00:57 && systemctl restart cron"
    " && until [ -s /run/cron-ran ]; do sleep 0.2; done"
    ' && [ "$(cat /run/cron-ran)" = root ]',
    "logrotate": "logrotate -f /etc/logrotate.conf",
    "udev": "udevadm trigger && udevadm settle",
    "daemon-reload": "systemctl daemon-reload",
    "daemon-reexec": "systemctl daemon-reexec",
    "a transient unit": "systemd-run --wait --quiet true",
    "journal": "journalctl --rotate && journalctl --vacuum-time=1s && journalctl -n 1",
    "modules": "modprobe xfs && modprobe loop && modprobe -r xfs",
    "a loop mount": "truncate -s 20M /var/tmp/disk && mkfs.ext4 -q /var/tmp/disk"
    " && mount -o loop /var/tmp/disk /mnt && umount /mnt",
    "restarts": "systemctl restart systemd-logind systemd-udevd systemd-journald dbus cron",
    "accounts": "useradd other && echo other:x | chpasswd && userdel other",
    "the host's name and time": "hostnamectl hostname other && timedatectl && localectl",
    "a shielded unit": "systemd-run --wait --quiet -p ProtectKernelTunables=yes"
    " -p ProtectSystem=strict -p ProtectHome=yes -p PrivateTmp=yes -p PrivateDevices=yes"
    " -p ProtectControlGroups=yes -p TemporaryFileSystem=/opt cat /sys/fs/bpf/verity/status",
    "a mount namespace": "unshare -m sh -c 'mount -t tmpfs x /mnt && mount --make-rshared /'",
    "a container's root": "unshare -m sh -c 'mkdir -p /run/new && mount --rbind / /run/new"
    " && mount --make-rslave /run/new && cd /run/new && pivot_root . mnt && umount -l /mnt'",
    "caches": "ldconfig && systemd-tmpfiles --create",
    "python": "python3 -c 'import ctypes, json, ssl, sqlite3'",
    "packages": "dpkg --verify coreutils && apt-get check",
    "perl and shells": "perl -e 'exit 0' && bash -c : && dash -c :",
}
AS_USER = {
    "a program of their own": '[ "$(/home/user/own)" = "ran a" ]',
    "a script of their own": '[ "$(/home/user/own.sh)" = "ran script" ]',
    "python": "python3 -c 'import ctypes, mmap; mmap.mmap(-1, 4096, prot=7)'",
    "a user namespace": '[ "$(unshare -Ur id -u)" = 0 ]',
    "their program in a user namespace": "unshare -Ur /home/user/own",
    "a private tmpfs": "unshare -Urm sh -c 'mount -t tmpfs x /mnt && cp ~/own /mnt && /mnt/own'",
    "sudo": "[ $(sudo -n id -u) = 0 ]",
    "the gate's status": "cat /sys/fs/bpf/verity/status /sys/fs/bpf/verity/denials",
}


def health(machine: Machine) -> tuple[str, str]:
    """What systemd says of the whole, and the units that failed."""
    state = machine.run("systemctl is-system-running --wait", check=False).text
    return state, machine.run("systemctl --failed --no-legend").text


def beside_the_canary(gate: Gate) -> list[str]:
    """The gate's log without what the loader provokes, once before and once after the seal; and
    without what the default policy only observes, since systemd and users do it all day."""
    return [
        denial.line
        for denial in gate.denials()
        if _CANARY not in denial.line and (denial.enforced or denial.reason not in _OBSERVED)
    ]


def sealed_and_quiet(gate: Gate) -> None:
    """As it should be whenever one looks."""
    status = gate.status()
    assert value(status, "state") == "sealed"
    assert beside_the_canary(gate) == []
    assert value(status, "denied") == "1"


@pytest.fixture(scope="module")
def machine(
    gate_image: Image, gate_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Without the gate it is healthy; then it boots with it, from the same disk."""
    # What seals is started under the gate, and is asked about like everything else.
    loader = gate_object.find_loader()
    assert not isinstance(loader, gate_object.Missing)
    digest = hashlib.sha256(loader.path.read_bytes()).hexdigest()[:16]
    tree = tmp_path_factory.mktemp("trees") / digest
    tree.mkdir()
    shutil.copy(loader.path, tree)
    with Machine.boot("system", gate_image) as machine:
        assert health(machine) == ("running", "")
        install(machine, trust_world(gate_image, {"loader": tree}))
        machine.run(f"fsverity enable {LOADER}")
        for unit in (UNIT, *SEALING):
            machine.push(_UNITS / unit, f"/etc/systemd/system/{unit}")
        machine.push(gate_files, AT)
        machine.run(PREPARE.format(at=AT, unit=UNIT))
        machine.shutdown()
        machine.boot_again()
        yield machine


@pytest.fixture
def gate(machine: Machine) -> Iterator[Gate]:
    """The machine's gate; the log must not gain a line by the test."""
    gate = Gate(machine)
    before = beside_the_canary(gate)
    yield gate
    after = beside_the_canary(gate)
    assert after[len(before) :] == []


def test_it_boots_sealed(gate: Gate) -> None:
    assert health(gate.machine) == ("running", "")
    sealed_and_quiet(gate)
    lockdown = gate.machine.run(["cat", "/sys/kernel/security/lockdown"]).text
    assert "[integrity]" in lockdown


@pytest.mark.parametrize("name", AS_ROOT)
def test_root_at_work(gate: Gate, name: str) -> None:
    gate.machine.run(f"exec 2>&1; {AS_ROOT[name]}", timeout_s=120)


@pytest.mark.parametrize("name", AS_USER)
def test_an_ordinary_user_at_work(gate: Gate, name: str) -> None:
    gate.machine.run(AS_USER[name], user="user")


def test_nothing_of_it_was_denied(machine: Machine) -> None:
    sealed_and_quiet(Gate(machine))


@pytest.mark.full
def test_it_boots_again(machine: Machine) -> None:
    machine.shutdown()
    machine.boot_again()
    assert health(machine) == ("running", "")
    sealed_and_quiet(Gate(machine))


def test_an_unsigned_program_is_refused_all_the_same(machine: Machine) -> None:
    """The control of all the rest, and the last: it leaves a denial."""
    done = machine.run([f"{AT}/a"], check=False)
    assert (done.status, done.stdout) == (127, b"")
    assert [line.split()[2:5] for line in beside_the_canary(Gate(machine))] == [
        ["denied", "no-digest", "exec"]
    ]
