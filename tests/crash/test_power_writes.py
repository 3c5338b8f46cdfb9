# SPDX-License-Identifier: Apache-2.0
"""The power is cut during trial, seal, confirm, apply and relock: the state is old or new.

One machine does all five once, on a disk whose writes are kept (write_log.py); each test is the
disk at one moment between, without what the disk hadn't been told to keep. Of the seal it is the
loader's own record of a trial; the gate is played for apply and relock, which is gone after a power
cut in any case: the ledger is what stays. That such a host boots is test_lockdown_power.py's.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import gate_shim
from tests.cli.gate_host import Host
from tests.cli.unlock_world import ASK, ledger, make_desk, on, seal
from tests.crash import write_log
from tests.crash.points import points
from tests.crash.write_log import Write
from tests.lockdown_world import BUNDLE, Owner
from tests.vm import Disk, Image, Machine
from verity.formats import records, trial_record
from verity.formats.kernel_policy import Mode
from verity.trust import boot_bundle
from verity.trust.boot_bundle import Labelled
from verity.verbs import host_bundle, pins

LOADER = Path("policy/gate/loader")
HARNESS = Path("tests/unit/loader_trial.c")
_PARTS = ("trial", "host", "identity", "failure", "import", "bundle", "floors", "keylist")
KEY = "--key /data/keys/user/private/user-policy.pem --root /data/root --insecure-unproven"
PLAYED = "LD_PRELOAD=/root/gate.so SHIM_ANSWERS=3000 SHIM_LOG=/root/calls"
LIVE = f"unlock {'77' * 16} path-prefix 3 99 1899 live {'aa' * 32} /opt/rescue"
# In this order on one disk, so that each begins where the one before has ended.
STEPS = {
    "trial": f"verity lockdown trial {KEY}",
    "seal": "/root/trial 2",
    "confirm": f"verity lockdown confirm {KEY}",
    "apply": f"{PLAYED} verity unlock apply /data/token --root /data/host",
    "relock": f"{PLAYED} verity unlock relock --root /data/host",
}
NAMES = tuple(STEPS)
MOMENTS = 11
# What the ledger has before each, and what it has behind it.
SAID = {"apply": ([], ["apply", "grant"]), "relock": (["apply", "grant"], ["relock"])}


@dataclass(frozen=True, kw_only=True)
class Run:
    """The disk before, and where in the writes each step began, was reported as done, and ended."""

    disk: Path
    writes: list[Write]
    began: dict[str, int] = field(default_factory=dict)
    reported: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class After:
    """What somebody finds who comes after the cut."""

    owner: Owner
    host: Host


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gate_shim.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def run(vm_image: Image, shim: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All five steps, in a machine."""
    folder = tmp_path_factory.mktemp("writes")
    data = folder / "data"
    data.mkdir()
    owner = Owner.new(data)
    assert owner.init().status == 0
    (data / "host").mkdir()
    host = seal(Host(data / "host", shim))
    host.put("opt/rescue/a", "")
    shutil.copy(make_desk(folder) / "token", data / "token")
    program = build(folder)
    disk, log = folder / "disk.img", folder / "log"
    make = ("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-d", data, disk, "32M")
    subprocess.run(make, check=True, timeout=60)
    subprocess.run(["cp", "--sparse=always", disk, folder / "before.img"], check=True)
    done = Run(disk=folder / "before.img", writes=[])
    with Machine.boot(
        "system", vm_image, disks=[Disk(path=disk, serial="data", log=log)]
    ) as machine:
        machine.push(program, "/root/trial")
        machine.push(shim, "/root/gate.so")
        machine.run(f"mkdir -p /data && mount {machine.device('data')} /data && sync")
        for name, line in STEPS.items():
            if name == "relock":
                machine.run(f"echo '{LIVE}' >>/data/host/sys/fs/bpf/verity/status && sync")
            done.began[name] = len(write_log.read(log))
            machine.run(["sh", "-c", line], timeout_s=300)
            done.reported[name] = len(write_log.read(log))
            machine.run("sync")
            done.ended[name] = len(write_log.read(log))
        machine.run("umount /data")
    done.writes.extend(write_log.read(log))
    return done


def build(folder: Path) -> Path:
    """The loader's record of a trial as a program, for the host on the disk."""
    sources = [LOADER / f"{part}.c" for part in _PARTS]
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-I", "policy/gate"]
    flags += ["-I", str(LOADER), '-DVERITY_STATE_DIR="/data/root/var/lib/verity"']
    program = folder / "trial"
    subprocess.run(["cc", *flags, "-o", program, HARNESS, *sources], check=True)
    return program


def found(run: Run, shim: Path, folder: Path, entries: int, *, seed: int | None) -> After:
    """The disk after a cut behind so many writes."""
    disk = folder / "disk.img"
    write_log.cut(run.disk, run.writes[:entries], disk, seed=seed)
    write_log.contents(disk, folder / "found")
    disk.unlink()
    return After(Owner(folder / "found"), Host(folder / "found/host", shim))


@pytest.mark.parametrize("number", points(len(STEPS) * MOMENTS, short=3))
def test_a_cut(run: Run, shim: Path, tmp_path: Path, number: int) -> None:
    """At a moment between the first write of a step and its last."""
    name, moment = NAMES[number % len(NAMES)], number // len(NAMES)
    begin, end = run.began[name], run.ended[name]
    assert end - begin >= MOMENTS / 2, f"{name} hardly writes"
    at = begin + (end - begin) * moment // (MOMENTS - 1)
    check(name, found(run, shim, tmp_path, at, seed=number), reported=False)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_reported_is_durable(run: Run, shim: Path, tmp_path: Path, name: str) -> None:
    """Nothing is left of what no flush had followed when the program said that it was done."""
    check(name, found(run, shim, tmp_path, run.reported[name], seed=None), reported=True)


def check(name: str, after: After, *, reported: bool) -> None:
    if name in SAID:
        check_ledger(name, after.host, reported=reported)
    else:
        check_host(name, after.owner, reported=reported)


def check_host(name: str, owner: Owner, *, reported: bool) -> None:
    """Old or new, what a gate would take, and on from there by the same command."""
    old, new = {
        "trial": ((1, Mode.OBSERVE), (2, Mode.TRIAL)),
        "seal": ((2, Mode.TRIAL), (2, Mode.TRIAL)),
        "confirm": ((2, Mode.TRIAL), (3, Mode.SEALED)),
    }[name]
    policy = owner.policy
    assert (policy.serial, policy.mode) in ((new,) if reported else (old, new))
    boots(owner)
    record = owner.root / "var/lib/verity/trial"
    if name == "trial":
        assert not record.exists()
        again = owner.sign("trial")
        assert again.status == 0 and owner.policy.mode is Mode.TRIAL, again.err
        return
    begun = record.exists()
    assert begun or (name == "seal" and not reported)
    if begun:
        assert trial_record.parse(record.read_bytes()).serial == 2
    # Without a record the trial is still to come, and nothing is confirmed.
    again = owner.sign("confirm")
    assert (again.status == 0) == begun, again.err
    assert owner.policy.mode is (Mode.SEALED if begun else Mode.TRIAL)


def boots(owner: Owner) -> None:
    """The gate would take the bundle, from the host's own pins."""
    parts = records.split((owner.root / BUNDLE).read_bytes(), label="bundle")
    labelled = [
        Labelled(label=one.kind.name, fragment=one)
        for one in parts
        if one.kind is not records.RecordKind.FLOORS
    ]
    accepted = {
        party: pins.load(owner.root / place, party)
        for party, place in host_bundle.PIN_FILES.items()
    }
    now = int((owner.root / BUNDLE).stat().st_mtime)
    assert boot_bundle.check(labelled, accepted, now=now)


def check_ledger(name: str, host: Host, *, reported: bool) -> None:
    """Each line is there or not, the chain is whole, and the next verb goes on."""
    before, then = SAID[name]
    more = on(host, "challenge", *ASK)
    assert more.status == 0, more.err
    verified = on(host, "ledger", "verify")
    assert verified.status == 0, verified.out
    said = [str(one["event"]) for one in ledger(host) if one["event"] != "torn"]
    assert said[-1] == "challenge"
    lines = said[:-1]
    assert lines[: len(before)] == before
    written = lines[len(before) :]
    assert written[: len(then)] == then[: len(written)]
    assert not reported or written[: len(then)] == then
