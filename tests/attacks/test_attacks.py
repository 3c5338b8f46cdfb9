# SPDX-License-Identifier: Apache-2.0
"""Each attack with its controls; what they are stands in attack.py, the attacks in rows/."""

from __future__ import annotations

import pytest

from tests.vm import Machine

from .attack import USER, Attack, attempt
from .rows import ROWS, WORKING
from .table import Record, record

ORDINARY = [row for row in ROWS if row.ordinary and not row.by]
CONTROLS = [row.control for row in ROWS if row.control]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_without_the_gate_it_succeeds(off: Machine, row: Attack, record_property: Record) -> None:
    outcome = attempt(off, row)
    record(record_property, "off", outcome)
    assert outcome.succeeded, outcome


@pytest.mark.full
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_observed_it_succeeds_and_is_written_down(
    observing: Machine, row: Attack, record_property: Record
) -> None:
    outcome = attempt(observing, row)
    record(record_property, "observe", outcome)
    assert outcome.succeeded, outcome
    assert row.reason in {one.reason for one in outcome.logged}, outcome
    assert not any(one.enforced for one in outcome.logged), outcome


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_sealed_it_is_refused_for_its_reason(
    sealed: Machine, row: Attack, record_property: Record
) -> None:
    outcome = attempt(sealed, row)
    record(record_property, "sealed", outcome)
    assert not outcome.succeeded, outcome
    assert row.reason in {one.reason for one in outcome.denied}, outcome


@pytest.mark.parametrize("row", CONTROLS, ids=str)
def test_sealed_the_signed_file_does_the_same(sealed: Machine, row: Attack) -> None:
    outcome = attempt(sealed, row)
    assert outcome.succeeded, outcome
    assert not outcome.denied, outcome


@pytest.mark.parametrize("row", ORDINARY, ids=str)
def test_sealed_an_ordinary_user_can(sealed: Machine, row: Attack, record_property: Record) -> None:
    outcome = attempt(sealed, row, user=USER)
    record(record_property, "user", outcome)
    assert outcome.succeeded, outcome
    assert not outcome.denied, outcome


@pytest.mark.parametrize("row", WORKING, ids=str)
def test_sealed_what_must_keep_working_does(sealed: Machine, row: Attack) -> None:
    outcome = attempt(sealed, row)
    assert outcome.succeeded, outcome
    assert not outcome.denied, outcome
