# SPDX-License-Identifier: Apache-2.0
"""Running the real program and the stock ones, and seeing what they left behind."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

VERITY = Path(sys.executable).with_name("verity")
NOBODY = 65534
TIMEOUT_S = 60

# In CI nothing is skipped: there these run and fail if the tests aren't started as root.
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"), reason="needs root: changes owners"
)

# Imports all of the program as root, so that the checkout may be where nobody else can read it,
# then runs it as nobody.
_AS_NOBODY = f"""
import importlib, os, sys
from verity.cli import main
for module, _ in main.VERBS.values():
    importlib.import_module("verity.cli." + module)
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
main.main()
"""


@dataclass(frozen=True)
class Done:
    """How a program ended."""

    status: int
    raw_out: bytes
    raw_err: bytes

    @property
    def out(self) -> str:
        return self.raw_out.decode()

    @property
    def err(self) -> str:
        return self.raw_err.decode()

    @property
    def records(self) -> list[dict[str, Any]]:
        """Standard output as JSON Lines, every line held to the rules of all of them."""
        found: list[dict[str, Any]] = [json.loads(line) for line in self.out.splitlines()]
        for record in found:
            assert record["v"] == 1
            assert isinstance(record["type"], str)
        return found

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["type"] == kind]


def verity(
    *args: str | bytes | Path,
    cwd: Path,
    nobody: bool = False,
    environment: dict[str, str] | None = None,
) -> Done:
    """Run `verity ARGS`."""
    program: list[str | Path] = [sys.executable, "-c", _AS_NOBODY] if nobody else [VERITY]
    done = subprocess.run(
        [*program, *args],
        cwd=cwd,
        capture_output=True,
        timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    return Done(done.returncode, done.stdout, done.stderr)


def stock(*command: str | Path, cwd: Path) -> str:
    """Run another program, which must succeed; what it printed on both streams."""
    done = subprocess.run(
        command,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{said}"
    return said


def copy(source: Path, target: Path) -> Path:
    """A copy with owners, modes and xattrs."""
    stock("cp", "-a", source, target, cwd=target.parent)
    return target


def snapshot(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file below: (mode, owner, contents). A repository's empty lock file counts not."""
    found = {}
    for folder, names, files in os.walk(os.fsencode(directory)):
        for name in [*names, *files]:
            path = os.path.join(folder, name)
            if name == b".lock" and os.path.getsize(path) == 0:
                continue
            status = os.lstat(path)
            data = b""
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    data = file.read()
            elif stat.S_ISLNK(status.st_mode):
                data = os.readlink(path)
            found[repr(path)] = (status.st_mode, status.st_uid, data)
    return found


def assert_clean_error(done: Done, words: Sequence[str], *, hint: bool) -> None:
    """One error line that names the object, its hint if there is one to give, nothing else."""
    lines = done.err.splitlines()
    assert len(lines) == (2 if hint else 1), done.err
    assert lines[0].startswith("verity: error: ")
    for word in words:
        assert word in lines[0]
    if hint:
        assert lines[1].startswith("  hint: ")
