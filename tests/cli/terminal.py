# SPDX-License-Identifier: Apache-2.0
"""The program on a terminal: somebody who types what it asks for."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cli.program import TIMEOUT_S, VERITY


@dataclass(frozen=True)
class Session:
    """How it ended, what went to standard output, and what the terminal showed."""

    status: int
    out: str
    screen: str


def on_terminal(
    *args: str | Path,
    cwd: Path,
    answers: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Session:
    """Run `verity ARGS` with a terminal of its own, and answer each prompt in turn."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", VERITY, *args],
        cwd=cwd,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, **(environment or {})},
    ) as program:
        os.close(theirs)
        try:
            screen = _talk(ours, answers)
            assert program.stdout is not None
            out = program.stdout.read().decode()
            status = program.wait(TIMEOUT_S)
        finally:
            program.kill()
            os.close(ours)
    return Session(status, out, screen)


def _talk(fd: int, answers: Sequence[str]) -> str:
    """Type an answer at each prompt, until the program has closed its end."""
    seen, left, end = b"", list(answers), time.monotonic() + TIMEOUT_S
    asked = 0
    while True:
        ready, _, _ = select.select([fd], [], [], end - time.monotonic())
        assert ready, f"it waits for more: {seen!r}"
        try:
            part = os.read(fd, 4096)
        except OSError:  # EIO: nobody has the other end any more
            return seen.decode()
        if not part:
            return seen.decode()
        seen += part
        if seen[asked:].endswith(b": ") and left:
            asked = len(seen)
            os.write(fd, f"{left.pop(0)}\n".encode())
