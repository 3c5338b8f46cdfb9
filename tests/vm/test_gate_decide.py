# SPDX-License-Identifier: Apache-2.0
"""The decision by the program that the kernel verified and runs, against the table and Python.

The program is the gate's own, of the object that hosts load (`verity_decide_facts`), compiled for
BPF and translated by the kernel: what decide.h means to a compiler for this machine is tested in
tests/unit/trust.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.decisions import vectors
from verity.formats.gate_status import Act, Reason, State
from verity.trust.decide import DigestState, Facts, Unlocked, decide, denies, unlocks

from .debian import run
from .gate_machine import AT
from .image import Image
from .machine import Machine

ENFORCED, UNLOCKED = 256, 512
HUGE = 2**32 - 1
SAMPLE = 20_000
PROGRAM = "verity_decide_facts"

_HERE = Path(__file__).parent
_NAMES = tuple(Facts.__dataclass_fields__)  # in the order of struct verity_facts
_FACTS = struct.Struct("<18I")
_VALUES: dict[str, Sequence[int]] = {
    "act": (0, *(act.number for act in Act), len(Act) + 1, HUGE),
    "state": (*(state.number for state in State), 4, HUGE),
    "privileged": (0, 1, HUGE),
    "digest": (*DigestState, 5, HUGE),
    "granted": (0, 1, 2, 3, 4, 8, 9, 16, 32, 28, 63, 64, HUGE),
    "prot": (0, 1, 2, 4, 6, 7, HUGE),
    "mapped": (0, 1, 2, 3, 4),
    "jit": (0, 1, 2),
    "raises": (0, 1, 2),
    "covered": (0, 1, 2),
    "chained": (0, 1, 2),
    "traced": (0, 1, 2),
    "revoked": (0, 1, 2),
    "observed": (0, 0, 2, 1 << 7, 1 << 10, 1 << 21, 1 << 22 | 1 << 23, HUGE),
    "guarded": (0, 1, 2, 3, 4, 5, HUGE),
    "placed": (0, 1, 2),
    "unlocked": (0, 0, 0, *(flag.value for flag in Unlocked), 1, 256, HUGE & ~128),
    "trust": (0, 0, 1),
}


@pytest.fixture(scope="module")
def machine(
    vm_image: Image, gate_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A bare machine with the object and the tool."""
    tool = tmp_path_factory.mktemp("decide") / "decide"
    flags = ["-static", "-O1", "-s", "-Wall", "-Wextra", "-Werror"]
    gate = _HERE.parents[1] / "policy/gate"
    source = str(_HERE / "gate_tools/decide.c")
    run(["cc", *flags, "-I", str(gate), "-o", str(tool), source, "-lbpf", "-lelf", "-lz"])
    with Machine.boot("bare", vm_image) as machine:
        machine.push(gate_files, AT)
        machine.push(tool, f"{AT}/decide")
        yield machine


def ask(machine: Machine, questions: Sequence[Facts]) -> list[int]:
    """The kernel's answers."""
    asked = b"".join(_FACTS.pack(*(getattr(facts, name) for name in _NAMES)) for facts in questions)
    with machine.exchange() as (host, guest):
        (host / "facts").write_bytes(asked)
        tool = f"{AT}/decide {AT}/gate.bpf.o {PROGRAM}"
        machine.run(f"{tool} <{guest}/facts >{guest}/answers", timeout_s=120)
        answered = (host / "answers").read_bytes()
    answers = [answer for (answer,) in struct.iter_unpack("<I", answered)]
    assert len(answers) == len(questions)
    return answers


def test_every_vector(machine: Machine) -> None:
    rows = vectors()
    answers = ask(machine, [row.facts for row in rows])
    expected = [
        row.reason.number | (ENFORCED if row.denied else 0) | (UNLOCKED if row.unlocked else 0)
        for row in rows
    ]
    wrong = [
        (row.name, answer)
        for row, answer, right in zip(rows, answers, expected, strict=True)
        if answer != right
    ]
    assert wrong == []


def test_as_python_decides(machine: Machine) -> None:
    """A sample of all combinations of what the table tells apart; also what is out of range."""
    generator = random.Random(20260101)
    questions = [
        Facts(**{name: int(generator.choice(values)) for name, values in _VALUES.items()})
        for _ in range(SAMPLE)
    ]
    seen = set()
    for facts, answer in zip(questions, ask(machine, questions), strict=True):
        reason = decide(facts)
        right = reason.number | (ENFORCED if denies(facts, reason) else 0)
        assert answer == right | (UNLOCKED if unlocks(facts, reason) else 0), facts
        seen.add(answer & ~UNLOCKED)
    # Each reason both enforced and not, but for allow, which is never enforced.
    assert len(seen) == 2 * len(Reason) - 1
    numbers = range(len(Reason))
    assert not seen - {number + flag for number in numbers for flag in (0, ENFORCED)}
