# SPDX-License-Identifier: Apache-2.0
"""What the gate publishes, read as text in the machine. Without a gate there is nothing to read."""

from __future__ import annotations

from dataclasses import dataclass

from tests.vm import Machine

STATUS = "/sys/fs/bpf/verity/status"
DENIALS = "/sys/fs/bpf/verity/denials"


@dataclass(frozen=True, kw_only=True)
class Denial:
    """A line of the gate's log; `enforced` is false for what was only observed."""

    number: int
    enforced: bool
    reason: str
    act: str
    line: str

    def __str__(self) -> str:
        return self.line


def parse_denials(text: str) -> list[Denial]:
    """The denials of the gate's log, oldest first; a line that is there twice counts once."""
    by_number = {one.number: one for one in map(_denial, text.splitlines())}
    return [by_number[number] for number in sorted(by_number)]


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


def _denial(line: str) -> Denial:
    number, _boot_ms, verdict, reason, act, *_ = line.split(" ")
    return Denial(
        number=int(number), enforced=verdict == "denied", reason=reason, act=act, line=line
    )
