# SPDX-License-Identifier: Apache-2.0
"""What the gate costs beside nothing and beside fapolicyd, in one machine.

    python -m tests.bench.gate [PART...]        calls, work, programs, import; none: all

One processor that executes an instruction per nanosecond of guest time (QEMU's -icount), so a
difference in time is a difference in instructions and hardly depends on the host. Gate and peer
are started from the same moment of the same machine. Of the small cases the cheapest of many
batches counts in each of some processes, and of these the median. Nothing here passes or fails.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.vm import Image, Machine, build_image, debs, fapolicyd, trust_world
from tests.vm.trust_world import TrustWorld
from tests.vm.verity_root import verity_root

from . import gate_cases, gate_import, gate_world
from .gate_cases import CALLS, FOLDER, WORK, Case

PARTS = ("calls", "work", "programs", "import")
_NONE, _OBSERVE, _SEALED, _PEER = MODES = ("none", "observe", "sealed", "fapolicyd")
_BOOT_TIMEOUT_S = 900.0
_MOMENT = "plain"
_SETTLE_S = 60  # of the guest's clock: what a boot leaves behind would count, too
_SNAPSHOT_TIMEOUT_S = 300.0

Figures = dict[str, dict[Case, float]]


def main(parts: Sequence[str] = PARTS) -> None:
    """Print the gate's part of the table."""
    with tempfile.TemporaryDirectory(prefix="verity-bench-") as name:
        top = Path(name)
        programs = gate_cases.build(top / "programs")
        image = verity_root(build_image())
        worlds = gate_world.gate_world(image, programs, (_OBSERVE, _SEALED))
        disk = top / "machine"
        _prepare(image, programs, top, disk)
        with Machine.boot(
            "system", image, icount=True, work=disk, timeout_s=_BOOT_TIMEOUT_S
        ) as machine:
            machine.run(f"sleep {_SETTLE_S}", timeout_s=_BOOT_TIMEOUT_S)
            machine.snapshot(_MOMENT, timeout_s=_SNAPSHOT_TIMEOUT_S)
            start: dict[str, Callable[[], object]] = {
                _NONE: lambda: None,
                _SEALED: lambda: _load(machine, worlds[_SEALED]),
                _PEER: lambda: fapolicyd.start(machine),
                _OBSERVE: lambda: _load(machine, worlds[_OBSERVE]),
            }
            peer = debs.version(debs.packages(image, fapolicyd.PACKAGE), fapolicyd.PACKAGE)
            print(f"instructions; fapolicyd is {peer} with its recommended rules")
            cases = (*(CALLS if "calls" in parts else ()), *(WORK if "work" in parts else ()))
            if cases:
                _table(_measured(machine, cases, start))
            if "programs" in parts:
                _programs(machine, start[_OBSERVE])
            if "import" in parts:
                _import(machine, worlds[_SEALED])


def _prepare(image: Image, programs: Path, scratch: Path, disk: Path) -> None:
    """A disk with all that is needed on it: installing takes long where instructions count."""
    with Machine.boot("system", image, work=disk) as machine:
        gate_cases.install(machine, programs)
        gate_cases.install_tree(machine, scratch)
        fapolicyd.install(machine, image, fapolicyd.trust_of(programs, FOLDER))
        machine.shutdown()


def _load(machine: Machine, world: TrustWorld) -> None:
    trust_world.install(machine, world)
    trust_world.load(machine)


def _measured(
    machine: Machine, cases: Sequence[Case], start: Mapping[str, Callable[[], object]]
) -> Figures:
    figures: Figures = {}
    for mode, begin in start.items():
        machine.restore(_MOMENT)
        begin()
        print(f"measuring: {mode}", file=sys.stderr)
        figures[mode] = gate_cases.measure(machine, cases)
    return figures


def _table(figures: Figures) -> None:
    heads = "".join(f"{mode:>12}" for mode in MODES)
    print(f"{'what, by whom':40}{heads}    observe    sealed    target  fapolicyd    ours/theirs")
    for case, plain in figures[_NONE].items():
        numbers = "".join(f"{figures[mode][case]:12.0f}" for mode in MODES)
        observed, sealed, theirs = (figures[mode][case] / plain - 1 for mode in MODES[1:])
        target = "" if case.target is None else f"{case.target:+.0%}"
        share = f"{sealed / theirs:.3f}" if theirs > 0 else "-"
        print(
            f"{case!s:40}{numbers}{observed:+11.2%}{sealed:+10.2%}{target:>10}{theirs:+11.1%}"
            f"{share:>15}"
        )


def _programs(machine: Machine, start: Callable[[], object]) -> None:
    machine.restore(_MOMENT)
    gate_cases.watch_programs(machine)
    start()
    print("the gate's programs: runs, and nanoseconds of each (a gate that observes)")
    for case in (*CALLS, *WORK):
        ran = gate_cases.program_runs(machine, case)
        total = sum(spent for _, spent in ran.values())
        print(f"{case!s}: {total / 1e6:.1f} ms in all")
        for name, (count, spent) in sorted(ran.items(), key=lambda one: -one[1][1]):
            print(f"    {name:24} {count:9} {spent / count:9.0f} ns")


def _import(machine: Machine, world: TrustWorld) -> None:
    machine.restore(_MOMENT)
    trust_world.install(machine, world)
    maps = gate_import.maps_bytes(machine)
    free = gate_import.available_kib(machine)
    trust_world.load(machine)
    taken = free - gate_import.available_kib(machine)
    print(gate_import.imported(machine, world))
    print(f"{'memory of the maps, by the kernel account':44} {maps / 2**20:8.1f} MiB")
    print(f"{'memory, by what is available before and after':44} {taken / 1024:8.1f} MiB")


if __name__ == "__main__":
    asked = sys.argv[1:]
    if unknown := set(asked) - set(PARTS):
        sys.exit(f"{', '.join(sorted(unknown))}: no such part; there are: {', '.join(PARTS)}")
    main(asked or PARTS)
