# SPDX-License-Identifier: Apache-2.0
"""Runs in a test machine: races.py DIRECTORY enables files that something changes at the worst
moment, by the way in which they are opened; prints a JSON object of what became of each."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from verity.formats.fsverity import digest_bytes
from verity.ports import content
from verity.ports.many import Stop
from verity.verbs.enable import Enabled, How, Target, enable

DATA = b"x" * 10_000


def target(path: Path, *, at: int, change: Callable[[Path], object]) -> Target:
    """A file on which ``change`` is called just before it is opened for the ``at``-th time."""
    path.write_bytes(DATA)
    opened = 0

    def opener() -> int:
        nonlocal opened
        opened += 1
        if opened == at:
            change(path)
        return content.open_regular(path)

    return Target(label=path.name, open=opener, expected=digest_bytes(DATA))


def replace(path: Path) -> None:
    """Another file, with the same contents, takes its place."""
    other = path.with_name("other")
    other.write_bytes(DATA)
    other.rename(path)


def main(where: Path) -> None:
    """Opened first for enabling, then to sync, then to evict, then to ask."""
    targets = [
        target(where / "shrinks", at=1, change=lambda path: os.truncate(path, 100)),
        target(where / "grows", at=1, change=lambda path: path.write_bytes(DATA + b"y")),
        target(where / "replaced before asking", at=4, change=replace),
        target(where / "replaced before evicting", at=3, change=replace),
        target(where / "gone before the sync", at=2, change=Path.unlink),
        target(where / "left alone", at=9, change=replace),
    ]
    how = How(jobs=1, pause=time.sleep, stop=Stop())
    found = {
        one.label: result.state.value if isinstance(result, Enabled) else result.code
        for one, result in enable(targets, how)
    }
    json.dump(found, sys.stdout)


main(Path(sys.argv[1]))
