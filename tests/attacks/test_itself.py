# SPDX-License-Identifier: Apache-2.0
"""Groups 21 and 22: attacks on the gate, its pins, its keys, and what it is called through.

After each of them the gate must still refuse an unsigned program: an act that was refused and did
its work all the same would be found here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.daily import is_due
from tests.vm import Image, Machine, trust_world
from tests.vm.gate_log import PINS as GATE_PINS

from . import ground
from .attack import Attack, attempt
from .conftest import ground_machine
from .gatelog import status
from .rows.execution import ROWS as PROGRAMS
from .rows.itself import FOREIGN, FTRACE, HIDING, KEYS, LOCKDOWN, OBJECTS, PINS
from .standin import Target, objects, standin, target

AIMED = (*OBJECTS, *KEYS, *PINS)
BETWEEN = (*FOREIGN, *FTRACE, LOCKDOWN)
# On a machine without the gate these take /sys/fs/bpf or /sys away. It then goes back to
# what it was, which takes long: a third of them each day.
RUINOUS = [row for row in PINS if "unmounted" in row.name]
ANOTHER_DAY = [row for at, row in enumerate(RUINOUS) if not is_due(at, one_in=3)]
UNSIGNED_PROGRAM = f"{ground.UNSIGNED}/program"
# Lines of the status that nothing here may change.
_SETTLED = ("state", "policy_serial", "policy_mode", "code")
# A descriptor that was opened for writing before the gate was loaded, and what came of it: by
# itself, and under a program that would allow it.
_EARLY = (
    "exec 3>/proc/sys/kernel/ftrace_enabled; until [ -e /run/{0}-now ]; do sleep 0.2; done;"
    " echo 0 >&3; echo $? >/run/{0}-outcome"
)
_USED = "touch /run/{0}-now; until [ -s /run/{0}-outcome ]; do sleep 0.2; done"


@dataclass(frozen=True, kw_only=True)
class Sealed:
    machine: Machine
    before: dict[str, set[str]]
    target: Target


@pytest.fixture(scope="module")
def gate(bare_image: Image) -> Iterator[Sealed]:
    """A sealed machine and what in it belongs to the gate."""
    with ground_machine(bare_image) as machine:
        trust_world.install(machine, ground.world(bare_image, guards=False))
        for name in ("alone", "allowed"):
            machine.start(_EARLY.format(name))
        before = objects(machine)
        trust_world.load(machine)
        aim = target(machine, pins=GATE_PINS, before=before)
        yield Sealed(machine=machine, before=before, target=aim)


def still_refuses(machine: Machine) -> None:
    assert status(machine)["state"] == "sealed"
    assert machine.run([UNSIGNED_PROGRAM], check=False).status == 127
    assert machine.run("cat /proc/sys/kernel/ftrace_enabled").text == "1"


@pytest.fixture(scope="module")
def clean(off: Machine) -> Machine:
    off.snapshot("clean")
    return off


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=str(row), marks=[pytest.mark.full] if row in ANOTHER_DAY else [])
        for row in AIMED
    ],
)
def test_without_the_gate_it_succeeds(clean: Machine, row: Attack) -> None:
    if row in RUINOUS:
        with standin(clean) as aim:
            outcome = attempt(clean, aim.aimed(row))
            clean.restore("clean")
    else:
        with standin(clean) as aim:
            outcome = attempt(clean, aim.aimed(row))
    assert outcome.succeeded, outcome


@pytest.mark.parametrize("row", BETWEEN, ids=str)
def test_without_the_gate_it_is_done(clean: Machine, row: Attack) -> None:
    outcome = attempt(clean, row)
    assert outcome.succeeded, outcome


@pytest.mark.parametrize("row", AIMED, ids=str)
def test_sealed_the_gate_defends_itself(gate: Sealed, row: Attack) -> None:
    outcome = attempt(gate.machine, gate.target.aimed(row))
    assert not outcome.succeeded, outcome
    denied = {one.reason for one in outcome.logged if one.enforced}
    assert not row.reason or row.reason in denied, outcome
    still_refuses(gate.machine)
    assert target(gate.machine, pins=GATE_PINS, before=gate.before) == gate.target


@pytest.mark.parametrize("row", BETWEEN, ids=str)
def test_sealed_nothing_gets_between(gate: Sealed, row: Attack) -> None:
    outcome = attempt(gate.machine, row)
    assert not outcome.succeeded, outcome
    denied = {one.reason for one in outcome.logged if one.enforced}
    assert not row.reason or row.reason in denied, outcome
    still_refuses(gate.machine)


@pytest.mark.parametrize("how", HIDING)
def test_hiding_the_pins_unloads_nothing(gate: Sealed, how: str) -> None:
    act, undo = (command.format(pins=GATE_PINS) for command in HIDING[how])
    gate.machine.run(act)
    try:
        assert gate.machine.run([UNSIGNED_PROGRAM], check=False).status == 127
    finally:
        gate.machine.run(undo)
    still_refuses(gate.machine)


def test_the_loader_does_nothing_a_second_time(gate: Sealed) -> None:
    """Signed, and with whatever environment and working directory: it has no rights of its own."""
    again = trust_world.LOAD.replace(trust_world.LOADER, f"{ground.TOOLS}/verity-load")
    environment = {"LD_PRELOAD": f"{ground.UNSIGNED}/library.so", "TMPDIR": ground.WORK}
    act = f"cd {ground.UNSIGNED} && exec {again}"
    before = status(gate.machine)
    done = gate.machine.run(act, env=environment, check=False)
    assert (done.status, done.stdout) == (1, b"")
    assert b"a gate is loaded already" in done.stderr
    after = status(gate.machine)
    assert {key: after[key] for key in _SETTLED} == {key: before[key] for key in _SETTLED}
    still_refuses(gate.machine)
    assert target(gate.machine, pins=GATE_PINS, before=gate.before) == gate.target


def test_a_descriptor_of_before_the_gate_switches_nothing_off(gate: Sealed) -> None:
    gate.machine.run(_USED.format("alone"))
    assert gate.machine.run("cat /run/alone-outcome").text != "0"
    still_refuses(gate.machine)


def test_nor_under_a_program_that_would_allow_it(gate: Sealed) -> None:
    used = _USED.format("allowed")
    gate.machine.run(f'{ground.TOOLS}/interfere sysctl sh -c "{used}"; {used}')
    assert gate.machine.run("cat /run/allowed-outcome").text != "0"
    still_refuses(gate.machine)


@pytest.mark.parametrize("act", ["link", "watch"])
def test_other_bpf_programs_are_nobodys_business(gate: Sealed, act: str) -> None:
    row = Attack(
        group=21,
        name="bystander",
        act=f"{ground.TOOLS}/interfere {act} /sys/fs/bpf/bystander && {ground.TOOLS}/object get"
        " /sys/fs/bpf/bystander",
        cleanup="rm /sys/fs/bpf/bystander",
        shows="ok\nok\n",
        reason="",
    )
    outcome = attempt(gate.machine, row)
    assert outcome.succeeded and not outcome.denied, outcome


@pytest.mark.full
def test_the_gate_stays_when_the_kernel_is_locked_down_further(gate: Sealed) -> None:
    """Programs that the kernel has accepted still read its memory, and none of the hooks goes."""
    gate.machine.run("echo confidentiality >/sys/kernel/security/lockdown")
    keys = [row for row in KEYS if row.reason]
    for row in (*PROGRAMS, *OBJECTS, *PINS, *keys, *FTRACE):
        outcome = attempt(gate.machine, gate.target.aimed(row))
        assert not outcome.succeeded, outcome
        assert row.reason in {one.reason for one in outcome.logged if one.enforced}, outcome
    still_refuses(gate.machine)


@pytest.mark.parametrize(
    ("before", "says"),
    [
        (f"{ground.TOOLS}/interfere pinned /sys/fs/bpf/foreign", "modify-return"),
        (f"{ground.TOOLS}/interfere pinned-sysctl /sys/fs/bpf/foreign", "sysctl"),
        ("sysctl -w kernel.ftrace_enabled=0", "ftrace"),
    ],
    ids=["a modify-return program", "a program on sysctl that sets the answer", "ftrace off"],
)
def test_what_came_before_the_gate_keeps_it_from_sealing(
    clean: Machine, bare_image: Image, before: str, says: str
) -> None:
    trust_world.install(clean, ground.world(bare_image, guards=False))
    clean.run(before)
    done = clean.run(trust_world.LOAD, check=False, timeout_s=120)
    assert done.status != 0
    assert says in done.stderr.decode()
    assert status(clean)["state"] == "off"
    clean.restore("clean")


@pytest.mark.full
def test_a_program_that_watches_sysctl_does_not(clean: Machine, bare_image: Image) -> None:
    trust_world.install(clean, ground.world(bare_image, guards=False))
    clean.run(f"{ground.TOOLS}/interfere watch /sys/fs/bpf/bystander")
    trust_world.load(clean)
    assert status(clean)["state"] == "sealed"
    clean.restore("clean")
