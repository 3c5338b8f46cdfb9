# SPDX-License-Identifier: Apache-2.0
"""The pure parts of the programs in policy/gate/loader, compiled natively with sanitizers."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GATE = ROOT / "policy" / "gate"
LOADER = GATE / "loader"
PARTS = (
    *("failure", "certificate", "keylist", "floors", "bundle", "identity"),
    *("status_text", "unlock_parse", "typed", "pkcs7"),
)
HARNESS = ROOT / "tests" / "unit" / "loader_parts.c"
_FLAGS = ("-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined")
_NO_RECOVERY = ("-fno-sanitize-recover=all",)


def build(folder: Path) -> Path:
    """The program that runs these parts on files; loader_parts.c says how."""
    return compiled(folder / "parts", HARNESS, PARTS, "-std=c11", "-O1", *_NO_RECOVERY)


def compiled(out: Path, harness: Path, parts: Sequence[str], *flags: str) -> Path:
    """A program of a test's own C file and parts of the loader, with sanitizers."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.fail("a C compiler is needed: apt-get install gcc")
    sources = [harness, *(LOADER / f"{part}.c" for part in parts)]
    command: list[str | Path] = [compiler, *_FLAGS, *flags]
    command += ["-I", GATE, "-I", LOADER, "-o", out, *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out
