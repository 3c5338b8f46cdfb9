# SPDX-License-Identifier: Apache-2.0
"""The signed /etc of a plain Debian, with a content store on a file system that has fs-verity."""

import base64
import json
from typing import Any

from tests.boot import policy
from tests.vm import Machine
from verity.formats import bundle
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match

STORE = "/data/host/var/lib/verity/store/sha256"
ETC = Guarded(path=b"/etc", file_class=GuardedClass.SIGNED, match=Match.TREE)
BUNDLE = base64.b64encode(bundle.encode([policy(guarded=(ETC,)).fragment])).decode()
MEASURE = "fsverity measure {}"
HOST = "--root /data/host --key /data/etc.pem"


def etc(machine: Machine, command: str, *, status: int = 0) -> list[dict[str, Any]]:
    """What `verity etc COMMAND --json` says."""
    done = machine.run(f"verity etc {command} --json", check=False, timeout_s=120)
    assert done.status == status, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def test_sign_find_and_bring_back(system_vm: Machine) -> None:
    system_vm.run(
        "truncate -s 64M /data.img && mke2fs -q -t ext4 -b 4096 -O verity /data.img"
        " && mkdir -p /data && mount -o loop /data.img /data"
        " && mkdir /data/host && cp -a /etc /data/host/ && verity key generate /data/etc.pem",
        timeout_s=120,
    )
    signed = etc(system_vm, f"sign {HOST} --stream etc-vm --serial auto")[-1]
    assert signed["protected"] == signed["new_contents"] > 0
    assert {"mutable", "produced"} <= signed["classes"].keys()
    # The name of a stored file is the kernel's digest of it.
    names = system_vm.run(f"find {STORE} -type f").text.split()
    measured = system_vm.run(f"find {STORE} -type f -exec fsverity measure {{}} +").text
    digests = {line.split()[1]: line.split()[0] for line in measured.splitlines()}
    assert digests == {name: f"sha256:{name.rpartition('/')[2]}" for name in names}
    public = f"{HOST}.pub"
    assert etc(system_vm, f"status {public}")[-1]["exit_status"] == 0
    system_vm.run("echo evil >>/data/host/etc/profile; chmod 666 /data/host/etc/debian_version")
    found = [one for one in etc(system_vm, f"status {public}", status=1) if "check" in one]
    assert [one["path"] for one in found] == ["/etc/debian_version", "/etc/profile"]
    applied = etc(system_vm, f"apply {public}")[-1]
    assert applied["changes"] == 2
    assert etc(system_vm, f"status {public}")[-1]["findings"] == 0
    # What is granted and as signed has fs-verity from then on: the two that were put back had it
    # first, all others got it. What changes by itself has none.
    granted = signed["config"] - links(system_vm)
    assert (applied["protected"], applied["unprotected"]) == (granted - 2, 0)
    flags = system_vm.run("lsattr -R -a /data/host/etc 2>/dev/null", check=False).text
    lines = [line.split(" ", 1) for line in flags.splitlines() if line.startswith("-")]
    assert sum("V" in found for found, _ in lines) == granted
    first = MEASURE.format("/data/host/etc/profile")
    assert system_vm.run(first).text.split()[1] == "/data/host/etc/profile"
    assert system_vm.run(MEASURE.format("/data/host/etc/passwd"), check=False).status != 0
    # A host that boots with a gate finds what lacks it: here a copy, whose contents are as signed.
    system_vm.run(
        "cd /data/host/etc && cp -p profile new && mv new profile"
        f" && echo {BUNDLE} | base64 -d > /data/host/var/lib/verity/boot.bundle"
    )
    found = etc(system_vm, f"status {public}", status=1)
    lacking = [one["path"] for one in found if one.get("check") == "no-verity"]
    assert lacking == ["/etc/profile"]
    system_vm.run("rm /data/host/var/lib/verity/boot.bundle")
    applied = etc(system_vm, f"apply {public}")[-1]
    assert (applied["changes"], applied["protected"]) == (0, 1)
    system_vm.run(first)


def links(machine: Machine) -> int:
    """How many symlinks are granted: those of the signed classes, with a target that has room."""
    listed = machine.run(
        "find /data/host/etc -type l ! -name mtab ! -name localtime ! -name resolv.conf"
        " -printf '%l\\n' | awk 'length($0) <= 55' | wc -l"
    )
    return int(listed.text)
