# SPDX-License-Identifier: Apache-2.0
"""No lock-out on any of the deliberately broken hosts of `broken`: refused, or recovered by itself.

A part of them each day, all of them in the long tier. The control is the host that they are made
from: on it nothing is open, and its trial enforces.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import lifecycle_host as host
from .broken import NO_BPF, RECOVERED, REFUSED
from .errors import VmError
from .image import Image, build_image
from .machine import Machine

pytestmark = pytest.mark.full
WHOLE = "whole"


@pytest.fixture(scope="module")
def image() -> Image:
    return build_image(Path(os.environ["VERITY_WHEEL"]))


@pytest.fixture(scope="module")
def whole(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The host on which nothing is broken, kept at that moment."""
    with host.ready(image, tmp_path_factory.mktemp("broken") / "work") as machine:
        machine.snapshot(WHOLE)
        yield machine


def test_nothing_is_open_before(whole: Machine) -> None:
    whole.restore(WHOLE)
    done = host.check(whole)
    assert done.status == 0, done.stdout.decode() + done.stderr.decode()
    assert done.text.startswith("nothing is open")


@pytest.mark.parametrize("name", REFUSED)
def test_refused(whole: Machine, name: str) -> None:
    whole.restore(WHOLE)
    row = REFUSED[name]
    whole.run(row.lines.replace("{init}", host.INIT), timeout_s=host.READY_S)
    done = host.check(whole)
    assert done.status == 1, done.stdout.decode() + done.stderr.decode()
    found = re.findall(r"^FINDING  (\S+)  (.*)$", done.text, re.M)
    assert [one for one in found if one[0] == row.check and row.what in one[1]], found
    refused = host.trial(whole)
    assert refused.status == 1 and b"stand in the way of a seal" in refused.stderr


def test_a_kernel_without_bpf_lsm(image: Image, tmp_path: Path) -> None:
    with host.ready(image, tmp_path / "work", append="lsm=lockdown,capability,yama") as machine:
        done = host.check(machine)
        found = re.findall(r"^FINDING  (\S+)  (\S+)", done.text, re.M)
        assert ("host", "BPF") in found and ("kernel-argument", "/proc/cmdline:") in found, NO_BPF


@pytest.mark.parametrize("name", RECOVERED)
def test_recovered(image: Image, tmp_path: Path, name: str) -> None:
    row = RECOVERED[name]
    with host.ready(image, tmp_path / "work") as machine:
        machine.run(row.lines.replace("{init}", host.INIT), timeout_s=host.READY_S)
        machine.run(host.trial_line("--insecure-unproven"), timeout_s=host.READY_S)
        machine.run(row.later)
        machine.shutdown(timeout_s=host.READY_S)
        if row.hangs:
            with pytest.raises(VmError):
                machine.boot_again(timeout_s=90)
        else:
            machine.boot_again(timeout_s=host.READY_S)
            state = host.status(machine)["state"]
            assert state == ("sealed" if row.enforces else "observe")
            machine.power_cut()
        machine.boot_again(timeout_s=host.READY_S)
        found = host.status(machine)
        assert found["state"] == "observe" and found["why"].startswith(row.why), found
        assert machine.run("id -un").text == "root"
