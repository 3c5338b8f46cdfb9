# SPDX-License-Identifier: Apache-2.0
"""A Debian of a cloud, with Debian's own cloud-init, whose owner has made it ready at level B0.

Debian's packages, provisioned by its first boot from a NoCloud seed on its disk; only then does
`lockdown init --self-vendor` sign what is there, as the guide has it. What a later boot is
told, `instance` says. sshd is started by its socket as well as by itself.

verity comes last, as its wheel brings it: some modules that it stands on Debian has in older
versions, and cloud-init needs them, too.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import cache, debs, wheel
from . import lifecycle_host as host
from .image import Image
from .machine import Machine

PACKAGE = "cloud-init"
SEED = "/var/lib/cloud/seed/nocloud"
SEALED = "verity-sealed.target"
BOOT_S = 600.0
_CODE = (Path(__file__), Path(host.__file__))
# No network to ask or to set up, and no keys of ssh that take the emulation minutes. The root file
# system is as large as its disk, and growing it at each boot would be learned as a write below it.
_CLOUD = """\
datasource_list: [NoCloud]
network: {config: disabled}
ssh_genkeytypes: [ed25519]
resize_rootfs: false
"""
# As docs/guides/policy.md has it: some links of ca-certificates are too long for a grant.
_POLICY = """\
[[etc]]
class = "produced"
paths = ["/etc/ssl/certs"]
reason = "links of ca-certificates are too long; nothing here reads the directory"
"""
_PREPARE = f"""
set -e
mkdir -p {SEED} /etc/verity/policy.d
cat >/etc/cloud/cloud.cfg.d/90_host.cfg
printf '%s' '{_POLICY}' >/etc/verity/policy.d/50-host.toml
systemctl enable ssh.socket
"""
FIRST = "#cloud-config\nhostname: first\nwrite_files: [{path: /srv/first, content: first}]\n"


def instance(machine: Machine, name: str, user_data: str) -> None:
    """The next boot is that of another instance, with these user data."""
    lines = f"printf 'instance-id: {name}\\n' >{SEED}/meta-data; cat >{SEED}/user-data"
    machine.run(f"set -e; {lines}", input=user_data.encode())


def came_up(machine: Machine) -> str:
    """Waits for the end of the boot, cloud-init's last stage included; what systemd says of it."""
    asked = "systemctl is-system-running --wait"
    return machine.run(asked, check=False, timeout_s=BOOT_S).text


def reboot(machine: Machine) -> str:
    """In order, and up again, to the end."""
    machine.shutdown(timeout_s=BOOT_S)
    machine.boot_again(timeout_s=BOOT_S)
    return came_up(machine)


@contextmanager
def ready(image: Image, work: Path) -> Iterator[Machine]:
    """Such a machine, booted with its gate observing, with a disk of its own in ``work``."""
    kept = _disk(image) / "work"
    shutil.copytree(kept, work, ignore=shutil.ignore_patterns("*.log", "*.sock"))
    with Machine.boot("system", image, work=work, timeout_s=BOOT_S) as machine:
        came_up(machine)
        yield machine


def _disk(image: Image) -> Path:
    code = hashlib.sha256(b"".join(path.read_bytes() for path in _CODE)).hexdigest()[:16]
    made = image.path / f"cloud-{code}"
    cache.entry(made, lambda partial: _make(image, partial))
    return made


def _make(image: Image, partial: Path) -> None:
    packages = debs.packages(image, PACKAGE)
    ours = wheel.read_wheel(Path(os.environ["VERITY_WHEEL"]))
    wheel.unpack(ours, partial / "tree", debian=image.tree)
    with Machine.boot("system", image, work=partial / "work") as machine:
        debs.install(machine, packages)
        machine.push(partial / "tree", "/")
        machine.run(_PREPARE, input=_CLOUD.encode())
        machine.run(host.PREPARE, timeout_s=host.READY_S)
        instance(machine, "first", FIRST)
        reboot(machine)
        machine.run("cloud-init status --wait", timeout_s=BOOT_S)
        assert machine.run("cat /srv/first; hostname").text == "firstfirst"
        machine.run(host.INIT, timeout_s=host.READY_S)
        machine.shutdown(timeout_s=BOOT_S)
    cache.remove_tree(partial / "tree")
