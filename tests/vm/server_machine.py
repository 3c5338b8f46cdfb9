# SPDX-License-Identifier: Apache-2.0
"""A fuller Debian, sealed at boot by its unit with the default policy, as a test finds it.

Everything that it runs is signed, with fs-verity on it; what stands on the disk before the seal is
what an installation would have left there. Its OS is a plain Debian, and a small OSTree deployment
stands beside it: repository, link and the kernel's argument are OSTree's, but nothing of the system
is started from there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from . import recipe, server_world
from .errors import VmError
from .gate_machine import Gate, value
from .image import Image, build_image
from .machine import Machine
from .server_world import ETC_STREAM, ServerWorld
from .server_world import server_world as make_world
from .verity_root import verity_root

GATE_UNIT, ACCEPT_UNIT = "verity-gate.service", "verity-accept.service"
PASSWORD = "correct-horse"
OSTREE = "/ostree/repo"
DEPLOY = "/ostree/deploy/site/deploy"
PARTS = f"/{server_world.PARTS}"
BOOTED = "/ostree/boot.1/site/0/0"
APPEND = f"ostree={BOOTED}"

_CANARY = "verity-canary"
_TIMEOUT_S = 400.0
_ROOT = "/sysroot"

_OWN_C = r'#include <stdio.h>\nint main(void) { return puts("ran own") < 0; }\n'
_OWN_PY = r"#!/usr/bin/python3\nimport ctypes, mmap\nmmap.mmap(-1, 4096, prot=7)\nprint(1)\n"
_PREPARE = f"""
set -e
mkdir -p -m 700 /home/user/.ssh
ssh-keygen -q -N '' -t ed25519 -f /home/user/.ssh/id_ed25519
cp /home/user/.ssh/id_ed25519.pub /home/user/.ssh/authorized_keys
echo user:{PASSWORD} | chpasswd
printf '#!/bin/sh\\necho {PASSWORD}\\n' >/home/user/askpass
printf '{_OWN_C}' >/home/user/own.c
printf '#!/bin/sh\\necho ran script\\n' >/home/user/own.sh
printf '{_OWN_PY}' >/home/user/own.py
chmod 755 /home/user/askpass /home/user/own.sh /home/user/own.py
chown -R user:user /home/user
echo 'user ALL=(ALL) ALL' >/etc/sudoers.d/user
chmod 440 /etc/sudoers.d/user
echo '* * * * * root /usr/bin/id -un >/run/cron-ran' >/etc/cron.d/test
ssh-keygen -A
# It would give Python a script on standard input, which no policy that lists Python allows.
echo '$nrconf{{interpscan}} = 0;' >/etc/needrestart/conf.d/sealed.conf
# As if /usr had not changed, or the next boot would bring everything up to date with it.
touch -r /usr /etc/.updated /var/.updated
# Its link in /etc has a target of 57 bytes, and grants have room for 55.
systemctl disable netavark-firewalld-reload
systemctl enable {GATE_UNIT} {ACCEPT_UNIT} ssh atd
"""
_DEPLOY = f"""
set -e
mkdir -p /ostree
ostree --repo={OSTREE} init --mode=bare
ostree --repo={OSTREE} remote add --no-gpg-verify vendor file:///{server_world.REPO}
"""
UPDATE = """
set -e
ostree --repo={repo} pull vendor site/{serial}
commit=$(ostree --repo={repo} rev-parse vendor:site/{serial})
mkdir -p {deploy} {boot}
ostree --repo={repo} checkout -H vendor:site/{serial} {deploy}/$commit.0
ln -sfn ../../../deploy/site/deploy/$commit.0 {booted}
"""
"""A host's update to a commit of the vendor's repository, up to the link that a boot follows."""
_ENABLE = f"verity objects enable --repo {OSTREE} vendor:site/{{serial}}\n"


def update(serial: int) -> str:
    """The shell lines that bring the commit of this serial to the host, and make it the next."""
    boot = BOOTED.rpartition("/")[0]
    lines = UPDATE.format(repo=OSTREE, serial=serial, deploy=DEPLOY, boot=boot, booted=BOOTED)
    # The first commit that a host has must be accepted before anything is good there.
    first = f"verity commit verify --repo {OSTREE} --booted --accept-without-floor\n"
    return lines + (first if serial == 1 else "") + _ENABLE.format(serial=serial)


def remake() -> str:
    """The shell line that makes the host's boot bundle anew, of what its parts are now."""
    parts = [Path(f"{PARTS}/{name}.grants") for name in ("os", "site", "verity", "etc")]
    return " ".join(["verity", *map(str, server_world.bundle(Path("/"), parts))]) + "\n"


def server_image() -> Image:
    """The fuller Debian with fs-verity on its files, without verity."""
    return verity_root(build_image(packages=recipe.SERVER_PACKAGES))


def server_wheel() -> Path:
    """The wheel that $VERITY_WHEEL names; verity itself is part of these hosts."""
    wheel = os.environ.get("VERITY_WHEEL")
    if not wheel:
        raise VmError("VERITY_WHEEL is not set; `tests/prepare wheel` prints what it should be")
    return Path(wheel)


def prepare(machine: Machine, world: ServerWorld) -> None:
    """Puts everything on the disk of a bare machine, from which a host then boots sealed."""
    machine.push(world.host, _ROOT)
    files = " ".join(f"/{path}" for path in world.protected)
    key = "/run/etc.pem"
    machine.push(world.private / "user-etc.pem", key)
    etc = f"verity etc sign --key {key} --stream {ETC_STREAM} --serial 1; rm {key}\n"
    etc += f"verity etc apply\ncp /var/lib/verity/etc/1/grants {PARTS}/etc.grants\n{remake()}"
    lines = f"for file in {files}; do fsverity enable $file || exit; done\n{_PREPARE}"
    machine.run(lines + _DEPLOY + update(1) + etc, chroot=_ROOT, timeout_s=_TIMEOUT_S)


def sealed_again(machine: Machine) -> None:
    """Boots anew from the same disk."""
    machine.shutdown(timeout_s=_TIMEOUT_S)
    machine.boot_again(timeout_s=_TIMEOUT_S)


def health(machine: Machine) -> tuple[str, str]:
    """What systemd says of the whole, and the units that failed."""
    asked = "systemctl is-system-running --wait"
    state = machine.run(asked, check=False, timeout_s=_TIMEOUT_S).text
    return state, machine.run("systemctl --failed --no-legend").text


def beside_the_canary(gate: Gate) -> list[str]:
    """What the log has as denied, without what the loader provokes.

    What the default policy has only observed, such as user namespaces, is no denial.
    """
    denied = [denial.line for denial in gate.denials() if denial.enforced]
    return [line for line in denied if _CANARY not in line]


def sealed_and_quiet(gate: Gate) -> None:
    """As it should be whenever one looks."""
    status = gate.status()
    assert value(status, "state") == "sealed"
    assert beside_the_canary(gate) == []
    assert value(status, "denied") == "1"
    kernel = gate.machine.run("dmesg").text
    assert not re.search("Oops|general protection|unable to handle", kernel), kernel[-3000:]


def boot_server() -> Machine:
    """A machine that is prepared and booted sealed; the caller ends it."""
    image = server_image()
    world = make_world(image, server_wheel())
    # In the initramfs: one boot of the whole Debian less.
    machine = Machine.boot("bare", image, append=APPEND)
    try:
        prepare(machine, world)
        machine.shutdown()
        machine.boot_again("system", timeout_s=_TIMEOUT_S)
    except BaseException:
        machine.close()
        raise
    return machine
