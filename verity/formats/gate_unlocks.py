# SPDX-License-Identifier: Apache-2.0
"""What the gate's status says of unlocks: the tokens that this boot has taken, and drills.

Values only. The lines are read by ``verity.formats.gate_status``, which has each field in its form
here as text; what a token was signed for is in ``verity.formats.unlock``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from verity.formats.gate_lines import unescaped
from verity.formats.unlock import Scope
from verity.values.errors import ContentError

MAX_USED = 256
"""VERITY_UNLOCKS of policy/gate/verity.h: tokens that one boot takes."""
MAX_OWNERS = 8

_DIGEST = re.compile(r"[0-9a-f]{64}")

SCOPES = {scope.name.lower().replace("_", "-"): scope for scope in Scope}


class UnlockState(StrEnum):
    """What became of a token that was taken."""

    LIVE = "live"
    EXPIRED = "expired"
    RELOCKED = "relocked"


@dataclass(frozen=True, kw_only=True)
class TakenUnlock:
    """A token that this boot has taken; times are seconds of the boot clock.

    ``owners`` are the numbers of those who signed, in the `keys` of the user's role unlock.
    ``until_s`` is when it ends, or ended. ``operand`` is a digest, a path, or empty, by the scope.
    """

    token_id: bytes
    scope: Scope
    owners: frozenset[int]
    applied_s: int
    until_s: int
    state: UnlockState
    reason: bytes
    operand: bytes


@dataclass(frozen=True, kw_only=True)
class Drill:
    """A token that was verified and used up, and opened nothing."""

    token_id: bytes
    at_s: int


def of_fields(fields: Sequence[int | str]) -> TakenUnlock:
    """A token from the fields of its line. ContentError where the operand isn't the scope's."""
    token_id, scope, owners, applied, until, state, reason, operand = fields
    return TakenUnlock(
        token_id=bytes.fromhex(str(token_id)),
        scope=SCOPES[str(scope)],
        owners=frozenset(n for n in range(MAX_OWNERS) if int(owners) >> n & 1),
        applied_s=int(applied),
        until_s=int(until),
        state=UnlockState(str(state)),
        reason=bytes.fromhex(str(reason)),
        operand=_operand(str(scope), str(operand)),
    )


def _operand(scope: str, text: str) -> bytes:
    if text in ("-", ""):
        return b""
    if scope == "digest":
        if not _DIGEST.fullmatch(text):
            raise ContentError("bad-gate-status", "gate status: unlock: the operand is no digest")
        return bytes.fromhex(text)
    return unescaped(text.encode(), "operand")
