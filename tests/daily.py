# SPDX-License-Identifier: Apache-2.0
"""Tests of which the short tier takes a part each day, another the next; the long one all.

Some rows of a table (`some`), or a whole test or file by turns with others (`in_turn`), for what
takes minutes by itself.
"""

import time
from collections.abc import Iterable

import pytest

_DAY_S = 86400


def today() -> int:
    """The number of the day, since 1970."""
    return int(time.time()) // _DAY_S


def is_due(index: int, *, one_in: int) -> bool:
    """Whether the test of this number is of today's part."""
    return (index + today()) % one_in == 0


def in_turn(index: int, *, one_in: int) -> pytest.MarkDecorator:
    """A mark for a test or a file, which the short tier takes on one day in so many."""
    return pytest.mark.today if is_due(index, one_in=one_in) else pytest.mark.full


def some(names: Iterable[str], *, one_in: int) -> list[object]:
    """Parameters, all but today's of which are for the long tier."""
    return [
        name if is_due(index, one_in=one_in) else pytest.param(name, marks=pytest.mark.full)
        for index, name in enumerate(names)
    ]
