# SPDX-License-Identifier: Apache-2.0
"""What is measured with the gate, without it and with fapolicyd, and the files that it needs.

A case is one command of gate_cost.c in the machine, which prints nanoseconds: those of a repetition
for the small cases, those of the whole for the large ones. It doesn't say what a figure means.

What the kernel gives a process as memory differs from one moment to the next by more than a hook
costs: so a small case is run some times, each in a process of its own, and before each the
machine's memory is emptied and put together. No file is written back during a large one.
"""

from __future__ import annotations

import io
import math
import platform
import random
import statistics
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.vm import Machine
from tests.vm.debian import run

FOLDER = "/opt/bench"
"""Where the programs are in the machine."""

USER = "user"
_LIBRARIES = "/usr/lib/x86_64-linux-gnu"
_LIBC = f"{_LIBRARIES}/libc.so.6"
_GUARDED = "/etc/login.defs"
_UNPACKED = "/home/unpacked"
_ARCHIVE = "/home/tree.tar"
_ALIKE = "sync; cd /proc/sys/vm && echo 3 >drop_caches && echo 1 >compact_memory"
_LATER = "cd /proc/sys/vm && echo 90 | tee dirty_ratio dirty_background_ratio >/dev/null"
_LOOP = "i=0; while [ $i -lt 1000 ]; do /usr/bin/true; i=$((i + 1)); done"
_TIMEOUT_S = 700.0
_CLANG = (
    *("clang", "-g", "-O2", "-target", "bpf", "-mcpu=v3", "-D__TARGET_ARCH_x86"),
    *("-Wno-unused-parameter", "-idirafter", f"/usr/include/{platform.machine()}-linux-gnu"),
)
_ITERATOR, _RUNS = "gate_runs.bpf.o", "/sys/fs/bpf/runs"

# A kernel's tree is 86,000 files in 5,700 directories, 17 KB each with a median of 5 KB. This one
# has as many files in a directory and smaller ones, so that opening them weighs more.
FILES = 20_000
_IN_A_DIRECTORY = 15
_MEDIAN, _SPREAD, _LARGEST = 2500, 1.0, 64 << 10


@dataclass(frozen=True, kw_only=True)
class Case:
    """`target` is how much more it may be under a sealed gate, as a part of one; the
    median of `times` counts."""

    what: str
    command: str
    user: str | None = None
    target: float | None = None
    before: str = _ALIKE
    times: int = 5

    def __str__(self) -> str:
        return f"{self.what}, {'ordinary user' if self.user else 'privileged'}"


def _both(what: str, command: str, target: float, ordinary: float) -> tuple[Case, Case]:
    return (
        Case(what=what, command=command, target=target),
        Case(what=what, command=command, target=ordinary, user=USER),
    )


_CALL = f"{FOLDER}/gate_cost"
CALLS = (
    *_both("exec", f"{_CALL} exec 50", 0.02, 0.02),
    *_both("dlopen", f"{FOLDER}/gate_dlopen dlopen 10 {_LIBRARIES}/libz.so.1", 0.06, 0.06),
    *_both("mmap(PROT_EXEC)", f"{_CALL} map 200 {_LIBC}", 0.06, 0.06),
    *_both("open+close", f"{_CALL} open 200 {_LIBC}", 0.25, 0.09),
    *_both("open+close, guarded", f"{_CALL} open 200 {_GUARDED}", 0.25, 0.09),
)
WORK = (
    Case(
        what="1,000 commands in a shell loop",
        command=f"{_CALL} once sh -c '{_LOOP}'",
        times=3,
    ),
    Case(
        what=f"unpacking {FILES:,} files",
        command=f"{_CALL} once tar -xf {_ARCHIVE} -C {_UNPACKED}",
        before=f"rm -rf {_UNPACKED}; mkdir {_UNPACKED}; {_LATER}; {_ALIKE};"
        f" cat {_ARCHIVE} >/dev/null",
        times=3,
    ),
)


def build(folder: Path) -> Path:
    """The programs, for this host and the machine alike."""
    folder.mkdir()
    here = Path(__file__).parent
    flags = ("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread")
    source = str(here / "gate_cost.c")
    run([*flags, "-static", "-o", str(folder / "gate_cost"), source])
    run([*flags, "-DWITH_DLOPEN", "-o", str(folder / "gate_dlopen"), source])
    gate, call = here.parents[1] / "policy/gate", here.parent / "vm/gate_tools/call.c"
    run([*flags, "-static", "-I", str(gate), "-o", str(folder / "call"), str(call)])
    run([*_CLANG, "-c", str(here / "gate_runs.bpf.c"), "-o", str(folder / _ITERATOR)])
    return folder


def install(machine: Machine, programs: Path) -> None:
    """Puts them into the machine, with fs-verity."""
    machine.push(programs, FOLDER)
    machine.run(f"sync; for f in {FOLDER}/*; do fsverity enable $f; done")


def install_tree(machine: Machine, scratch: Path) -> None:
    """Puts the archive that is unpacked into the machine."""
    archive = scratch / "tree.tar"
    _write_tree(archive)
    machine.push(archive, _ARCHIVE, timeout_s=_TIMEOUT_S)


def measure(machine: Machine, cases: Sequence[Case]) -> dict[Case, float]:
    """Nanoseconds, which are instructions where QEMU counts them; each is shown at once."""
    taken: dict[Case, float] = {}
    for case in cases:
        runs = []
        for _ in range(case.times):
            machine.run(case.before, timeout_s=_TIMEOUT_S)
            done = machine.run(case.command, user=case.user, timeout_s=_TIMEOUT_S)
            runs.append(float(done.text))
        taken[case] = statistics.median(runs)
        shown = "".join(f"{run:12.0f}" for run in sorted(runs))
        print(f"{case!s:40}{shown}", file=sys.stderr, flush=True)
    return taken


def watch_programs(machine: Machine) -> None:
    """Makes `program_runs` possible; before the gate is loaded."""
    machine.run(f"bpftool iter pin {FOLDER}/{_ITERATOR} {_RUNS}")


def program_runs(machine: Machine, case: Case) -> dict[str, tuple[int, int]]:
    """How often each BPF program ran during a case, and its nanoseconds altogether."""
    machine.run("sysctl -qw kernel.bpf_stats_enabled=1")
    machine.run(case.before, timeout_s=_TIMEOUT_S)
    before = _programs(machine)
    machine.run(case.command, user=case.user, timeout_s=_TIMEOUT_S)
    after = _programs(machine)
    machine.run("sysctl -qw kernel.bpf_stats_enabled=0")
    changed = {
        name: (count - before.get(name, (0, 0))[0], spent - before.get(name, (0, 0))[1])
        for name, (count, spent) in after.items()
    }
    return {name: both for name, both in changed.items() if both[0]}


def _programs(machine: Machine) -> Mapping[str, tuple[int, int]]:
    shown = [line.split() for line in machine.run(["cat", _RUNS]).text.splitlines()]
    return {f"{name} {number}": (int(ran), int(spent)) for number, ran, spent, name in shown}


def _write_tree(archive: Path) -> None:
    sizes = random.Random(6)
    with tarfile.open(archive, "w") as tar:
        for number in range(FILES):
            folder = number // _IN_A_DIRECTORY
            entry = tarfile.TarInfo(f"tree/{folder % 40}/{folder}/file-{number}.c")
            entry.size = min(int(sizes.lognormvariate(math.log(_MEDIAN), _SPREAD)), _LARGEST)
            tar.addfile(entry, io.BytesIO(b"x" * entry.size))
