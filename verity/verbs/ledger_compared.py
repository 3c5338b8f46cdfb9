# SPDX-License-Identifier: Apache-2.0
"""The ledger of unlocks, held against its heads and against this machine's TPM. Nothing is written.

A ledger that is one ahead of the TPM is whole: its writer was killed before the TPM counted.
What can't be compared is a gap and never good: a TPM that doesn't answer, another host's ledger.
"""

from dataclasses import dataclass
from pathlib import Path

from verity.formats.ledger import Chain
from verity.ports import ledger, ledger_turn, tpm_counter
from verity.ports.tpm_counter import TpmCounter
from verity.values.errors import HostError

_ATTEMPTS = 3
_OTHER = "the number is one of its own TPM, and this machine's is another"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What is in it, all that is wrong with it, and whether a TPM was asked.

    ``value`` is what the TPM counts, where that says that no older ledger was put in its place.
    """

    chain: Chain
    problems: tuple[str, ...]
    gap: HostError | None = None
    value: int | None = None


def look(root: Path) -> Compared:
    """Read it. While others append, it is looked at again."""
    counter = tpm_counter.of(root)
    value = _value(counter)
    for _ in range(_ATTEMPTS):
        before, chain = value, ledger.read(root)
        value = _value(counter)
        if isinstance(value, HostError) or value == before:
            break
    return compare(chain, value)


def compare(chain: Chain, value: int | HostError | None) -> Compared:
    """By the value of the counter: None where the TPM has none, 0 where it never counted.

    1. What is not counted and has no counter is compared with nothing.
    2. A TPM that doesn't answer leaves what is counted open.
    3. The same number, or the ledger one ahead, is good.
    """
    last = chain.counter
    # 1. Not counted.
    if last is None and (isinstance(value, HostError) or not value):
        return Compared(chain=chain, problems=chain.problems)
    # 2. No answer.
    if isinstance(value, HostError):
        return Compared(chain=chain, problems=chain.problems, gap=value)
    # 3. The number.
    if last is not None and value in (last, last - 1) and value:
        return Compared(chain=chain, problems=chain.problems, value=value)
    found = ledger_turn.differs(value, last) if value else ledger_turn.lost(last or 0)
    return Compared(chain=chain, problems=(*chain.problems, found))


def _value(counter: TpmCounter | None) -> int | HostError | None:
    if counter is None:
        return HostError("other-host", _OTHER, hint="run it there, on that host")
    try:
        return counter.read()
    except HostError as error:
        return error
