# SPDX-License-Identifier: Apache-2.0
"""What the gate costs, in a machine of its own: the peer is the same machine without a gate.

One processor that executes an instruction per nanosecond of guest time (QEMU's -icount), so a
difference in time is a difference in instructions and hardly depends on the host. Each figure is
the cheapest of 40 batches. Nothing here passes or fails.
"""

import json
import tempfile
import time
from pathlib import Path

from tests.vm import Machine, build_image, trust_world
from tests.vm.debian import run
from tests.vm.trust_world import TrustWorld
from tests.vm.verity_root import verity_root
from verity.formats import bundle, grants
from verity.formats.grants import Code, CodeEntry, Grants, Party, Role
from verity.formats.records import RecordKind
from verity.ports import keystore
from verity.verbs import fragments

FOLDER = "/opt/bench"
_LIBRARY = "/usr/lib/x86_64-linux-gnu/libc.so.6"
_WORK = {
    "exec": "exec 10",
    "mmap(PROT_EXEC)": f"map 200 {_LIBRARY}",
    "open+close": f"open 200 {_LIBRARY}",
}
_SUBJECTS = {"privileged": None, "ordinary user": "user"}
_BOOT_TIMEOUT_S = 900.0
_GUEST_TIMEOUT_S = 600.0
_ENTRIES = 100_000
_DAY_S = 86400


def main() -> None:
    """Print the gate's part of the table."""
    with tempfile.TemporaryDirectory(prefix="verity-bench-") as name:
        tools = _tools(Path(name) / "tools")
        image = verity_root(build_image())
        world = trust_world.trust_world(image, {"bench": tools})
        many = _many_grants(world)
        with Machine.boot("system", image, icount=True, timeout_s=_BOOT_TIMEOUT_S) as machine:
            machine.push(tools, FOLDER)
            machine.run(f"sync; for f in {FOLDER}/*; do fsverity enable $f; done")
            trust_world.install(machine, world)
            maps = _maps_bytes(machine)
            before = _costs(machine)
            free = _available_kib(machine)
            trust_world.load(machine)
            taken = free - _available_kib(machine)
            _table(before, _costs(machine))
            _import(machine, many)
    print(f"{'memory of the maps, by the kernel account':44} {maps / 2**20:8.1f} MiB")
    print(f"{'memory, by what is available before and after':44} {taken / 1024:8.1f} MiB")


def _tools(folder: Path) -> Path:
    folder.mkdir()
    here = Path(__file__).parent
    flags = ("cc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread")
    gate = here.parents[1] / "policy" / "gate"
    for source in (here / "gate_cost.c", here.parent / "vm/gate_tools/call.c"):
        run([*flags, "-I", str(gate), "-o", str(folder / source.stem), str(source)])
    return folder


def _costs(machine: Machine) -> dict[tuple[str, str], float]:
    """Nanoseconds, which are instructions, of each kind of work by each kind of subject."""
    return {
        (what, who): float(
            machine.run(
                f"{FOLDER}/gate_cost {arguments}", user=user, timeout_s=_GUEST_TIMEOUT_S
            ).text
        )
        for what, arguments in _WORK.items()
        for who, user in _SUBJECTS.items()
    }


def _table(before: dict[tuple[str, str], float], after: dict[tuple[str, str], float]) -> None:
    print(f"{'what, by whom (instructions)':44} {'gate':>10}  {'no gate':>10}  {'more':>8}")
    for (what, who), plain in before.items():
        guarded = after[what, who]
        print(f"{f'{what}, {who}':44} {guarded:10.0f}  {plain:10.0f}  {guarded / plain - 1:+8.2%}")


def _maps_bytes(machine: Machine) -> int:
    """What the kernel charges for the gate's maps. Sealed, nobody could ask it."""
    machine.run(f"bpftool prog loadall {trust_world.OBJECT} /sys/fs/bpf/measured", timeout_s=300)
    shown = json.loads(machine.run("bpftool -j map show").stdout)
    machine.run("rm -r /sys/fs/bpf/measured; sleep 1")
    return sum(one["bytes_memlock"] for one in shown)


def _available_kib(machine: Machine) -> int:
    machine.run("sync; echo 3 >/proc/sys/vm/drop_caches")
    return int(machine.run("grep MemAvailable /proc/meminfo").text.split()[1])


def _many_grants(world: TrustWorld) -> bytes:
    """A signed extension of 100,000 programs."""
    now = int(time.time())
    blob = grants.encode(
        Grants(
            party=Party.USER,
            role=Role.EXTENSION,
            stream="tools",
            serial=1,
            issued=now - _DAY_S,
            expires=now + _DAY_S,
            manifest_sha256=bytes(32),
            code=tuple(CodeEntry(n.to_bytes(32, "big"), Code.EXEC) for n in range(_ENTRIES)),
        )
    )
    key = keystore.load_signer(str(world.key("user-extension")))
    made = fragments.sign(RecordKind.GRANTS, blob, [key], party=Party.USER, role=Role.EXTENSION)
    return bundle.encode([made])


def _import(machine: Machine, many: bytes) -> None:
    """How long the gate takes for all of them, upload and verification included."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(many)
        file.flush()
        machine.push(Path(file.name), f"{FOLDER}/many")
    timed = f"cat {FOLDER}/many >/dev/null; time {FOLDER}/call from={FOLDER}/many next"
    done = machine.run(["bash", "-c", f"TIMEFORMAT=%R; {timed}"], timeout_s=_GUEST_TIMEOUT_S)
    answer, seconds = done.text, done.stderr.decode().strip()
    label = f"import of {_ENTRIES} grants (answer {answer})"
    print(f"{label:44} {float(seconds):8.3f} s of the guest's clock")


if __name__ == "__main__":
    main()
