# SPDX-License-Identifier: Apache-2.0
"""What the gate says of unlocks: the lines of its status that are about them, bytes -> values.

As ``gate_status``, which reads the rest (docs/formats.md, "What the gate says about itself"). A
gate without these lines has no unlock; a line that can't be one refuses all.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from verity.formats import challenge, escaped
from verity.formats.challenge import Challenge
from verity.formats.unlock import Scope
from verity.formats.unlock_request import SCOPES
from verity.values.errors import ContentError

MOST = 256
_ID = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,19}")


class Phase(StrEnum):
    """Where an unlock is."""

    LIVE = "live"
    EXPIRED = "expired"
    RELOCKED = "relocked"


@dataclass(frozen=True, kw_only=True)
class Unlock:
    """A token that this boot has taken. Times are seconds since boot; ``owners``: a bit each."""

    token_id: bytes
    scope: Scope
    owners: int
    applied_s: int
    until_s: int
    phase: Phase
    reason: bytes
    operand: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Drill:
    """A token that was taken and changed nothing."""

    token_id: bytes
    at_s: int


@dataclass(frozen=True, kw_only=True)
class Unlocks:
    """All of this boot, in the order in which they were taken. ``off``: one of them was."""

    challenge: Challenge
    used: int = 0
    unlocks: tuple[Unlock, ...] = ()
    drills: tuple[Drill, ...] = ()
    off: bool = False

    def live(self, now_s: int) -> tuple[Unlock, ...]:
        """Those that count at this second of the boot clock."""
        return tuple(one for one in self.unlocks if one.phase is Phase.LIVE and now_s < one.until_s)


def parse(data: bytes) -> Unlocks:
    """Read a status. Raises ContentError (``bad-challenge``, ``bad-gate-status``)."""
    unlocks: list[Unlock] = []
    drills: list[Drill] = []
    used, off = 0, False
    for line in data.decode("ascii", "replace").split("\n"):
        key, *fields = line.split(" ")
        if key == "unlock":
            unlocks.append(_unlock(line, fields))
        elif key == "drill":
            if len(fields) != 2 or not _ID.fullmatch(fields[0]):
                _refuse(line)
            drills.append(Drill(token_id=bytes.fromhex(fields[0]), at_s=_number(line, fields[1])))
        elif key == "unlock_used":
            used = _number(line, fields[0])
        elif line == "taint off":
            off = True
    return Unlocks(
        challenge=challenge.parse(data),
        used=used,
        unlocks=tuple(sorted(unlocks, key=lambda one: one.applied_s)),
        drills=tuple(drills),
        off=off,
    )


def _unlock(line: str, fields: list[str]) -> Unlock:
    if len(fields) != 8:
        _refuse(line)
    token_id, scope, owners, applied, until, phase, reason, operand = fields
    if (
        not _ID.fullmatch(token_id)
        or scope not in SCOPES
        or phase not in set(Phase)
        or not _DIGEST.fullmatch(reason)
    ):
        _refuse(line)
    found: bytes | None = b""
    if operand != "-":
        is_digest = SCOPES[scope] is Scope.DIGEST and _DIGEST.fullmatch(operand) is not None
        found = bytes.fromhex(operand) if is_digest else escaped.unescape(operand)
    if found is None:
        _refuse(line)
    return Unlock(
        token_id=bytes.fromhex(token_id),
        scope=SCOPES[scope],
        owners=_number(line, owners),
        applied_s=_number(line, applied),
        until_s=_number(line, until),
        phase=Phase(phase),
        reason=bytes.fromhex(reason),
        operand=found,
    )


def _number(line: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        _refuse(line)
    return int(text)


def _refuse(line: str) -> NoReturn:
    raise ContentError(
        "bad-gate-status",
        f"gate status: the line {escaped.one_line(line[:80])} is none that a gate writes",
        hint="gate and program are of one version: install them together",
    )
