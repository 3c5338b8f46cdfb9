# SPDX-License-Identifier: Apache-2.0
"""What grants cost a gate: the memory of its maps, and the import of 100,000 of them."""

import json
import tempfile
import time
from pathlib import Path

from tests.vm import Machine, trust_world
from tests.vm.trust_world import TrustWorld
from verity.formats import bundle, grants
from verity.formats.grants import Code, CodeEntry, Grants, Party, Role
from verity.formats.records import RecordKind
from verity.ports import keystore
from verity.verbs import fragments

from .gate_cases import FOLDER

_GUEST_TIMEOUT_S = 600.0
_ENTRIES = 100_000
_DAY_S = 86400


def maps_bytes(machine: Machine) -> int:
    """What the kernel charges for the gate's maps. Sealed, nobody could ask it."""
    machine.run(f"bpftool prog loadall {trust_world.OBJECT} /sys/fs/bpf/measured", timeout_s=300)
    shown = json.loads(machine.run("bpftool -j map show").stdout)
    machine.run("rm -r /sys/fs/bpf/measured; sleep 1")
    return sum(one["bytes_memlock"] for one in shown)


def available_kib(machine: Machine) -> int:
    """The memory that the machine has left, nothing being cached."""
    machine.run("sync; echo 3 >/proc/sys/vm/drop_caches")
    return int(machine.run("grep MemAvailable /proc/meminfo").text.split()[1])


def imported(machine: Machine, world: TrustWorld) -> str:
    """A line: how long the gate takes for all of them, upload and verification included."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(_many_grants(world))
        file.flush()
        machine.push(Path(file.name), f"{FOLDER}/many")
    timed = f"cat {FOLDER}/many >/dev/null; time {FOLDER}/call from={FOLDER}/many next"
    done = machine.run(["bash", "-c", f"TIMEFORMAT=%R; {timed}"], timeout_s=_GUEST_TIMEOUT_S)
    answer, seconds = done.text, done.stderr.decode().strip()
    label = f"import of {_ENTRIES} grants (answer {answer})"
    return f"{label:44} {float(seconds):8.3f} s of the guest's clock"


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
