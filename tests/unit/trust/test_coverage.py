# SPDX-License-Identifier: Apache-2.0
"""What is said to be stopped: by state, version and policy, and held against the attack suite."""

import dataclasses
import re
from pathlib import Path

import pytest

from tests.attacks.rows import ROWS, itself
from tests.unit.formats.test_gate_status import STATUS
from verity.formats.gate_status import GateStatus, Reason, State, parse_status
from verity.trust import coverage, coverage_others
from verity.trust.coverage import ATTACKS, GATE, Cover, Stance

VERSION = int(
    re.findall(r"#define VERITY_GATE_VERSION (\d+)", Path("policy/gate/verity.h").read_text())[0]
)
SUITE = (
    *ROWS,
    *itself.OBJECTS,
    *itself.PINS,
    *itself.KEYS,
    *itself.FOREIGN,
    *itself.FTRACE,
    itself.LOCKDOWN,
)
# Lines whose attacks are no commands of a table: where they are made instead.
ELSEWHERE = {
    11: "tests/vm/test_gate_decide.py",
    12: "tests/vm/test_gate_decide.py",
    20: "tests/cli/test_etc.py",
    24: "tests/vm/test_gate_denials.py",
    25: "tests/vm/test_gate_documents.py",
}


def status(state: State = State.SEALED, version: int = VERSION, *observes: Reason) -> GateStatus:
    whole = parse_status(STATUS)
    return dataclasses.replace(whole, state=state, version=version, observes=frozenset(observes))


def of(covers: tuple[Cover, ...]) -> dict[int, Cover]:
    return {one.number: one for one in covers}


def stances(covers: tuple[Cover, ...]) -> dict[str, str]:
    return {
        stance.value: coverage.ranges(numbers)
        for stance, numbers in coverage.by_stance(covers).items()
    }


def held() -> list[int]:
    covers = coverage.gate(status())
    return [one.number for one in covers if one.stance in (Stance.STOPPED, Stance.PARTLY)]


def test_every_attack_of_the_list_is_there() -> None:
    assert list(ATTACKS) == list(range(1, 28))
    assert GATE.keys() <= ATTACKS.keys()


@pytest.mark.parametrize("number", held())
def test_what_is_held_has_attacks_in_the_suite(number: int) -> None:
    rows = [row for row in SUITE if row.group == number]
    assert rows or "\ndef test_" in Path(ELSEWHERE[number]).read_text()


@pytest.mark.parametrize("row", SUITE, ids=str)
def test_no_attack_of_the_suite_says_otherwise(row: object) -> None:
    group, reason = getattr(row, "group", 0), getattr(row, "reason", None)
    assert group in held()
    # An empty reason: what refuses it is the kernel itself.
    assert reason == "" or reason in (*GATE[group].reasons, *GATE[group].added)


def test_the_reasons_are_the_gates() -> None:
    known = {reason.value for reason in Reason}
    for number, line in GATE.items():
        if line.since <= VERSION:
            assert set(line.reasons) <= known, number
        if VERSION >= coverage.ADDED_IN:
            assert set(line.added) <= known, number


def test_sealed() -> None:
    found = of(coverage.gate(status()))
    assert {one.stance for one in found.values()} <= {
        Stance.STOPPED,
        Stance.PARTLY,
        Stance.NOT_COVERED,
    }
    assert found[1] == Cover(number=1, stance=Stance.STOPPED)
    assert "arguments" in found[12].why and found[12].stance is Stance.PARTLY
    assert found[27].stance is Stance.NOT_COVERED
    assert all(one.why for one in found.values() if one.stance is not Stance.STOPPED)


def test_an_older_gate_has_less() -> None:
    found = of(coverage.gate(status(State.SEALED, 3)))
    assert [number for number in found if "of version 4" in found[number].why] == [
        *range(16, 21),
    ]
    newer = of(coverage.gate(status(State.SEALED, 4)))
    assert newer[16].stance is Stance.STOPPED
    for number in (11, 22):
        assert (found[number].stance, newer[number].stance) == (Stance.PARTLY, Stance.STOPPED)


def test_without_a_gate_nothing_is() -> None:
    assert stances(coverage.gate(None)) == {"not-covered": "1-27"}
    assert stances(coverage.unknown("forged")) == {"unknown": "1-27"}


def test_observing_denies_only_what_protects_it() -> None:
    found = of(coverage.gate(status(State.OBSERVE)))
    assert found[1].stance is Stance.OBSERVED
    assert found[21].stance is Stance.PARTLY
    assert "unmounting its pins" in found[21].why
    assert of(coverage.gate(status(State.LOADING)))[1].stance is Stance.NOT_COVERED


def test_what_the_policy_only_observes_is_not_stopped() -> None:
    some = of(coverage.gate(status(State.SEALED, VERSION, Reason.NO_DIGEST, Reason.NOT_ELEVATED)))
    assert (some[1].stance, some[1].why) == (Stance.PARTLY, "the policy only observes no-digest")
    assert some[14].stance is Stance.OBSERVED
    assert some[13].stance is Stance.STOPPED
    assert some[9].stance is Stance.STOPPED  # the kernel's own code is never only observed


def test_a_weak_seal_stops_nothing_whole() -> None:
    found = coverage.gate(status(), locked=False)
    assert Stance.STOPPED not in {one.stance for one in found}


@pytest.mark.parametrize(
    ("numbers", "text"), [((), ""), ((3,), "3"), ((1, 2, 3, 5, 7, 8), "1-3 5 7-8")]
)
def test_ranges(numbers: tuple[int, ...], text: str) -> None:
    assert coverage.ranges(numbers) == text


def test_the_other_back_ends_stop_nothing_whole() -> None:
    for covers in (coverage_others.ima(), coverage_others.fanotify()):
        assert [one.number for one in covers] == list(ATTACKS)
        assert Stance.STOPPED not in {one.stance for one in covers}
        assert all(one.why for one in covers)
    assert {one.stance for one in coverage_others.fanotify()} == {
        Stance.OBSERVED,
        Stance.NOT_COVERED,
    }


def test_the_guide_says_the_same() -> None:
    """The columns of the table in docs/guides/backends.md, a line for one attack or several."""
    before, since = (coverage.gate(status(State.SEALED, number)) for number in (3, 4))
    others = coverage_others.ima(), coverage_others.fanotify()
    wanted = {
        number: [
            _gate_cell(before[number - 1], since[number - 1]),
            *(_cell(covers[number - 1]) for covers in others),
        ]
        for number in ATTACKS
    }
    found: dict[int, list[str]] = {}
    for line in Path("docs/guides/backends.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 5 and cells[0][:1].isdigit():
            first, _, last = cells[0].partition("-")
            found |= {number: cells[2:] for number in range(int(first), int(last or first) + 1)}
    assert found == wanted


def _cell(cover: Cover) -> str:
    return "" if cover.stance is Stance.NOT_COVERED else cover.stance.value


def _gate_cell(before: Cover, since: Cover) -> str:
    if before.stance is since.stance:
        return _cell(before)
    return ", ".join(filter(None, (_cell(before), f"from version 4 {_cell(since)}")))
