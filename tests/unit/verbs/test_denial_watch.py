# SPDX-License-Identifier: Apache-2.0
"""What is new between looks: in order, each once, and what is lost is said."""

import random
from collections.abc import Sequence

import pytest

from tests.denials import denial
from verity.formats.gate_status import RING, Denial
from verity.verbs.denial_watch import PATIENCE, Lost, Watch


def text(items: Sequence[Denial | Lost]) -> list[str]:
    return [str(one.seq) if isinstance(one, Denial) else f"{one.first}-{one.last}" for one in items]


def look(watch: Watch, *numbers: int) -> list[str]:
    return text(list(watch.look([denial(number) for number in numbers])))


def test_each_once_and_in_order() -> None:
    watch = Watch()
    assert look(watch, 1, 2, 3) == ["1", "2", "3"]
    assert look(watch, 1, 2, 3) == []
    assert look(watch, 1, 2, 3, 4) == ["4"]
    assert watch.last == 4


def test_from_a_number_on() -> None:
    assert look(Watch(2), 1, 2, 3) == ["3"]
    watch = Watch(9)
    assert look(watch, 1, 2, 3) == []
    assert not watch.is_behind([denial(3)])


def test_what_the_ring_has_no_place_for_is_lost_at_once() -> None:
    watch = Watch()
    top = RING + 10
    assert look(watch, 1, 5, *range(11, top + 1))[:4] == ["1", "2-4", "5", "6-10"]
    assert watch.last == top


def test_a_number_without_a_record_is_waited_for() -> None:
    watch = Watch()
    assert look(watch, 1, 3) == ["1"]
    assert watch.last == 1
    assert look(watch, 1, 2, 3) == ["2", "3"]


def test_and_not_for_ever() -> None:
    watch = Watch()
    seen = [look(watch, 2, 3) for _ in range(PATIENCE + 1)]
    assert seen == [[]] * (PATIENCE - 1) + [["1-1", "2", "3"], []]


def test_patience_begins_anew_with_each_hole() -> None:
    watch = Watch()
    for _ in range(PATIENCE - 1):
        assert look(watch, 2) == []
    assert look(watch, 1, 2, 4) == ["1", "2"]
    assert look(watch, 1, 2, 4) == []


def test_a_part_of_a_hole_may_be_out_of_the_ring() -> None:
    """All of it is told in one once its end can't come."""
    watch = Watch()
    assert look(watch, 1, RING + 5) == ["1"]
    for _ in range(PATIENCE - 1):
        assert look(watch, 1, RING + 5) == []
    assert look(watch, 1, RING + 5) == [f"2-{RING + 4}", str(RING + 5)]


def test_who_stops_in_the_middle_has_been_told() -> None:
    watch = Watch()
    next(watch.look([denial(1), denial(2)]))
    assert watch.last == 1
    assert look(watch, 1, 2) == ["2"]


def test_numbers_that_go_back_are_of_another_gate() -> None:
    watch = Watch()
    look(watch, 1, 2, 3)
    assert watch.is_behind([denial(1), denial(2)])
    assert watch.is_behind([])
    assert not watch.is_behind([denial(3)])


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_told_twice_and_nothing_vanishes(seed: int) -> None:
    """A gate that writes some records late, overwrites its ring and never writes a few: what is
    told or lost are all numbers, in order."""
    dice = random.Random(seed)
    watch, top = Watch(), 0
    told: list[Denial | Lost] = []
    records: dict[int, Denial] = {}
    late: list[int] = []
    for _ in range(60):
        for number in late:
            records[number] = denial(number)
        late = []
        for _ in range(dice.choice((0, 1, 3, 40, 400))):
            top += 1
            fate = dice.random()
            if fate < 0.95:
                records[top] = denial(top)
            elif fate < 0.98:
                late.append(top)
        records = {number: one for number, one in records.items() if number > top - RING}
        told += watch.look([records[number] for number in sorted(records)])
    numbers = [
        number
        for one in told
        for number in ([one.seq] if isinstance(one, Denial) else range(one.first, one.last + 1))
    ]
    assert numbers == list(range(1, watch.last + 1))
    assert watch.last >= top - RING
