# SPDX-License-Identifier: Apache-2.0
"""Telling the demo: steps, the commands that they run, claims, and the table at the end.

A claim that does not hold ends the demo with a line that names the link of the chain.
"""

import contextlib
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TextIO

# On this machine; in the test machine as root, and as an ordinary user.
Where = Literal["host", "vm", "vm user"]
_PROMPTS: dict[Where, str] = {"host": "$", "vm": "vm#", "vm user": "vm$"}


class BrokenLinkError(Exception):
    """A claim did not hold: which link of the chain, and what was seen instead."""

    def __init__(self, link: str, seen: str) -> None:
        super().__init__(f"link {link}: {seen}")
        self.link = link
        self.seen = seen


@dataclass
class Step:
    """A line of the closing table."""

    title: str
    proven: str = ""
    seconds: float = 0.0


@dataclass
class Story:
    """What has been told so far."""

    steps: list[Step] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    out: TextIO = field(default_factory=lambda: sys.stdout)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """One step: its time goes into the table, ``proven`` is set inside."""
        step = Step(title)
        self._print(f"\n== {title}")
        self.steps.append(step)
        started = time.monotonic()
        try:
            yield step
        finally:
            step.seconds = time.monotonic() - started

    def say(self, text: str) -> None:
        """A line of narration."""
        self._print(f"   {text}")

    def command(self, argv: Sequence[str] | str, *, where: Where, beside: bool = False) -> None:
        """The command that is about to run, as a reader would type it; beside others or alone."""
        text = argv if isinstance(argv, str) else shlex.join(argv)
        self._print(f"   {_PROMPTS[where]} {text}{' &' if beside else ''}")

    def show(self, output: str, *, most: int = 12) -> None:
        """What a command printed, cut after ``most`` lines."""
        lines = output.rstrip("\n").splitlines()
        for line in lines[:most]:
            self._print(f"   | {line}")
        if len(lines) > most:
            self._print(f"   | ... {len(lines) - most} more lines")

    def claim(self, holds: bool, *, link: str, seen: str) -> None:
        """Go on only if it holds."""
        if not holds:
            raise BrokenLinkError(link, seen)

    def take(self, other: "Story", text: str) -> None:
        """What another story told meanwhile, ``text``, comes next."""
        self._print(text.rstrip("\n"))
        self.steps += other.steps

    def table(self) -> None:
        """What was proven, how long each step took, and how long it all took by the clock."""
        total = time.monotonic() - self.started
        rest = Step("all by the clock", seconds=total)
        rows = [*self.steps, rest]
        width = max(len(step.title) for step in rows)
        proven = max(len(step.proven) for step in self.steps)
        self._print(f"\n   {'step':{width}}  {'proven':{proven}}  seconds")
        for step in rows:
            self._print(f"   {step.title:{width}}  {step.proven:{proven}}  {step.seconds:7.1f}")

    def failed(self, error: BrokenLinkError) -> None:
        """Say which link broke, and where."""
        self.table()
        step = self.steps[-1]
        print(
            f"\ndemo: FAILED in step {len(self.steps)} ({step.title})\n"
            f"demo: broken link: {error.link}\ndemo: {error.seen}",
            file=sys.stderr,
            flush=True,
        )

    def _print(self, text: str) -> None:
        print(text, file=self.out, flush=True)
