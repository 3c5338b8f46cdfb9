# SPDX-License-Identifier: Apache-2.0
"""Processes to look at, and what is said to be signed of them. Real ones: this needs to be root."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from verity.formats.grants import Code, CodeEntry, Grants, Party, Role
from verity.ports.content import digest_path
from verity.values.audit import AreaResult
from verity.verbs import audit_running
from verity.verbs.audit_host import AuditedHost

SOURCE = Path(__file__).with_name("running_specimen.c")
NOBODY = 65534


def grants(code: Mapping[bytes, Code]) -> Grants:
    """Grants of nothing but code."""
    return Grants(
        party=Party.VENDOR,
        role=Role.OS,
        stream="os",
        serial=1,
        issued=1,
        expires=2,
        manifest_sha256=bytes(32),
        code=tuple(CodeEntry(digest, flags) for digest, flags in sorted(code.items())),
    )


def host(root: Path = Path("/"), code: Mapping[bytes, Code] | None = None) -> AuditedHost:
    """A running host on which this is granted; by default something that no file has."""
    granted = {bytes(32): Code.EXEC} if code is None else code
    return AuditedHost(
        root=root, live=True, now=0, clock=0, grants=(grants(granted),) if granted else ()
    )


def compiled(folder: Path, name: str, variant: str = "") -> Path:
    """The specimen, as a file of its own."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.fail("a C compiler is needed: apt-get install gcc")
    flags = ["-static", "-O1", "-Wall", "-Wextra", "-Werror", f'-DVARIANT="{variant or name}"']
    path = folder / name
    subprocess.run([compiler, *flags, "-o", path, SOURCE], check=True)
    return path


@dataclass
class Zoo:
    """Processes by name; all end with the block."""

    pids: dict[str, int] = field(default_factory=dict)
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, name: str, argv: Iterable[str | Path], **how: object) -> None:
        """Start one, and wait until it is as it says it is."""
        process = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            **how,  # type: ignore[call-overload]  # of Popen's own
        )
        self._started.append(process)
        assert process.stdout is not None
        words = process.stdout.readline().split()
        assert words[:1] == [b"ready"], (name, words)
        # In a namespace of its own it knows another number than this.
        self.pids[name] = int(words[1]) if name == "traced" else process.pid

    def __enter__(self) -> "Zoo":
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._started:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=30)
            assert process.stdout is not None
            process.stdout.close()


def checks_of(result: AreaResult, pid: int) -> set[str]:
    """Which checks have a finding of this process."""
    return {one.check for one in result.findings if one.object.startswith(f"process {pid} (")}


def of_file(result: AreaResult, pid: int) -> set[str]:
    """Which checks have a finding of a file that this process executes, of the first few."""
    return {one.check for one in result.findings if f" {pid} (" in one.found}


def look(code: Mapping[bytes, Code]) -> AreaResult:
    """The area, of this machine."""
    return audit_running.examine(host(code=code))


def digest(path: Path) -> bytes:
    """What grants call the file."""
    return digest_path(path).value


def need_root() -> None:
    """These tests start processes of other users, and look into them."""
    assert os.geteuid() == 0, "run the tests as root, as `make test` does"
