# SPDX-License-Identifier: Apache-2.0
"""Which of many points a run takes: three in the short tier, others each day; all in the long one.

The number is the test's name, so a failure is repeated by it: `-m "full or not full" -k NUMBER`.
"""

import time

import pytest

_DAY_S = 86400
IN_THE_SHORT_TIER = 3


def points(count: int) -> list[object]:
    """The parameters 0 to count - 1."""
    today = int(time.time()) // _DAY_S
    step = count // IN_THE_SHORT_TIER
    chosen = {(today + number * step) % count for number in range(IN_THE_SHORT_TIER)}
    return [
        number if number in chosen else pytest.param(number, marks=pytest.mark.full)
        for number in range(count)
    ]
