# SPDX-License-Identifier: Apache-2.0
"""Long work on many files: how it shows on a terminal, and how Ctrl-C ends it."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Self

import click

from verity.ports.many import Stop
from verity.verbs import batch
from verity.verbs.enable import Target

enable_jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=None,
    help="Threads. [default: twice the processors]",
)

_PER_FILE = 256 << 10  # enabling a file takes about as long as hashing this much of one
_EVERY_S = 0.2
_STOPPING = b"\nverity: stopping: what was begun is brought to its end; Ctrl-C again ends at once\n"


def enable_jobs(jobs: int | None) -> int:
    """What was asked for; else two threads a processor: enabling waits for the disk by file."""
    return jobs or 2 * batch.default_jobs()


@contextlib.contextmanager
def stopping() -> Iterator[Stop]:
    """The first Ctrl-C while inside sets the stop, the second interrupts."""
    stop = Stop()

    def hear(number: int, frame: FrameType | None) -> None:
        if stop:
            raise KeyboardInterrupt
        stop.set()
        os.write(2, _STOPPING)  # not by sys.stderr: it may be in the middle of something

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


class Work:
    """A line on stderr while work goes on: files, bytes, rate, time left. Only on a terminal."""

    def __init__(self, unit: str, clock: Callable[[], float]) -> None:
        self._unit = unit
        self._clock = clock
        self._shows = sys.stderr.isatty()
        self._begun = self._drawn = 0.0
        self._files = self._bytes = self._all_files = self._all_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.clear()

    def hear(self, targets: Sequence[Target], done: Target | None) -> None:
        """All targets before the first is done, then each that is."""
        if not self._shows:
            return
        if done is None:
            self._all_files, self._all_bytes = len(targets), sum(one.size for one in targets)
            self._begun = self._clock()
            return
        self._files += 1
        self._bytes += done.size
        now = self._clock()
        if now - self._drawn >= _EVERY_S:
            self._drawn = now
            click.echo(f"\r\x1b[K{self.line(now - self._begun)}", err=True, nl=False)

    def clear(self) -> None:
        """Make room for a line of another kind."""
        if self._drawn:
            click.echo("\r\x1b[K", err=True, nl=False)

    def line(self, seconds: float) -> str:
        """What is shown after so many seconds."""
        done = self._bytes + _PER_FILE * self._files
        left = self._all_bytes + _PER_FILE * self._all_files - done
        rest = int(seconds * left / done) if done else 0
        return (
            f"{self._files} of {self._all_files} {self._unit},"
            f" {_mega(self._bytes)} of {_mega(self._all_bytes)} MB,"
            f" {self._files / max(seconds, 0.001):.0f} {self._unit}/s,"
            f" {_mega(self._bytes / max(seconds, 0.001))} MB/s,"
            f" {rest // 60}:{rest % 60:02} left"
        )


def _mega(count: float) -> str:
    return f"{count / 1e6:.1f}"
