# SPDX-License-Identifier: Apache-2.0
"""Machines with a gate, and the gate as a test talks to it: calls, answers, the published texts.

Two kinds of machine:
- `load`ed with a sealed policy on the root disk with fs-verity: what hosts are meant to be;
- a bare one that only observes, for what only comes before the seal or needs much room.

Loader and object are those of the installation that the tests run with; there is no wheel in the
image, so that it stays when the code changes. Nothing here goes through our Python in the machine:
calls are made by gate_tools/call.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from verity.formats.records import Fragment
from verity.ports import gate_object

from . import gate_world as world
from .debian import run
from .errors import VmError
from .gate_log import DENIALS, STATUS, Denial, parse_denials
from .image import Image, build_image
from .machine import Machine
from .process import Completed
from .verity_root import verity_root

AT = "/opt/gate"
"""Where `files` are, in the machine."""

ACCEPTED = 3000
SEALED = "sealed"
SPECIMENS = ("a", "b", "c", "d")
"""Programs that nothing grants at the start; each prints its name."""

_HERE = Path(__file__).parent
_GATE = _HERE.parents[1] / "policy" / "gate"
_CC = ("cc", "-static", "-O1", "-s", "-Wall", "-Wextra", "-Werror")
_CLOCK = "boot_clock_s"


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a run of `call` printed: the answers, and the statuses between them."""

    answers: tuple[int, ...]
    statuses: tuple[tuple[str, ...], ...]


class Gate:
    """The gate of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def call(self, *steps: str, fragments: bytes = b"", timeout_s: float = 60) -> Heard:
        """Runs the steps (gate_tools/call.c) with these fragments to take."""
        reading = ["from=-"] if fragments else []
        argv = [f"{AT}/call", *reading, *steps]
        done = self.machine.run(argv, input=fragments, timeout_s=timeout_s)
        assert not done.stderr, done.stderr
        return _heard(done)

    def send(self, *fragments: bytes) -> tuple[int, ...]:
        """Hands them over in order; the deciding answer for each."""
        return self.call(*["next"] * len(fragments), fragments=b"".join(fragments)).answers

    def status(self) -> tuple[str, ...]:
        """The status's lines but the clock."""
        return _settled(self.machine.run(["cat", STATUS]).text.splitlines())

    def denials(self) -> list[Denial]:
        """The log, oldest first."""
        return parse_denials(self.machine.run(["cat", DENIALS]).text)


def value(status: Sequence[str], key: str) -> str:
    """What a line of the status says behind its key, which may be more than one word."""
    found = [line.removeprefix(f"{key} ") for line in status if line.startswith(f"{key} ")]
    assert len(found) == 1, (key, status)
    return found[0]


def serial(status: Sequence[str], stream: str) -> int:
    """The serial that the stream has, 0 before its first import."""
    return int(value(status, f"stream {stream}").split()[-1])


def files(folder: Path) -> Path:
    """Loader, object, tools, specimens and pins, in a new folder."""
    folder.mkdir()
    for found in (gate_object.find_loader(), gate_object.find()):
        if isinstance(found, gate_object.Missing):
            raise VmError(f"the gate: {found.reason}; {found.hint}")
        (folder / found.path.name).write_bytes(found.path.read_bytes())
    for name in ("call", "flood"):
        source = str(_HERE / "gate_tools" / f"{name}.c")
        run([*_CC, "-pthread", "-I", str(_GATE), "-o", str(folder / name), source])
    for name in SPECIMENS:
        source = str(_HERE / "gate_tools/specimen.c")
        run([*_CC, f'-DNAME="{name}"', "-o", str(folder / name), source])
    world.pins(folder)
    (folder / "host-id").write_text(f"{world.HOST_ID.hex()}\n")
    for file in folder.iterdir():
        file.chmod(0o755)
    return folder


def load_command(bundle: str, *options: str) -> list[str]:
    """The loader's command line in the machine."""
    pins = [word for party in ("vendor", "user") for word in ("--pin", f"{AT}/{party}.pin")]
    host = ["--host-id", f"{AT}/host-id"]
    return [f"{AT}/verity-load", *options, *host, *pins, "--bundle", bundle]


def load(
    machine: Machine, fragments: Sequence[Fragment], *options: str, behind: bytes = b""
) -> Gate:
    """Loads the gate with these, and with records behind them; `files` must be there."""
    machine.run(f"mkdir -p {AT}")
    with machine.exchange() as (host, guest):
        (host / "boot.bundle").write_bytes(world.encode(fragments) + behind)
        machine.run(["cp", f"{guest}/boot.bundle", f"{AT}/boot.bundle"])
    machine.run(load_command(f"{AT}/boot.bundle", *options), timeout_s=480)
    return Gate(machine)


def whole_bundle(image: Image, folder: Path) -> list[Fragment]:
    """What a host with this disk and these `files` boots with."""
    programs = [folder / name for name in ("call", "flood")]
    return [
        world.vendor_keys(),
        world.user_keys(),
        world.policy(),
        world.harness_grants(*programs),
        world.os_grants(image),
    ]


# --- fixtures -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def gate_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`files`, made once."""
    return files(tmp_path_factory.mktemp("gate") / "files")


@pytest.fixture(scope="session")
def gate_image() -> Image:
    """Debian on fs-verity, without verity itself."""
    return verity_root(build_image())


@pytest.fixture(scope="session")
def sealed_machine(gate_image: Image, gate_files: Path) -> Iterator[Machine]:
    """A sealed machine that keeps that moment as its snapshot SEALED."""
    with Machine.boot("system", gate_image) as machine:
        machine.push(gate_files, AT)
        measured = " ".join(f"{AT}/{name}" for name in ("call", "flood", *SPECIMENS))
        machine.run(f"for file in {measured}; do fsverity enable $file; done; sync")
        load(machine, whole_bundle(gate_image, gate_files))
        machine.snapshot(SEALED)
        yield machine


@pytest.fixture(scope="module")
def sealed(sealed_machine: Machine) -> Gate:
    """The sealed gate as it is right after the seal, for the tests of one module."""
    sealed_machine.restore(SEALED)
    return Gate(sealed_machine)


# --- texts --------------------------------------------------------------------------------------


def _settled(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(line for line in lines if not line.startswith(_CLOCK))


def _heard(done: Completed) -> Heard:
    parts = done.stdout.decode().split("---\n")
    answers = [int(line) for part in parts[::2] for line in part.splitlines()]
    statuses = [_settled(part.splitlines()) for part in parts[1::2]]
    return Heard(answers=tuple(answers), statuses=tuple(statuses))
