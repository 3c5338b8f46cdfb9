# SPDX-License-Identifier: Apache-2.0
"""unlock ledger counter: from now on this machine's TPM counts what the ledger gets.

It needs no gate, and no lock is opened or closed by it. What fails leaves neither half: a counter
that was made for a line that can't be written goes again. There is no way to end it here.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from verity.formats.ledger import Entry, Event
from verity.ports import ledger
from verity.ports.tpm_counter import TpmCounter
from verity.values.errors import HostError, VerityError
from verity.verbs import gate_view

_ROOT = Path("/")


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What the TPM counts now, and whether it did before."""

    value: int
    before: bool


def begin(now: int) -> Begun:
    """Have it count. HostError where there is no TPM that can.

    1. A ledger that is counted already stays as it is.
    2. Make the counter, unless it is there.
    3. The ledger says so, with the first number.
    """
    counter = TpmCounter()
    # 1. Already.
    chain, value = ledger.read(_ROOT), counter.read()
    if chain.counter is not None and value:
        return Begun(value=value, before=True)
    gate = gate_view.status(_ROOT)
    entry = Entry(
        event=Event.COUNTER,
        at=now,
        boot="" if gate is None else gate.boot_nonce.hex(),
        clock_s=0 if gate is None else gate.boot_clock_s,
    )
    # 2. Make it.
    if value is None:
        counter.define()
    # 3. The line.
    try:
        notes = ledger.append(_ROOT, [entry], counter)
    except VerityError:
        if value is None:
            with contextlib.suppress(HostError):
                counter.undefine()
        raise
    if notes:
        raise HostError("tpm-failed", notes[0], hint="run it again when the TPM answers")
    return Begun(value=counter.read() or 0, before=False)
