# SPDX-License-Identifier: Apache-2.0
"""What the gate publishes, read as text in the machine. Without a gate there is nothing to read."""

from __future__ import annotations

from tests.vm import Machine
from tests.vm.gate_log import DENIALS, STATUS, Denial, parse_denials


def denials(machine: Machine) -> list[Denial]:
    """What the gate's log holds now, oldest first; empty without a gate."""
    return parse_denials(_read(machine, DENIALS))


def status(machine: Machine) -> dict[str, str]:
    """The single-valued lines of the gate's status; `{"state": "off"}` without a gate."""
    pairs = (line.partition(" ") for line in _read(machine, STATUS).splitlines())
    return {key: value for key, _, value in pairs} or {"state": "off"}


def _read(machine: Machine, path: str) -> str:
    done = machine.run(["cat", path], check=False)
    assert done.status == 0 or b"No such file" in done.stderr, done.stderr
    return done.stdout.decode()
