# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/formats.md that are about asking for an unlock, and about its ledger."""

from tests.unit.formats.doc_examples import CHALLENGE, ISSUED, REASON
from verity.formats import challenge, ledger, unlock_request
from verity.formats.unlock import Scope


def request() -> bytes:
    """The same, as its host asks for it."""
    return unlock_request.encode(
        unlock_request.Request(
            challenge=challenge.parse(CHALLENGE.encode()),
            host_name="db7",
            level="B0",
            scope=Scope.PATH_PREFIX,
            operand=b"/opt/rescue",
            duration_s=1800,
            reason=REASON,
        )
    )


def ledger_line() -> bytes:
    """The first line of a ledger: that it was asked for."""
    entry = ledger.Entry(
        event=ledger.Event.CHALLENGE,
        at=ISSUED,
        boot="5a" * 32,
        clock_s=900,
        texts={"scope": "path-prefix", "operand": "/opt/rescue", "reason": REASON},
        numbers={"duration_s": 1800},
    )
    return ledger.line(entry, ledger.Head())
