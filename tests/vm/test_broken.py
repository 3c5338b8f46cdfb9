# SPDX-License-Identifier: Apache-2.0
"""No lock-out on any of the deliberately broken hosts of `broken`: refused, or recovered by itself.

The long tier has all of them, each in a machine. In the short one two a day are refused before
anything runs: the proof is held on the tree of such a host. The control is the host that they are
made from: on it nothing is open, and its trial enforces.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daily import some
from tests.lockdown_world import MACHINE, Owner

from . import lifecycle_host as host
from .broken import NO_BPF, RECOVERED, REFUSED
from .debian import run
from .image import Image, build_image
from .machine import Machine

WHOLE = "whole"
IN_TREE = [name for name, row in REFUSED.items() if not row.runs]


@pytest.fixture(scope="module")
def image() -> Image:
    return build_image(Path(os.environ["VERITY_WHEEL"]))


def found(text: str) -> list[tuple[str, str]]:
    """Check and words of each finding."""
    return re.findall(r"^FINDING  (\S+)  (.*)$", text, re.M)


# --- a tree -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def owner(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Owner:
    """A tree that `lockdown init` has made ready, and the proof of which has nothing open."""
    owner = Owner(tmp_path_factory.mktemp("tree"))
    run(["cp", "-a", str(image.tree), str(owner.root)])
    (owner.root / "etc/machine-id").write_text(MACHINE)
    done = owner.init()
    assert done.status == 0, done.err
    assert found(owner.prove().out) == []
    return owner


@pytest.mark.parametrize("name", ["verity-load", "verity-unlock", "gate.bpf.o"])
def test_what_boots_is_what_the_package_brings(image: Image, name: str) -> None:
    """The proof of a host that runs compares the two."""
    (own,) = image.tree.glob(f"usr/lib/python3*/dist-packages/verity/_gate/{name}")
    (boots,) = image.tree.glob(f"usr/lib/verity/{name}")
    assert boots.read_bytes() == own.read_bytes()


@pytest.mark.parametrize("name", some(IN_TREE, one_in=len(IN_TREE) // 2))
def test_refused_before_anything_runs(owner: Owner, tmp_path: Path, name: str) -> None:
    row = REFUSED[name]
    broken = Owner(tmp_path)
    run(["cp", "-a", f"{owner.folder}/.", str(tmp_path)])
    run(["chroot", str(broken.root), "sh", "-ec", row.lines.replace("{init}", ":")])
    if "{init}" in row.lines:
        assert broken.init().status == 0
    done = broken.prove("--all")
    assert done.status == 1, done.err
    named = found(done.out)
    assert [one for one in named if one[0] == row.check and row.what in one[1]], named
    shutil.rmtree(broken.root)


# --- machines ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The host on which nothing is broken, kept at that moment."""
    with host.ready(image, tmp_path_factory.mktemp("broken") / "work") as machine:
        machine.snapshot(WHOLE)
        yield machine


@pytest.mark.full
def test_nothing_is_open_before(whole: Machine) -> None:
    """Before the machine is first put back to that moment: the harness does that with Python."""
    done = host.check(whole)
    assert done.status == 0, done.stdout.decode() + done.stderr.decode()
    assert done.text.startswith("nothing is open")


@pytest.mark.full
@pytest.mark.parametrize("name", REFUSED)
def test_refused(whole: Machine, name: str) -> None:
    whole.restore(WHOLE)
    row = REFUSED[name]
    whole.run(row.lines.replace("{init}", host.INIT), timeout_s=host.READY_S)
    done = host.check(whole)
    assert done.status == 1, done.stdout.decode() + done.stderr.decode()
    named = found(done.text)
    assert [one for one in named if one[0] == row.check and row.what in one[1]], named
    refused = host.trial(whole)
    assert refused.status == 1 and b"stand in the way of a seal" in refused.stderr


@pytest.mark.full
def test_a_kernel_without_bpf_lsm(image: Image, tmp_path: Path) -> None:
    with host.ready(image, tmp_path / "work", append="lsm=lockdown,capability,yama") as machine:
        done = host.check(machine)
        named = {(check, words.split()[0]) for check, words in found(done.text)}
        assert {("host", "BPF"), ("kernel-argument", "/proc/cmdline:")} <= named, NO_BPF


@pytest.mark.full
@pytest.mark.parametrize("name", RECOVERED)
def test_recovered(image: Image, tmp_path: Path, name: str) -> None:
    row = RECOVERED[name]
    with host.ready(image, tmp_path / "work") as machine:
        machine.run(row.lines.replace("{init}", host.INIT), timeout_s=host.READY_S)
        machine.run(host.trial_line("--insecure-unproven"), timeout_s=host.READY_S)
        machine.run(row.later)
        machine.shutdown(timeout_s=host.READY_S)
        if row.hangs:
            machine.boot_and_cut("HANGS", after_s=5.0, timeout_s=host.READY_S)
        else:
            machine.boot_again(timeout_s=host.READY_S)
            state = host.status(machine)["state"]
            assert state == ("sealed" if row.enforces else "observe")
            machine.power_cut()
        machine.boot_again(timeout_s=host.READY_S)
        stands = host.status(machine)
        assert stands["state"] == "observe" and stands["why"].startswith(row.why), stands
        assert machine.run("id -un").text == "root"
