# SPDX-License-Identifier: Apache-2.0
"""The pure parts of the programs in policy/gate/loader, compiled natively with sanitizers."""

import shutil
import subprocess
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
_WARNINGS = ("-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror")
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def build(folder: Path) -> Path:
    """The program that runs these parts on files; loader_parts.c says how."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.fail("a C compiler is needed: apt-get install gcc")
    out = folder / "parts"
    sources = [HARNESS, *(LOADER / f"{part}.c" for part in PARTS)]
    command: list[str | Path] = [compiler, *_WARNINGS, *_SANITIZERS]
    command += ["-I", GATE, "-I", LOADER, "-o", out, *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out
