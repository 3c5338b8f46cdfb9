# SPDX-License-Identifier: Apache-2.0
"""What one append to the ledger has to do with the TPM's counter, under the ledger's lock.

The lines are durable with the next number first, then the TPM counts: a crash between the two
leaves the ledger one ahead, and the next append counts that one, too. The ledger is never in the
way, and nor is this: where the TPM doesn't answer the lines have no number, and that is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from verity.formats.ledger import Entry
from verity.ports.tpm_counter import TpmCounter
from verity.values.errors import HostError


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The number of the lines to come, None for none; what must be written down before them, since
    the new number would cover it up; and what is to be told."""

    number: int | None = None
    found: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def numbered(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries with that number."""
        if self.number is None:
            return list(entries)
        more = {"counter": self.number}
        return [replace(entry, numbers={**entry.numbers, **more}) for entry in entries]


def begin(counter: TpmCounter | None, last: int | None) -> Turn:
    """Ask the TPM; ``last`` is the last number in the ledger.

    1. No counter there: nothing counts, unless it did.
    2. One that never counted: it begins.
    3. A ledger that is one ahead: its writer was killed. The TPM counts that one now.
    4. Anything else but the same number is written down.
    """
    if counter is None:
        return Turn()
    try:
        # 1. None.
        value = counter.read()
        if value is None:
            return Turn(notes=() if last is None else (lost(last),))
        found: tuple[str, ...] = ()
        if value == 0:
            # 2. A new one.
            counter.increment()
            value = counter.read() or 0
            found = () if last is None else (lost(last),)
        elif last is not None and value == last - 1:
            # 3. One ahead.
            counter.increment()
            value = last
        elif value != last:
            # 4. Another ledger than the TPM counted.
            found = (differs(value, last),)
    except HostError as error:
        return Turn(notes=() if last is None else (_unanswered(error),))
    return Turn(number=value + 1, found=found)


def end(counter: TpmCounter | None, turn: Turn) -> tuple[str, ...]:
    """Count, once the lines are on the disk; what is to be told."""
    if counter is None or turn.number is None:
        return turn.notes
    try:
        counter.increment()
    except HostError as error:
        return (*turn.notes, f"the TPM has not counted this ({error.message}): the next entry will")
    return turn.notes


def lost(last: int) -> str:
    """The ledger was counted, and the TPM has no counter."""
    return (
        f"its last number is {last}, and the TPM has no counter: it was cleared, or this is another"
        " machine"
    )


def differs(value: int, last: int | None) -> str:
    """The TPM has counted up to ``value``, and this is no ledger that it counted last."""
    if last is None:
        return (
            f"the TPM counts {value} entries, and none here has a number: it was rolled back to"
            " before the counter, or begun anew"
        )
    if value > last:
        return f"the TPM counts {value}, and its last number is {last}: it was rolled back, or cut"
    return f"the TPM counts {value}, and its last number is {last}: this is another machine's"


def _unanswered(error: HostError) -> str:
    return f"the TPM can't count this ({error.message}): if it is cut off again, nobody will see"
