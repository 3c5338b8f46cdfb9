# SPDX-License-Identifier: Apache-2.0
"""The loader's look at what runs before the seal, compiled natively: which threads it sees."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import loader_program
from tests.cli.program import needs_root

HARNESS = Path(__file__).with_name("loader_late.c")
# exit(2) and setresuid(2) of one thread alone, and getpid(2): of x86-64, and the common numbers.
EXIT, SETRESUID, GETPID = (60, 117, 39) if os.uname().machine == "x86_64" else (93, 147, 172)
CALLS = {"ends": f"{EXIT}, 0", "drops": f"{SETRESUID}, 7, 7, 7", "stays": str(GETPID)}
CODE = """
import ctypes, mmap, sys, threading
kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
if sys.argv[1] == "code":
    memory = mmap.mmap(-1, 4096, kind, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
def wait():
    call.wait()
    print("begun", flush=True)
    sys.stdin.read()
call = threading.Event()
thread = threading.Thread(target=wait)
thread.start()
libc = ctypes.CDLL(None)
timer = threading.Timer(0.5, call.set)
timer.start()
libc.syscall({})
thread.join()
"""
# In a namespace of its own, where nobody else has code without a file.
SCRIPT = """
mkfifo in out
"$1" -c "$2" "$3" <in >out &
exec 3>in
read begun <out
./late
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("late")
    parts = ("late", "host", "identity", "failure", "import", "bundle", "floors", "keylist")
    loader_program.compiled(made / "late", HARNESS, parts, "-std=gnu11")
    return made


@needs_root
@pytest.mark.parametrize("thread", CALLS)
@pytest.mark.parametrize("has", ["code", "nothing"])
def test_code_without_a_file_is_found_by_any_thread(
    folder: Path, tmp_path: Path, thread: str, has: str
) -> None:
    """Also where the first one has ended, or is of an ordinary user by now."""
    shutil.copy(folder / "late", tmp_path / "late")
    code = CODE.format(CALLS[thread])
    line = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", SCRIPT, "-"]
    done = subprocess.run(
        [*line, sys.executable, code, has], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    count, _, rest = done.stdout.partition(" ")
    assert (int(count) > 0) is (has == "code")
    if has == "code":
        assert rest.startswith("anonymous python")
