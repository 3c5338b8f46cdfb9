# SPDX-License-Identifier: Apache-2.0
"""Look after look at the gate's denials: what is new, in order, and what is lost in between.

The gate needs no reader, and has no descriptor that one could wait on: it keeps a ring, and who
wants to follow looks often enough (ADR 36). This is a pure comparison of what one look gave with
how far the looks before it came. Rules:

1. Denials come out by number, each once.
2. A number that is missing below one that is there is waited for, for ``PATIENCE`` looks: the gate
   gives numbers before it writes records. One that the ring has no place for any more is lost.
3. Numbers that went back are of another gate (``verity.ports.gate_files.mark`` tells, too).

It reads nothing and has no clock: how often to look is the caller's affair.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from verity.formats.gate_status import RING, Denial

PATIENCE = 3


@dataclass(frozen=True, kw_only=True)
class Lost:
    """Denials of these numbers, both included, that nobody can read any more."""

    first: int
    last: int

    @property
    def number(self) -> int:
        """How many."""
        return self.last - self.first + 1


class Watch:
    """How far the looks at one gate came: the number of the last denial that was told or lost."""

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self._seen = 0
        self._waited = 0
        self.is_waiting = False
        """Whether the last look ended at a number that may still come."""

    def is_behind(self, known: Sequence[Denial]) -> bool:
        """Whether this is the log of a gate that has not come as far as the one before."""
        return max((one.seq for one in known), default=0) < self._seen

    def look(self, known: Sequence[Denial]) -> Iterator[Denial | Lost]:
        """What is new since the look before; ``last`` follows each that is taken."""
        newer = [one for one in known if one.seq > self.last]
        top = max((one.seq for one in newer), default=0)
        self.is_waiting = False
        self._seen = max(self._seen, top)
        self._waited += 1
        for denial in newer:
            before = denial.seq - 1
            if before > self.last:
                self.is_waiting = before > top - RING and self._waited < PATIENCE
                if self.is_waiting:
                    return
                yield from self._reach(Lost(first=self.last + 1, last=before))
            yield from self._reach(denial)
        self._waited = 0

    def _reach(self, item: Denial | Lost) -> Iterator[Denial | Lost]:
        # Before the caller has it: whoever stops in the middle has been told this one.
        self.last = item.seq if isinstance(item, Denial) else item.last
        self._waited = 0
        yield item
