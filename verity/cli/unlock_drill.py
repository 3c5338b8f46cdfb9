# SPDX-License-Identifier: Apache-2.0
"""verity unlock drill: a challenge for a token that changes nothing."""

import time
from pathlib import Path

import click

from verity.cli import output, unlock_challenge, unlock_options
from verity.formats.unlock import Scope
from verity.verbs import unlock_challenge as making
from verity.verbs import unlock_host

_REASON = "drill"


@click.command(epilog="Example: verity unlock drill --output drill.challenge")
@unlock_options.challenge_options
@output.json_option
def drill(root: Path, target: Path | None, qr: bool, as_json: bool) -> int:
    """Practise the whole way, with a token that changes nothing.

    It prints a challenge. Have it signed as in an emergency, by `verity unlock sign`, and bring the
    token back to `verity unlock apply`: the gate verifies it and uses it up, nothing is opened, and
    the ledger says that it was practised. `verity unlock status` shows when last.
    """
    host = unlock_host.look(root, int(time.time()))
    request = making.make(
        host,
        scope=Scope.SESSION,
        operand=b"",
        duration_s=0,
        reason=_REASON,
        level=unlock_challenge.level(host),
    )
    unlock_challenge.give(host, request, target, qr=qr, as_json=as_json)
    return 0
