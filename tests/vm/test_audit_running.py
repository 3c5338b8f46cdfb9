# SPDX-License-Identifier: Apache-2.0
"""The areas running and posture on a sealed Debian: clean, and each tampering by its check.

One machine, audited twice: as it was sealed, and after all the tampering. What a sealed gate does
not let anybody do is done on a machine without one, at the end.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import boot
from verity.formats.grants import Code, CodeEntry
from verity.ports.content import digest_path

from . import gate_world, wheel
from .errors import VmError
from .gate_blobs import EXPIRES
from .gate_machine import ACCEPTED, AT, Gate, value
from .gate_world import harness_grants, os_grants
from .image import Image
from .machine import Machine

HERE = "/opt/auditor"
_DRIVER = Path(__file__).with_name("running_audit.py")


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What an audit said of both areas together."""

    areas: dict[str, Any]

    def findings(self) -> list[tuple[str, str]]:
        """Checks and objects."""
        return [
            (one["check"], one["object"])
            for area in self.areas.values()
            for one in area["findings"]
        ]

    def gaps(self) -> list[tuple[str, str, str]]:
        """Checks, objects and why."""
        return [
            (one["check"], one["object"], one["why"])
            for area in self.areas.values()
            for one in area["gaps"]
        ]


def audit(machine: Machine, *options: str) -> Heard:
    """Asks in the machine."""
    argv = ["python3", "-I", f"{HERE}/running_audit.py", f"{HERE}/grants", *options]
    return Heard(areas=json.loads(machine.run(argv, timeout_s=240).text))


def _own(folder: Path, image: Image) -> Path:
    """verity and what it stands on, as its wheel brings it, and the driver."""
    named = os.environ.get("VERITY_WHEEL")
    if not named:
        raise VmError("VERITY_WHEEL is not set; `tests/prepare wheel` prints what it should be")
    own = folder / "auditor"
    wheel.unpack(wheel.read_wheel(Path(named)), own, debian=image.tree)
    shutil.copyfile(_DRIVER, own / _DRIVER.name)
    (own / "grants").mkdir()
    return own


@pytest.fixture(scope="module")
def gate(
    sealed: Gate, gate_image: Image, gate_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Gate:
    """The sealed machine with the auditor in it; its libraries are granted like anybody's."""
    own = _own(tmp_path_factory.mktemp("running"), gate_image)
    libraries = sorted(own.rglob("*.so*"))
    code = {digest_path(path).value: Code.LIBRARY for path in libraries}
    entries = tuple(CodeEntry(digest, flags) for digest, flags in sorted(code.items()))
    ours = boot.extension_grants(serial=1, expires=EXPIRES, code=entries).fragment
    programs = harness_grants(*(gate_files / name for name in ("call", "flood")))
    for name, fragment in (("os", os_grants(gate_image)), ("harness", programs), ("tools", ours)):
        (own / f"grants/{name}.grants").write_bytes(fragment.blob)
    sealed.machine.push(own, HERE)
    names = " ".join(f"{HERE}/{path.relative_to(own)}" for path in libraries)
    sealed.machine.run(f"for file in {names}; do fsverity enable $file || exit; done")
    assert sealed.send(gate_world.encode([ours])) == (ACCEPTED,)
    return sealed


@pytest.fixture(scope="module")
def clean(gate: Gate) -> Heard:
    """The machine as it was sealed."""
    before = value(gate.status(), "denied")
    heard = audit(gate.machine)
    assert int(value(gate.status(), "denied")) == int(before) + 1  # the canary
    return heard


def test_as_it_was_sealed_nothing_is_found(clean: Heard) -> None:
    assert clean.findings() == []
    assert clean.gaps() == []
