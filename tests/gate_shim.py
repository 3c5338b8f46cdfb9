# SPDX-License-Identifier: Apache-2.0
"""A gate that isn't one: a preloaded syscall(2) that answers the calls into the gate.

For what can be tested without loading BPF programs into the host: the requests, the order of the
steps, what becomes of an answer. Whether a real gate takes them is for the test machines.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")
HEADER = Path(__file__).parents[1] / "policy" / "gate"


def build(folder: Path) -> Path:
    """Compile it; the library to preload."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.fail("a C compiler is needed: apt-get install gcc")
    library = folder / "gate.so"
    flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-I", HEADER, "-o", library, SOURCE, "-ldl"], check=True)
    return library
