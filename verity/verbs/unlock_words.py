# SPDX-License-Identifier: Apache-2.0
"""Unlocks in plain words: for status, journal and who logs in. Pure."""

from verity.formats.durations import lasting
from verity.formats.gate_unlocks import TakenUnlock
from verity.formats.unlock import Scope, UnlockToken
from verity.formats.unlock_request import operand_text, scope_name
from verity.verbs.unlock_host import UnlockHost


def what(scope: Scope, operand: bytes) -> str:
    """A scope and its operand."""
    return f"{scope_name(scope)} {operand_text(scope, operand)}" if operand else scope_name(scope)


def left(one: TakenUnlock, now_s: int) -> int:
    """How many seconds it has left."""
    return max(0, one.until_s - now_s)


def granted(host: UnlockHost, token: UnlockToken) -> str:
    """What a token that was taken has opened."""
    until = host.clock_s + token.duration_s
    for one in host.gate.unlocks:
        if one.token_id == token.token_id:
            until = one.until_s
    return (
        f"UNLOCKED: {what(token.scope, token.operand)}, for {lasting(until - host.clock_s)}"
        f" (token {token.token_id.hex()})"
    )


def motd(host: UnlockHost) -> str:
    """What who logs in reads; empty if nothing is unlocked."""
    lines = [
        f"*** verity: this host is UNLOCKED: {what(one.scope, one.operand)}, until second"
        f" {one.until_s} of this boot (in {lasting(left(one, host.clock_s))})"
        for one in host.live
    ]
    return "".join(f"{line}\n" for line in lines) + (
        "*** `verity unlock status` shows the time left, `verity unlock relock` ends it\n"
        if lines
        else ""
    )
