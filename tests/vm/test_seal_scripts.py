# SPDX-License-Identifier: Apache-2.0
"""Which interpreters that run already the seal lets pass: those that a granted script started.

Python and Perl are listed by the policy that comes with verity. In each row one is started by
systemd between the load of the gate and the seal, as root, and goes on to run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.daily import in_turn

from .gate_machine import Gate, value
from .image import Image
from .machine import Machine
from .trust_world import BUNDLE, LOADER, install, load, trust_world

pytestmark = in_turn(2, one_in=3)

AT = "/opt/scripts"
_TOLD = "/sys/fs/bpf/verity/links/verity_scripts"
_ROOM = "/run/scripts"
_BEGAN = f"{_ROOM}/began"
_SEAL = [LOADER, "--seal", "--bundle", BUNDLE]
_INSTALLED, _LOADED = "installed", "loaded"
_PYTHON = "/usr/bin/python3"
_STAY = f"import pathlib, time; pathlib.Path('{_BEGAN}').touch(); time.sleep(9999)"

GRANTED = {
    "stays": f"#!{_PYTHON}\n{_STAY}\n",
    "forks": f"#!{_PYTHON}\nimport os\nif os.fork():\n    os._exit(0)\n{_STAY}\n",
    # exit(2): its first thread ends, and the other one goes on.
    "thread": f"#!{_PYTHON}\nimport ctypes, threading\n"
    f'threading.Thread(target=exec, args=("{_STAY}",)).start()\n'
    "ctypes.CDLL(None).syscall(60, 0)\n",
    "perl": f"#!/usr/bin/perl\nopen(F, '>', '{_BEGAN}'); close(F); sleep 9999;\n",
    "another": f'#!{_PYTHON}\nimport os\nos.execv("{_PYTHON}", ["python3", "-c", "{_STAY}"])\n',
    "nested": f"#!{AT}/stays\n",
    "lost": "#!/nowhere/python3\n",
}
STAY_OUT = {
    "a granted script": f"{AT}/stays",
    "one that has forked": f"-p Type=forking {AT}/forks",
    "a thread of one": f"{AT}/thread",
    "one that names another one": f"{AT}/nested",
    "one in Perl": f"{AT}/perl",
}
AS_ANOTHER = f"-p DynamicUser=yes -p AmbientCapabilities=CAP_AUDIT_WRITE -p ReadWritePaths={_ROOM}"
REFUSED = {
    "code as an argument": f'{_PYTHON} -c "{_STAY}"',
    "a granted script as an argument": f"{_PYTHON} {AT}/stays",
    "a script that isn't granted": "/opt/unsigned",
    "a granted script that starts another program": f"{AT}/another",
    "the dynamic linker": f'/lib64/ld-linux-x86-64.so.2 {_PYTHON} -c "{_STAY}"',
    "what follows a granted script that didn't start": (
        f"/bin/bash -c 'shopt -s execfail; exec {AT}/lost; exec /opt/unsigned'"
    ),
}


@pytest.fixture(scope="module")
def machine(gate_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Keeps two moments: all is installed, and the gate is loaded and observes."""
    folder = tmp_path_factory.mktemp("scripts")
    # The world's key in the cache.
    tree = folder / hashlib.sha256(repr(GRANTED).encode()).hexdigest()[:16]
    (tree / "usr/bin").mkdir(parents=True)
    # By a policy that lists them: what has the same contents in the machine is an interpreter then.
    for program in (*gate_image.tree.glob("usr/bin/python3.*"), gate_image.tree / "usr/bin/perl"):
        (tree / "usr/bin" / program.name).write_bytes(program.read_bytes())
        (tree / "usr/bin" / program.name).chmod(0o755)
    (tree / AT[1:]).mkdir(parents=True)
    for name, text in GRANTED.items():
        (tree / AT[1:] / name).write_text(text)
        (tree / AT[1:] / name).chmod(0o755)
    unsigned = folder / "unsigned"
    unsigned.write_text(GRANTED["stays"] + "#\n")
    unsigned.chmod(0o755)
    world = trust_world(gate_image, {"scripts": tree}, rules="# as it comes\n")
    with Machine.boot("system", gate_image) as machine:
        install(machine, world)
        machine.push(tree / AT[1:], AT)
        machine.push(unsigned, "/opt/unsigned")
        machine.run(f"fsverity enable {LOADER}; for f in {AT}/*; do fsverity enable $f; done")
        machine.run(f"mkdir -m 1777 {_ROOM}")
        machine.snapshot(_INSTALLED)
        load(machine, "--until-seal")
        machine.snapshot(_LOADED)
        yield machine


def start(machine: Machine, command: str, options: str = "") -> None:
    machine.run(f"systemd-run --quiet {options} {command}")
    machine.run(f"until [ -e {_BEGAN} ]; do sleep 0.1; done", timeout_s=60)


def asked(gate: Gate) -> list[str]:
    """What the loader's own questions left in the log."""
    return [one.line for one in gate.denials() if one.act == "map" and one.reason == "interpreter"]


@pytest.mark.parametrize("name", STAY_OUT)
def test_a_granted_script_runs_on(machine: Machine, name: str) -> None:
    """And the gate isn't asked of its interpreter, which would be written down."""
    machine.restore(_LOADED)
    start(machine, STAY_OUT[name])
    machine.run(_SEAL, timeout_s=120)
    gate = Gate(machine)
    assert value(gate.status(), "state") == "sealed"
    assert asked(gate) == []
    assert machine.run(f"cat {_TOLD}").text.split()  # it runs yet


def test_of_who_is_privileged_by_a_capability(machine: Machine) -> None:
    machine.restore(_LOADED)
    start(machine, f"{AT}/stays", AS_ANOTHER)
    machine.run(_SEAL, timeout_s=120)
    assert value(Gate(machine).status(), "state") == "sealed"


def refused(machine: Machine) -> None:
    done = machine.run(_SEAL, check=False, timeout_s=120)
    assert done.status != 0
    assert "sealed-late: process" in done.stderr.decode()
    assert ": interpreter;" in done.stderr.decode()
    assert value(Gate(machine).status(), "state") == "observe"


@pytest.mark.parametrize("name", REFUSED)
def test_others_keep_the_host_from_sealing(machine: Machine, name: str) -> None:
    """Until it has ended."""
    machine.restore(_LOADED)
    start(machine, REFUSED[name], "--unit=it")
    refused(machine)
    machine.run("systemctl kill --signal=KILL it")
    machine.run(_SEAL, timeout_s=120)
    assert value(Gate(machine).status(), "state") == "sealed"


def test_what_is_older_than_the_gate_does_too(machine: Machine) -> None:
    machine.restore(_INSTALLED)
    start(machine, f"{AT}/stays")
    load(machine, "--until-seal")
    refused(machine)
