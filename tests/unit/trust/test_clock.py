# SPDX-License-Identifier: Apache-2.0
"""The time that a host can know: a clock that is set, set back, or was never set."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from verity.trust import clock
from verity.trust.clock import RELEASED, TOLERANCE

NOW = RELEASED + 1_000_000
FAR = NOW + 10 * 365 * 86400


@pytest.mark.parametrize(
    ("now", "issued", "known"),
    [
        (NOW, [NOW - 9], NOW),
        (NOW, [], NOW),
        # A signer's clock that goes a little faster is believed, one that is far ahead isn't.
        (NOW, [NOW + TOLERANCE], NOW + TOLERANCE),
        (NOW, [NOW + TOLERANCE + 1], NOW),
        (NOW, [FAR, NOW + 7], NOW + 7),
        # A clock that was never set says nothing against any.
        (0, [NOW], NOW),
        (0, [FAR], FAR),
        (0, [], RELEASED),
        (RELEASED - 1, [FAR], FAR),
        (RELEASED, [FAR], RELEASED),
    ],
)
def test_the_newest_time_that_is_known(now: int, issued: list[int], known: int) -> None:
    assert clock.reference(now, issued) == known


def test_what_contradicts_a_clock() -> None:
    assert clock.is_ahead(NOW + TOLERANCE + 1, NOW)
    assert not clock.is_ahead(NOW + TOLERANCE, NOW)
    assert not clock.is_ahead(FAR, 0)
    # Set back, but not to before the release: what is known contradicts it, so it is found.
    assert clock.is_ahead(NOW, RELEASED)


def test_the_documents_say_the_same_time() -> None:
    text = datetime.fromtimestamp(RELEASED, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    (found,) = re.findall(r"RELEASED`? \((\S+)\)", Path("docs/adr/0025-time.md").read_text())
    assert found == text
