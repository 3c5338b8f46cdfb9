# SPDX-License-Identifier: Apache-2.0
"""Which of many points a run takes: few in the short tier, others each day; all in the long one.

The number is the test's name, so a failure is repeated by it: `-m "full or not full" -k NUMBER`.
"""

import pytest

from tests.daily import today


def points(count: int, *, short: int) -> list[object]:
    """The parameters 0 to count - 1, of which the short tier takes so many."""
    step = count // short
    chosen = {(today() + number * step) % count for number in range(short)}
    return [
        number if number in chosen else pytest.param(number, marks=pytest.mark.full)
        for number in range(count)
    ]
