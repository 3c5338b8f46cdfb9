# SPDX-License-Identifier: Apache-2.0
"""Runs in a test machine: races.py DIRECTORY enables files that something changes at the worst
moment, by the way in which they are opened; prints a JSON object of what became of each."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from verity.formats.fsverity import digest_bytes
from verity.ports import content
from verity.ports.many import Stop
from verity.verbs.enable import Enabled, How, Target, enable

DATA = b"x" * 10_000


Change = Callable[[Path], object]


def target(path: Path, changes: dict[int, Change]) -> Target:
    """A file; ``changes`` are called just before it is opened for the so-manieth time."""
    path.write_bytes(DATA)
    opened = 0

    def opener() -> int:
        nonlocal opened
        opened += 1
        for change in (changes[opened],) if opened in changes else ():
            change(path)
        return content.open_regular(path)

    return Target(label=path.name, open=opener, expected=digest_bytes(DATA))


def replace(path: Path) -> None:
    """Another file takes its place, with the same contents and fs-verity."""
    other = path.with_name("other")
    other.write_bytes(DATA)
    subprocess.run(["fsverity", "enable", other], check=True)
    other.rename(path)


class Writer:
    """Has a file open for writing from one moment to another."""

    def __init__(self) -> None:
        self._fd = -1

    def come(self, path: Path) -> None:
        """Open it."""
        self._fd = os.open(path, os.O_WRONLY)

    def go(self, path: Path) -> None:
        """Close it."""
        os.close(self._fd)


def main(where: Path) -> None:
    """Opened first for enabling, then to sync, then to evict, then to ask."""
    first, second = Writer(), Writer()
    targets = [
        target(where / "shrinks", {1: lambda path: os.truncate(path, 100)}),
        target(where / "grows", {1: lambda path: path.write_bytes(DATA + b"y")}),
        target(where / "replaced before asking", {4: replace}),
        target(where / "replaced before the sync", {2: replace}),
        target(where / "gone before the sync", {2: Path.unlink}),
        target(where / "left alone", {9: replace}),
        target(where / "busy twice", {1: first.come, 3: first.go}),
        # Open four times, and no fifth time.
        target(where / "busy for ever", {1: second.come, 5: second.go}),
    ]
    how = How(jobs=1, pause=time.sleep, stop=Stop())
    found = {
        one.label: result.state.value if isinstance(result, Enabled) else result.code
        for one, result in enable(targets, how)
    }
    json.dump(found, sys.stdout)


main(Path(sys.argv[1]))
