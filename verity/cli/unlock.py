# SPDX-License-Identifier: Apache-2.0
"""verity unlock: the way into a sealed host, by who holds its unlock keys, without a network."""

import click

from verity.cli.lazy import LazyGroup

VERBS = {
    "apply": ("unlock_apply", "Hand a token to the gate."),
    "card": ("unlock_card", "Print what to do at 3 a.m., for this host."),
    "challenge": ("unlock_challenge", "Print what a token for this boot must name."),
    "drill": ("unlock_drill", "Practise the whole way, with a token that changes nothing."),
    "ledger": ("unlock_ledger", "Show which unlocks there were."),
    "relock": ("unlock_status", "End an unlock before its time."),
    "review": ("unlock_review", "List what ran and what changed under an unlock."),
    "sign": ("unlock_sign", "Grant what a challenge asks for."),
    "status": ("unlock_status", "Say what is unlocked, and for how long yet."),
}


@click.group(cls=LazyGroup, verbs=VERBS)
def unlock() -> None:
    """Open a sealed host, for one thing and a time.

    The host prints a challenge; who holds the unlock keys signs it, anywhere; the gate verifies the
    token by itself. It needs no network, no clock and no daemon, and ends at the next boot.
    """
