# SPDX-License-Identifier: Apache-2.0
"""What time it is, as far as a host can know: its clock, held against what was signed and when.

A clock may be set back, so that what has expired counts again; and who signs may, by mistake or
with a stolen key, write a time far ahead, so that everything seems to have expired. Rules (ADR 25):

* A clock before ``RELEASED`` was never set. Then documents alone say what time it is, whatever
  they say: that is how a host without a battery sees that something has expired.
* A clock that was set is contradicted by a document that was issued more than ``TOLERANCE`` after
  it. One of the two is wrong and nothing here can tell which: such a document moves no time and is
  not accepted. That lasts until the clock is right or the document is replaced, so neither mistake
  is for ever.

It reads no clock.
"""

from collections.abc import Iterable

RELEASED = 1_793_491_200
"""2026-11-01T00:00:00Z: no clock that is right shows an earlier time to this program."""
TOLERANCE = 86400
"""A signer's clock and a host's differ by a zone that was set wrong, not by more."""


def is_set(clock: int) -> bool:
    """Whether a clock (seconds since 1970) shows a time that can be right."""
    return clock >= RELEASED


def is_ahead(issued: int, clock: int) -> bool:
    """Whether a document and a clock that was set contradict each other."""
    return is_set(clock) and issued > clock + TOLERANCE


def reference(clock: int, issued: Iterable[int]) -> int:
    """The newest time that is known from a clock and from when documents were issued."""
    return max([clock, RELEASED, *(one for one in issued if not is_ahead(one, clock))])
