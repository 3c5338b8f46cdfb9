# SPDX-License-Identifier: Apache-2.0
"""The decision: the vectors through Python and through the C header, and both compared whole."""

import itertools
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.decisions import Vector, vectors
from verity.formats.gate_status import Act, Reason, State
from verity.formats.kernel_guarded import GuardedClass
from verity.trust.decide import (
    DigestState,
    Facts,
    Mapped,
    Prot,
    Unlocked,
    decide,
    denies,
    unlocks,
)

HERE = Path(__file__).parent
GATE = Path("policy/gate")
HUGE = 2**32 - 1
VECTORS = vectors()
_NAMES = tuple(Facts.__dataclass_fields__)  # in the order of struct verity_facts
_FACTS = struct.Struct("<18I")
_ANSWER = struct.Struct("<II")


@pytest.fixture(scope="session")
def in_c(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """decide.h as a program: struct verity_facts on stdin, (reason, enforced) on stdout."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.fail("a C compiler is needed: apt-get install gcc")
    program = tmp_path_factory.mktemp("decide") / "decide"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", str(GATE)]
    done = subprocess.run(
        [compiler, *flags, "-o", program, HERE / "decide_program.c"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return program


def ask_c(program: Path, questions: Sequence[Facts]) -> list[tuple[int, int]]:
    asked = b"".join(_FACTS.pack(*(getattr(facts, name) for name in _NAMES)) for facts in questions)
    answered = subprocess.run([program], input=asked, capture_output=True, check=True).stdout
    assert len(answered) == len(questions) * _ANSWER.size
    return list(_ANSWER.iter_unpack(answered))


def ask_python(facts: Facts) -> tuple[int, int]:
    reason = decide(facts)
    return reason.number, denies(facts, reason) | unlocks(facts, reason) << 1


def expected(vector: Vector) -> tuple[int, int]:
    return vector.reason.number, vector.denied | vector.unlocked << 1


def test_the_vectors_cover_the_table() -> None:
    assert {vector.reason for vector in VECTORS} == set(Reason)
    assert {vector.facts.act for vector in VECTORS} >= {act.number for act in Act}
    assert {vector.facts.digest for vector in VECTORS} > set(DigestState)
    assert {vector.facts.state for vector in VECTORS} == {state.number for state in State}
    assert len({vector.name for vector in VECTORS}) == len(VECTORS) > 500


def test_each_reason_has_a_control() -> None:
    """For each refusal of an act that can be allowed there is an allowed row of that act."""
    allowed = {vector.facts.act for vector in VECTORS if vector.reason.allow}
    code = (Act.EXEC, Act.ELEVATE, Act.MAP, Act.PROTECT, Act.MODULE)
    can_be = (*code, Act.TRACE, Act.CONFIG, Act.LINK, Act.MOUNT, Act.TRACING, Act.REMOVE)
    assert allowed == {act.number for act in can_be}


def test_vectors_in_python() -> None:
    wrong = [v.name for v in VECTORS if ask_python(v.facts) != expected(v)]
    assert not wrong


def test_vectors_in_c(in_c: Path) -> None:
    answers = ask_c(in_c, [vector.facts for vector in VECTORS])
    wrong = [v.name for v, answer in zip(VECTORS, answers, strict=True) if answer != expected(v)]
    assert not wrong


def every_combination() -> Iterator[Facts]:
    """The product of all values that the table tells apart, and some out of range."""
    values: dict[str, list[int]] = {
        "act": [0, *(act.number for act in Act), len(Act) + 1, HUGE],
        "privileged": [0, HUGE],
        "digest": [*map(int, DigestState), 5, HUGE],
        "granted": [0, 1, 2, 28, 32, 64, HUGE],
        "prot": [4, HUGE],
        "mapped": [0, 3],
        "jit": [0, 2],
        "raises": [0, 2],
        "covered": [0, 2],
        "revoked": [0, 2],
    }
    memory: dict[str, list[int]] = {
        **values,
        "act": [Act.MAP.number, Act.PROTECT.number],
        "prot": [1, 2, 4, 6, HUGE],
        "mapped": [0, 1, 2, 3, 4],
        "raises": [0],
        "covered": [0],
    }
    mapping: dict[str, list[int]] = {
        **values,
        "act": [Act.MAP.number, Act.PROTECT.number, Act.MODULE.number, Act.KEXEC.number],
        "granted": [0, 2, 4, 9],
        "prot": [4, 6, HUGE],
        "mapped": [0, 2, 3],
        "chained": [0, 1],
        "raises": [0],
        "covered": [0],
        "observed": [2, 1 << 7, 1 << 7 | 1 << 8, HUGE],
    }
    starting: dict[str, list[int]] = {
        **values,
        "act": [Act.EXEC.number, Act.ELEVATE.number],
        "jit": [0],
        "granted": [0, 1, 8, 9, 40, HUGE],
        "prot": [4],
        "mapped": [0],
        "chained": [0, 1, HUGE],
        "traced": [0, 1, HUGE],
        "observed": [0, 2, 1 << 10, 1 << 10 | 1 << 17, 1 << 24, 1 << 25 | 1 << 26, HUGE],
    }
    guarding: dict[str, list[int]] = {
        **values,
        "act": [Act.CONFIG.number, Act.LINK.number, Act.MOUNT.number],
        "granted": [0],
        "prot": [0],
        "mapped": [0],
        "jit": [0],
        "raises": [0],
        "covered": [0],
        "guarded": [0, *map(int, GuardedClass), 5, HUGE],
        "placed": [0, 1, HUGE],
        "observed": [0, 2, 1 << 16, 1 << 21, 1 << 22, 1 << 23, HUGE],
    }
    unlocking: dict[str, list[int]] = {
        "act": values["act"],
        "privileged": [1],
        "digest": values["digest"],
        "granted": [0, 9],
        "prot": [6],
        "raises": [0, 1],
        "revoked": [0, 1],
        "guarded": [1],
        "observed": [0, 1 << 4],
        "unlocked": [*(flag.value for flag in Unlocked), 1, 256, HUGE & ~128],
        "trust": [0, 1],
    }
    for chosen in (values, memory, mapping, starting, guarding, unlocking):
        for combination in itertools.product(*chosen.values()):
            yield Facts(**dict(zip(chosen, combination, strict=True)))


def test_python_and_c_decide_alike(in_c: Path) -> None:
    questions = list(every_combination())
    assert len(questions) > 200_000
    answers = zip(questions, ask_c(in_c, questions), strict=True)
    assert [facts for facts, answer in answers if ask_python(facts) != answer] == []


def test_python_and_c_enforce_alike(in_c: Path) -> None:
    """Every state, also unknown ones, with every reason (its first vector stands for it)."""
    first = {vector.reason: vector.facts for vector in reversed(VECTORS)}
    questions = [
        replace(facts, state=state)
        for facts in first.values()
        for state in (*range(len(State)), 4, HUGE)
    ]
    assert [ask_python(facts) for facts in questions] == ask_c(in_c, questions)


def test_the_numbers_are_those_of_the_header(tmp_path: Path) -> None:
    names = {
        **{f"VERITY_ACT_{act.name}": act.number for act in Act},
        **{f"VERITY_DIGEST_{state.name}": state.value for state in DigestState},
        **{f"VERITY_PROT_{flag.name}": flag.value for flag in Prot},
        **{f"VERITY_MAPPED_{flag.name}": flag.value for flag in Mapped},
        **{f"VERITY_STATE_{state.name}": state.number for state in State},
        **{f"VERITY_{reason.name}": reason.number for reason in Reason},
        **{f"VERITY_CLASS_{one.name}": one.value for one in GuardedClass},
        **{f"VERITY_UNLOCKED_{flag.name}": flag.value for flag in Unlocked},
        "VERITY_REASONS": len(Reason),
    }
    checks = "\n".join(f'_Static_assert({n} == {v}u, "{n}");' for n, v in names.items())
    source = tmp_path / "numbers.c"
    source.write_text(f'#include "decide.h"\n{checks}\n')
    done = subprocess.run(
        ["cc", "-std=c11", "-fsyntax-only", "-I", GATE, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_reason_is_its_name_and_number() -> None:
    assert [reason.number for reason in Reason] == list(range(30))
    assert str(Reason.NOT_GRANTED) == "not-granted"
    assert [reason for reason in Reason if reason.allow] == [Reason.ALLOW]
