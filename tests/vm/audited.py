# SPDX-License-Identifier: Apache-2.0
"""A small, whole, clean system for audits: a vendor's commit, a signed /etc, keyrings and a policy.

It is made of a few programs of the image's Debian, an extension and configuration of its own, so
that one audit takes a moment. On a disk with fs-verity it is checked out, enabled, and given its
/etc as a host's owner would, by the program's own verbs; nothing of it is ever started. `Audited`
audits it from beside, with keyrings and pins of the auditor's own.

A second commit stands in the repository for the clean update.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .debian import run
from .image import Image
from .machine import Machine
from .qemu import Disk
from .trust_world import verity

BRANCHES = ("system/1", "system/2")
OS_STREAM, ETC_STREAM, TOOLS_STREAM = "system", "etc-system", "tools"
DATA = "/srv"
REPO, ROOT, OWN = f"{DATA}/repo", f"{DATA}/host", f"{DATA}/own"
KEPT = f"{ROOT}/var/lib/verity/extensions/{TOOLS_STREAM}"
TOOL = "usr/share/tools/tool"
CLEAN = "clean"
_DAYS = "--days=365"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
# Programs and what they stand on, as the image has them.
_TAKEN = (
    *("usr/bin/dash", "usr/bin/true", "usr/bin/su", "usr/bin/login", "usr/bin/env"),
    *(f"{_LIBRARIES}/{name}" for name in ("libc.so.6", "ld-linux-x86-64.so.2")),
    *(f"{_LIBRARIES}/{name}" for name in ("libpam.so.0", "libpam_misc.so.0", "libaudit.so.1")),
    *(f"{_LIBRARIES}/{name}" for name in ("libcap-ng.so.0", "libselinux.so.1", "libpcre2-8.so.0")),
    *(f"{_LIBRARIES}/security/{name}" for name in ("pam_permit.so", "pam_deny.so")),
    f"{_LIBRARIES}/libnss_compat.so.2",
)
_LINKS = {
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "lib": "usr/lib",
    "lib64": "usr/lib64",
    "usr/bin/sh": "dash",
    "usr/lib64/ld-linux-x86-64.so.2": "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    "usr/lib/systemd/system/multi-user.target.wants/work.service": "../work.service",
    "usr/lib/systemd/system/timers.target.wants/work.timer": "../work.timer",
    "usr/lib/systemd/system/default.target": "multi-user.target",
    "usr/share/doc/link": "../work/data",
    "usr/etc/localtime": "../usr/share/work/data",
}
_UNITS = "usr/lib/systemd/system"
_TEXTS = {
    f"{_UNITS}/work.service": "[Service]\nExecStart=/usr/bin/work\n",
    f"{_UNITS}/work.timer": "[Timer]\nOnBootSec=1h\n",
    f"{_UNITS}/multi-user.target": "[Unit]\nDescription=All\n",
    f"{_UNITS}/timers.target": "[Unit]\nDescription=Timers\n",
    "usr/lib/os-release": "ID=system\nVERSION_ID=1\n",
    "usr/lib/udev/rules.d/50-work.rules": 'ACTION=="add", RUN+="/usr/bin/true"\n',
    "usr/lib/tmpfiles.d/work.conf": "d /run/work 0755 root root -\n",
    "usr/share/work/data": "what a program reads\n" * 900,
    "usr/share/work/empty": "",
    "usr/share/work/two\nlines": "x\n",
    "usr/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
    "usr/etc/group": "root:x:0:\nuser:x:1000:\n",
    "usr/etc/shadow": "root:*:20000::::::\nuser:*:20000::::::\n",
    "usr/etc/hosts": "127.0.0.1 localhost\n",
    "usr/etc/hostname": "system\n",
    "usr/etc/fstab": "",
    "usr/etc/motd": "welcome\n",
    "usr/etc/profile": "PATH=/usr/bin\n",
    "usr/etc/environment": "PATH=/usr/bin\n",
    "usr/etc/nsswitch.conf": "passwd: compat\ngroup: compat\n",
    "usr/etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n",
    "usr/etc/ld.so.conf.d/a.conf": "/usr/lib/x86_64-linux-gnu\n",
    "usr/etc/crontab": "17 * * * * root /usr/bin/true\n",
    "usr/etc/cron.d/work": "0 3 * * * root /usr/bin/work\n",
    "usr/etc/modprobe.d/work.conf": "options work a=1\n",
    "usr/etc/sysctl.d/work.conf": "kernel.sysrq = 0\n",
    "usr/etc/pam.d/login": "auth required pam_permit.so\naccount required pam_permit.so\n",
    "usr/etc/pam.d/other": "auth required pam_deny.so\naccount required pam_deny.so\n",
    "usr/etc/sudoers": "root ALL=(ALL) ALL\n",
    "usr/etc/systemd/system.conf": "[Manager]\n",
}
_SCRIPTS = {"usr/bin/work": "#!/bin/sh\nexec true\n"}
_MODES = {"usr/bin/su": 0o4755, "usr/etc/shadow": 0o600, "usr/etc/sudoers": 0o440}
# CAP_NET_BIND_SERVICE permitted, in the kernel's second version of the attribute.
_CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def make_tree(top: Path, image: Path) -> None:
    """The tree of the first commit."""
    for name in _TAKEN:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image / name, top / name)
        (top / name).chmod(0o755)
    for texts, mode in ((_TEXTS, 0o644), (_SCRIPTS, 0o755)):
        for name, text in texts.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
            (top / name).chmod(mode)
    for name in ("usr/sbin", "usr/lib64", "etc", "var", "run", "root", "home", "tmp", "proc"):
        (top / name).mkdir(exist_ok=True)
    for name, target in _LINKS.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).symlink_to(target)
    for name, mode in _MODES.items():
        (top / name).chmod(mode)
    os.setxattr(top / "usr/bin/env", "security.capability", _CAPABILITY)
    os.setxattr(top / "usr/share/work/data", "user.note", b"signed")


def make_disk(image: Image, top: Path) -> Path:
    """A disk with a signed repository, the owner's keys and documents, and the auditor's."""
    own, keyrings = top / "disk/own", top / "disk/own/keyrings"
    own.mkdir(parents=True)
    keyrings.mkdir()
    for party in ("vendor", "user"):
        verity("keyring", "init", "--solo", "--party", party, _DAYS, top / party)
        for path in (top / party / "private").iterdir():
            shutil.copyfile(path, own / path.name)
            (own / path.name).chmod(0o600)
        shutil.copytree(top / party / "keyrings" / party, keyrings / party)
        shutil.copyfile(top / party / f"{party}.pin", own / f"{party}.pin")
    tree, repo = top / "tree", top / "disk/repo"
    make_tree(tree, image.tree)
    streams = [f"{OS_STREAM}=vendor:os", f"{ETC_STREAM}=user:etc", f"{TOOLS_STREAM}=user:extension"]
    compile_ = ("policy", "compile", "--mode=sealed", "--serial=1", f"--root={tree}", _DAYS)
    key = ("--key", own / "user-policy.pem")
    verity(*compile_, *(f"--stream={one}" for one in streams), *key, own / "host.policy")
    run(["ostree", f"--repo={repo}", "init", "--mode=bare"])
    for serial, branch in enumerate(BRANCHES, 1):
        if serial > 1:
            (tree / "usr/lib/os-release").write_text(f"ID=system\nVERSION_ID={serial}\n")
            (tree / "usr/share/work/new").write_text("new\n")
            (tree / "usr/share/work/empty").unlink()
        run(["ostree", f"--repo={repo}", "commit", f"--branch={branch}", f"--tree=dir={tree}"])
        sign = ("commit", "sign", f"--repo={repo}", "--key", own / "vendor-os.pem", _DAYS)
        listed = f"--policy={own}/host.policy.json"
        verity(*sign, f"--stream={OS_STREAM}", f"--serial={serial}", listed, branch)
    raw, disk = top / "disk.img", top / "disk.qcow2"
    make = ("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "verity", "-d", str(top / "disk"))
    run([*make, str(raw), "192M"])
    run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(disk)])
    raw.unlink()
    return disk


_CHECK_OUT = f"""
set -e
ostree --repo={REPO} checkout -H {{branch}} {ROOT}
verity objects enable --repo {REPO} {{trusted}} {{branch}}
find {ROOT} -xdev -type f -empty -exec verity enable {{{{}}}} + >/dev/null
"""
_OWN = f"""
set -e
cp -a {ROOT}/usr/etc/. {ROOT}/etc/
mkdir -p {ROOT}/etc/verity/pins {ROOT}/var/lib/verity
cp -r {OWN}/keyrings {ROOT}/etc/verity/
cp {OWN}/*.pin {ROOT}/etc/verity/pins/
cp {OWN}/host.policy {ROOT}/etc/verity/policy.gate
cp {OWN}/host.policy.json {ROOT}/etc/verity/policy.json
verity commit verify --root {ROOT} --repo {REPO} {{trusted}} --accept-without-floor {{branch}}
verity etc sign --root {ROOT} --key {OWN}/user-etc.pem --stream {ETC_STREAM} --serial 1
verity etc apply --root {ROOT} {{trusted}}
verity acknowledge --root {ROOT} --key {OWN}/user-etc.pem
"""
# A program that the owner adds, with what they signed of it.
_EXTENSION = f"""
set -e
mkdir -p {OWN}/added/usr/share/tools {KEPT.rpartition("/")[0]}
cp {ROOT}/usr/bin/work {OWN}/added/usr/share/tools/tool
cp -a {OWN}/added/usr/share/tools {ROOT}/usr/share/
verity enable {ROOT}/usr/share/tools/tool
verity extension sign --key {OWN}/user-extension.pem --stream {TOOLS_STREAM} --serial 1 \
    --tree {OWN}/added {KEPT}
"""
TRUSTED = f"--keyring {OWN}/keyrings --pin vendor={OWN}/vendor.pin --pin user={OWN}/user.pin"


@dataclass(frozen=True)
class Audited:
    """The machine in which the system lies, at `ROOT`."""

    machine: Machine

    def audit(self, *more: str, branch: str = BRANCHES[0]) -> tuple[int, list[dict[str, Any]]]:
        """Exit status and the records of an audit."""
        argv = f"verity audit --root {ROOT} --repo {REPO} --commit {branch} {TRUSTED} --json"
        done = self.machine.run(" ".join((argv, *more)), check=False, timeout_s=300)
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        records = [json.loads(line) for line in done.stdout.decode().splitlines()]
        assert records, done.stderr.decode()
        return done.status, records

    def bundle(self, *, branch: str = BRANCHES[0]) -> None:
        """The boot bundle of what the host has accepted."""
        pins = " ".join(f"--pin={one}={OWN}/{one}.pin" for one in ("vendor", "user"))
        keys = " ".join(f"--keys={OWN}/keyrings/{one}/1.keys" for one in ("vendor", "user"))
        show = f"verity commit show --repo={REPO} --grants {branch} >{OWN}/os.grants"
        made = f"{ROOT}/var/lib/verity"
        grants = f"--grants={OWN}/os.grants --grants={made}/etc/1/grants --grants={KEPT}/grants"
        policy = f"--policy={ROOT}/etc/verity/policy.gate"
        make = f"verity lockdown bundle --replace --root={ROOT} {pins} {keys} {policy} {grants}"
        self.machine.run(f"set -e; {show}; {make} {made}/boot.bundle")


@contextmanager
def audited(image: Image, disk: Path) -> Iterator[Audited]:
    """The clean system, and a snapshot of it named CLEAN."""
    with Machine.boot("system", image, disks=[Disk(path=disk, serial="data")]) as machine:
        machine.run(f"mkdir -p {DATA} && mount {machine.device('data')} {DATA}")
        system = Audited(machine)
        lines = (_CHECK_OUT + _OWN + _EXTENSION).format(branch=BRANCHES[0], trusted=TRUSTED)
        machine.run(lines, timeout_s=400)
        system.bundle()
        machine.snapshot(CLEAN)
        yield system
