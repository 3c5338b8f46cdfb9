# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/guide-operators.md, as the tests that run them take them out of its text.

What stands between fences is typed: on the host, whatever it is; with a word behind the fence, on
a host of that kind, or on the operator's machine.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import lifecycle_host as host
from .machine import Machine
from .process import Completed

GUIDE = Path("docs/guide-operators.md")
PLAIN, VENDOR, OPERATOR = "plain", "vendor", "operator"
REBOOT = "systemctl reboot"
STATUS = "verity lockdown status"
_CHAPTER = re.compile(r"^## (\d+)\. ", re.M)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_GROUP = re.compile(r"^\d\d  (?:\w{4} ){4} \d\d(?=\r?$)", re.M)


@dataclass(frozen=True, kw_only=True)
class Typed:
    """A line, and whether it is typed on the operator's own machine."""

    line: str
    elsewhere: bool


def typed(chapters: Collection[int], kind: str = PLAIN) -> Iterator[Typed]:
    """What a reader types for these chapters, whose host is of that kind."""
    _, *parts = _CHAPTER.split(GUIDE.read_text())
    for number, text in zip(parts[::2], parts[1::2], strict=True):
        if int(number) not in chapters:
            continue
        for word, block in _FENCE.findall(text):
            assert word in ("", PLAIN, VENDOR, OPERATOR), word
            if word in ("", OPERATOR, kind):
                for line in block.splitlines():
                    yield Typed(line=line, elsewhere=word == OPERATOR)


def lines(chapters: Collection[int], kind: str) -> list[str]:
    """The same for chapters that need no other machine."""
    found = list(typed(chapters, kind))
    assert not any(one.elsewhere for one in found)
    return [one.line for one in found]


def run(machine: Machine, line: str) -> Completed:
    """A line with nobody to answer; it has to go well."""
    done = machine.run(line, check=False, timeout_s=host.READY_S)
    assert done.status == 0, (line, done.stdout.decode(), done.stderr.decode())
    return done


def at_a_terminal(machine: Machine, line: str, answer: str) -> str:
    """A line that asks, and what is typed then; what the terminal shows."""
    command = ["script", "--quiet", "--return", "--command", line, "/dev/null"]
    terminal = {"TERM": "dumb", "SHELL": "/bin/sh"}
    done = machine.run(command, input=answer.encode(), env=terminal, check=False, timeout_s=300)
    assert done.status == 0, (line, done.stdout.decode(), done.stderr.decode())
    return done.stdout.decode()


def groups(shown: str) -> list[str]:
    """Those of a typed token, in what `verity unlock sign --typed` has shown."""
    return _GROUP.findall(shown)


def denied(machine: Machine) -> list[str]:
    """What was denied beside the loader's own canary."""
    log = machine.run("verity lockdown log", timeout_s=120).text.splitlines()
    return [line for line in log if " denied " in line and "verity-canary" not in line]
