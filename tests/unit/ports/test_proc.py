# SPDX-License-Identifier: Apache-2.0
"""A process as /proc has it, where the first thread isn't the one that goes on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from verity.ports.proc import Processes

# exit(2), which ends one thread: 60 on x86-64, 93 where the numbers are the common ones.
CALL = 60 if os.uname().machine == "x86_64" else 93
CODE = f"""
import ctypes, sys, threading
def wait():
    print("begun", flush=True)
    sys.stdin.read()
thread = threading.Thread(target=wait)
thread.start()
if sys.argv[1] == "ends":
    ctypes.CDLL(None).syscall({CALL}, 0)
thread.join()
"""


@pytest.fixture(params=["ends", "stays"])
def pid(request: pytest.FixtureRequest) -> Iterator[int]:
    """A program whose first thread ends at once, or doesn't."""
    line = [sys.executable, "-c", CODE, request.param]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None and program.stdin is not None
        assert program.stdout.readline() == b"begun\n"
        path = Path(f"/proc/{program.pid}/status")
        while request.param == "ends" and "State:\tZ" not in path.read_text():
            pass
        yield program.pid
        program.stdin.close()


def test_what_a_process_has_without_its_first_thread(pid: int) -> None:
    """Its memory, its program and its files go on with the others."""
    with Processes(root=Path("/")).open(pid) as process:
        assert not process.ended and process.pid == pid and len(process.tasks) == 2
        held = process.held("exe")
        assert held is not None and held.label == os.fsencode(os.path.realpath(sys.executable))
        regions = [one for one in process.regions() if one.inode]
        assert regions
        assert process.held(f"map_files/{regions[0].link}") is not None
        assert process.program_files() == []
