# SPDX-License-Identifier: Apache-2.0
"""The refusals are those of policy/gate/verity.h, each with words of its own."""

import re
from pathlib import Path

import pytest

from verity.formats import gate_calls
from verity.formats.gate_calls import Refusal
from verity.formats.gate_status import Act, Reason
from verity.values.errors import ContentError, HostError

GATE = Path(__file__).parents[3] / "policy" / "gate"
NUMBER = r"^#define VERITY_{}([A-Z_]+) (\d+)u?\b"


def numbers(header: str, prefix: str) -> dict[str, int]:
    text = (GATE / header).read_text(encoding="ascii")
    return {
        name: int(value) for name, value in re.findall(NUMBER.format(prefix), text, re.MULTILINE)
    }


def test_numbers_and_names() -> None:
    header = numbers("verity.h", "REFUSED_")
    bounds = {"FIRST": gate_calls.FIRST, "LAST": gate_calls.LAST}
    assert {**bounds, **{one.name: one.number for one in Refusal}} == header
    assert numbers("verity.h", "")["ACCEPTED"] == gate_calls.ACCEPTED


def test_reasons_are_those_of_the_gate() -> None:
    text = (GATE / "decide.h").read_text(encoding="ascii").partition("VERITY_STATE_BOOT")[2]
    found = dict(re.findall(r"^#define VERITY_([A-Z_]+) (\d+)u", text, re.MULTILINE))
    assert int(found.pop("REASONS")) == len(Reason)
    assert {one.name: str(number) for number, one in enumerate(Reason)} == found


def test_acts_are_those_of_the_gate() -> None:
    assert {one.name: number for number, one in enumerate(Act, 1)} == numbers("decide.h", "ACT_")


@pytest.mark.parametrize("one", Refusal)
def test_words(one: Refusal) -> None:
    error = gate_calls.refusal(one.number, "f: blob 1 (grants)")
    assert error.code == f"gate-{one.word}"
    assert error.message == f"f: blob 1 (grants): the gate refuses it ({one.word}): {one.says}"
    assert error.hint == one.hint
    for text in (one.says, one.hint):
        assert text and text[0] not in " ABCDEFGHIJKLMNOPQRSTUVWXYZ" and not text.endswith(".")
        assert "\n" not in text and "  " not in text


def test_no_two_say_the_same() -> None:
    assert len({one.says for one in Refusal}) == len(Refusal)


@pytest.mark.parametrize(
    ("number", "family"),
    [(3001, HostError), (3004, HostError), (3010, ContentError), (3032, ContentError)],
)
def test_families(number: int, family: type[Exception]) -> None:
    assert type(gate_calls.refusal(number, "f")) is family


def test_a_number_of_a_newer_gate_is_a_refusal() -> None:
    error = gate_calls.refusal(3077, "f")
    assert (error.code, error.exit_status) == ("gate-refused", 1)
    assert "3077" in error.message
