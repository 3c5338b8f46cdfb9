# SPDX-License-Identifier: Apache-2.0
"""The gate's log as tests read it: apart from verity's own reader, which is tested elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

PINS = "/sys/fs/bpf/verity"
STATUS, DENIALS = f"{PINS}/status", f"{PINS}/denials"


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
    """The denials of the log, oldest first; the first of a reason may be there twice, and counts
    once. Lines that the gate calls torn are none."""
    whole = [line for line in text.splitlines() if not is_torn(line)]
    by_number = {one.number: one for one in map(_denial, whole)}
    return [by_number[number] for number in sorted(by_number)]


def is_torn(line: str) -> bool:
    """Whether the line has the field behind its path that says so."""
    return line.split(" ")[10:] == ["torn"]


def _denial(line: str) -> Denial:
    number, _boot_ms, verdict, reason, act, *_ = line.split(" ")
    return Denial(
        number=int(number), enforced=verdict == "denied", reason=reason, act=act, line=line
    )
