# SPDX-License-Identifier: Apache-2.0
"""Each attack with its controls; what they are stands in attack.py, the attacks in rows/."""

from __future__ import annotations

import pytest

from tests.vm import Machine

from .attack import USER, Attack, attempt
from .rows import ROWS


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_without_the_gate_it_succeeds(off: Machine, row: Attack) -> None:
    outcome = attempt(off, row)
    assert outcome.succeeded, outcome


@pytest.mark.parametrize("row", [row for row in ROWS if row.ordinary and not row.by], ids=str)
def test_without_the_gate_an_ordinary_user_can(off: Machine, row: Attack) -> None:
    outcome = attempt(off, row, user=USER)
    assert outcome.succeeded, outcome


@pytest.mark.parametrize("row", [row.control for row in ROWS if row.control], ids=str)
def test_without_the_gate_the_signed_file_does_the_same(off: Machine, row: Attack) -> None:
    outcome = attempt(off, row)
    assert outcome.succeeded, outcome
