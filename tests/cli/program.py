# SPDX-License-Identifier: Apache-2.0
"""Running the real program and the stock ones, and seeing what they left behind."""

import functools
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

from tests.cli.zygote import Zygote

VERITY = Path(sys.executable).with_name("verity")
NOBODY = 65534
STRANGER = 4242  # owns what the lesser user may not read
TIMEOUT_S = 60

# In CI nothing is skipped: there these run and fail if the tests aren't started as root.
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"), reason="needs root: changes owners"
)


def lesser_user() -> int:
    """A user without any privilege that can still read the program.

    That is nobody, unless the checkout or the interpreter is below a directory that is closed to
    others: then the owner of that, be it root, to whom files of a stranger are as closed.
    """
    user = NOBODY
    for folder in (*VERITY.parents, *Path(sys.base_prefix, "bin").parents):
        status = folder.stat()
        if not status.st_mode & 0o001:
            user = status.st_uid
    return user


def _lesser() -> list[str]:
    """How to start a program as that user, without a capability."""
    user = lesser_user()
    return [
        *("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"),
        *("--bounding-set=-all", "--inh-caps=-all", "--"),
    ]


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


@functools.cache
def _zygote() -> Zygote:
    """One for each process of pytest."""
    return Zygote()


def verity(
    *args: str | bytes | Path,
    cwd: Path,
    lesser: bool = False,
    environment: dict[str, str] | None = None,
) -> Done:
    """Run `verity ARGS`; ``lesser``: without any privilege of root's."""
    if not lesser and environment is None:
        return Done(*_zygote().run(args, cwd, TIMEOUT_S))
    done = subprocess.run(
        [*(_lesser() if lesser else []), VERITY, *args],
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
