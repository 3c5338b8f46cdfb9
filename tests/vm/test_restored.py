# SPDX-License-Identifier: Apache-2.0
"""A host whose files came back from a backup: contents, owners and modes, and no fs-verity.

The gate refuses what it granted before, until `verity lockdown protect` has given the files what
the signed manifest says; what the backup had otherwise stays without, and refused. The host is a
tree on a disk of its own; the gate is that of the machine, and grants the same programs.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daily import in_turn
from tests.lockdown_world import Owner

from . import gate_world as world
from . import lifecycle_host as host
from .gate_log import DENIALS, parse_denials
from .gate_machine import AT, load, whole_bundle
from .image import Image, build_image
from .machine import Machine
from .qemu import Disk
from .verity_root import verity_root

PROGRAMS = ("a", "b")
RESTORE = "mkdir /data/back && tar -C /data/root -cf - . | tar -C /data/back -xpf -"


@pytest.fixture(scope="module")
def machine(
    vm_image: Image, gate_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Sealed, with the signed host on a disk, as it was archived once."""
    folder = tmp_path_factory.mktemp("restored")
    owner = Owner.new(folder / "data")
    for name in PROGRAMS:
        owner.host.file(f"/usr/bin/{name}", (gate_files / name).read_bytes(), 0o755)
    assert owner.init().status == 0
    disk = folder / "disk.img"
    make = ("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "verity", "-d", owner.folder, disk)
    subprocess.run([*make, "64M"], check=True, timeout=60)
    image = verity_root(vm_image)
    bundle = whole_bundle(image, gate_files)
    bundle[3] = world.harness_grants(
        *(gate_files / name for name in ("call", "flood", *PROGRAMS)),
    )
    with Machine.boot("system", image, disks=[Disk(path=disk, serial="data")]) as machine:
        machine.push(gate_files, AT)
        machine.run(f"fsverity enable {AT}/call; fsverity enable {AT}/flood")
        machine.run(f"mkdir /data && mount {machine.device('data')} /data")
        load(machine, bundle)
        yield machine


def said(machine: Machine, root: str, name: str) -> str:
    """What a program of that host prints; nothing if it is refused."""
    done = machine.run([f"{root}/usr/bin/{name}"], check=False)
    assert (done.status == 0) == bool(done.text)
    return done.text.removeprefix("ran ")


def protect(
    machine: Machine, root: str, *, timeout_s: float = 120
) -> tuple[int, dict[str, int], list[tuple[str, str]]]:
    """The status, what was counted, and what stayed open."""
    line = f"verity lockdown protect --root {root} --json"
    done = machine.run(line, check=False, timeout_s=timeout_s)
    records = [json.loads(one) for one in done.stdout.decode().splitlines()]
    assert records[-1]["type"] == "summary", done.stderr
    wrong = [(one["path"], one["code"]) for one in records if one["type"] == "error"]
    return done.status, records[-1]["counts"], wrong


@in_turn(2, one_in=3)
def test_a_backup_is_restored(machine: Machine) -> None:
    # As it came from the archive, nothing has fs-verity, and a sealed gate starts nothing of it.
    assert [said(machine, "/data/root", name) for name in PROGRAMS] == ["", ""]
    log = parse_denials(machine.run(["cat", DENIALS]).text)
    assert ("no-digest", "exec") in {(one.reason, one.act) for one in log}
    status, counts, wrong = protect(machine, "/data/root")
    assert (status, wrong, counts["already"]) == (0, [], 0) and counts["enabled"] > len(PROGRAMS)
    assert [said(machine, "/data/root", name) for name in PROGRAMS] == list(PROGRAMS)
    # Once more: it was there already.
    assert protect(machine, "/data/root")[1] == {
        **counts,
        "enabled": 0,
        "already": counts["enabled"],
    }
    # An archive of a protected host keeps nothing of it. One file in it was changed.
    machine.run(RESTORE)
    machine.run(f"cp {AT}/c /data/back/usr/bin/b")
    assert [said(machine, "/data/back", name) for name in PROGRAMS] == ["", ""]
    status, counts, wrong = protect(machine, "/data/back")
    assert (status, wrong, counts["failed"]) == (1, [("/usr/bin/b", "wrong-digest")], 1)
    assert [said(machine, "/data/back", name) for name in PROGRAMS] == ["a", ""]
    assert machine.run(["fsverity", "measure", "/data/back/usr/bin/b"], check=False).status != 0


# --- a whole host --------------------------------------------------------------------------------

OFF = "systemd.mask=verity-gate.service systemd.mask=verity-seal.service"
# As unpacking an archive over it leaves the files: new ones, without fs-verity.
UNPACK = """
set -e
find /usr/bin /usr/sbin /usr/lib/systemd /etc -xdev -type f -print0 |
    xargs -0 sh -c 'for file; do cp -a "$file" "$file.new"; mv "$file.new" "$file"; done' -
sync
"""


@pytest.mark.full
def test_a_whole_host_is_restored(tmp_path: Path) -> None:
    """Sealed, unpacked from outside, booted: not sealed, and protected again it is."""
    image, work = build_image(Path(os.environ["VERITY_WHEEL"])), tmp_path / "work"
    with host.ready(image, work) as machine:
        machine.run(host.trial_line("--insecure-unproven"), timeout_s=host.READY_S)
        host.reboot(machine)
        confirm = f"verity lockdown confirm {host.KEY} --insecure-unproven"
        machine.run(confirm, timeout_s=host.READY_S)
        machine.shutdown(timeout_s=host.READY_S)
    with Machine.boot("system", image, work=work, append=OFF, timeout_s=host.READY_S) as machine:
        machine.run(UNPACK, timeout_s=host.READY_S)
        machine.shutdown(timeout_s=host.READY_S)
    with Machine.boot("system", image, work=work, timeout_s=host.READY_S) as machine:
        found = host.status(machine)
        assert found["state"] == "observe", found
        assert machine.run(host.LOGIN, timeout_s=120).text == "user"
        # What runs keeps what was read before, until the boot that is due anyway.
        status, _, wrong = protect(machine, "/", timeout_s=host.READY_S)
        assert status == 3 and {code for _, code in wrong} == {"pages-stay"}, wrong
        host.reboot(machine)
        assert host.status(machine)["state"] == "sealed"
        assert machine.run(host.LOGIN, timeout_s=120).text == "user"
