# SPDX-License-Identifier: Apache-2.0
"""Unlocks of this boot and of the ones before, and whether their ledger is whole: part of the area
posture.

The gate is believed for its own boot, the ledger for what came before; a ledger that was put back
together with its head is seen where a TPM counts (docs/threat-model.md). A line counts as written
no earlier than those before it, so that a clock that was set back makes no unlock an old one.
"""

from verity.formats import durations
from verity.formats.escaped import one_line
from verity.formats.gate_status import GateStatus
from verity.formats.gate_unlocks import TakenUnlock, UnlockState
from verity.formats.ledger import Chain, Entry, Event
from verity.formats.statement import format_time
from verity.ports import places
from verity.values.errors import VerityError
from verity.verbs import ledger_compared, unlock_words
from verity.verbs.audit_host import AuditedHost
from verity.verbs.audit_said import Said
from verity.verbs.ledger_compared import Compared

DAYS = 30
_REVIEW = "`verity unlock review` lists what ran and changed; keep it by signing it, or undo it"


def examine(host: AuditedHost, gate: GateStatus | None, said: Said) -> None:
    """All that concerns it; ``gate`` is None where none is loaded or believed."""
    if gate is not None:
        for one in gate.unlocks:
            _taken(one, gate, said)
    elif not any(gap.check == "posture-gate" for gap in said.gaps):
        said.not_applicable["posture-unlock"] = "no gate is loaded, so nothing is locked"
    else:
        said.lacks("posture-unlock", "the gate", "what it says of itself can't be had")
    try:
        found = ledger_compared.look(host.root)
    except VerityError as error:
        for check in ("posture-unlock-ledger", "posture-unlock-before"):
            said.lacks(check, str(places.LEDGER), error.message, error.hint)
        return
    _chain(found, gate, said)
    chain = found.chain
    boot = "" if gate is None else gate.boot_nonce.hex()
    latest = 0
    for entry in chain.entries:
        latest = max(latest, entry.at)
        is_recent = latest > host.now - DAYS * 86400
        if (
            entry.boot != boot
            and is_recent
            and (entry.event is Event.GRANT or _is_open(entry, chain))
        ):
            _before(entry, chain, said)


def _taken(one: TakenUnlock, gate: GateStatus, said: Said) -> None:
    is_live = one.state is UnlockState.LIVE
    left = durations.lasting(unlock_words.left(one, gate.boot_clock_s))
    said.finds(
        "posture-unlock",
        f"unlock {one.token_id.hex()}",
        "is open now" if is_live else "was open in this boot",
        expected="nothing unlocked",
        found=f"{unlock_words.what(one.scope, one.operand)}, from second {one.applied_s} to"
        f" {one.until_s} of this boot" + (f", {left} left" if is_live else f", {one.state}"),
        remedy=f"`verity unlock relock`; {_REVIEW}" if is_live else _REVIEW,
    )


def _chain(compared: Compared, gate: GateStatus | None, said: Said) -> None:
    chain = compared.chain
    for problem in compared.problems:
        said.finds(
            "posture-unlock-ledger",
            str(places.LEDGER),
            one_line(problem),
            expected="every line as it was written, and none missing",
            found="a ledger that was changed",
            remedy="find out who wrote to it; `verity unlock ledger verify` shows all of it",
        )
    if compared.gap is not None:
        said.lacks("posture-unlock-ledger", "the TPM", compared.gap.message, compared.gap.hint)
    if gate is None:
        return
    boot = gate.boot_nonce.hex()
    known = {one.token for one in chain.entries if one.event is Event.GRANT and one.boot == boot}
    lacking = [one for one in gate.unlocks if one.token_id.hex() not in known]
    if lacking:
        said.finds(
            "posture-unlock-ledger",
            str(places.LEDGER),
            f"it lacks {len(lacking)} unlocks of this boot, the first {lacking[0].token_id.hex()}",
            expected="a line for each token that the gate has taken",
            found="none: the ledger could not be written, or was taken away",
            remedy="`verity unlock status`, as root, adds them",
        )


def _is_open(entry: Entry, chain: Chain) -> bool:
    """Whether it is the last word on a token: the power went before what came of it was written."""
    if entry.event is not Event.APPLY or not entry.numbers.get("duration_s"):
        return False
    about = [one for one in chain.entries if (one.boot, one.token) == (entry.boot, entry.token)]
    return all(one.event is Event.APPLY for one in about)


def _before(entry: Entry, chain: Chain, said: Said) -> None:
    ends = [
        one
        for one in chain.entries
        if one.event is Event.END and (one.boot, one.token) == (entry.boot, entry.token)
    ]
    what = " ".join(filter(None, (entry.texts.get("scope"), entry.texts.get("operand"))))
    was = "was open" if entry.event is Event.GRANT else "was applied, and may have been open,"
    said.finds(
        "posture-unlock-before",
        f"unlock {entry.token}",
        f"{was} in an earlier boot, at {format_time(entry.at)}",
        expected=f"no unlock in the last {DAYS} days",
        found=one_line(f"{what}; ended: {ends[0].texts.get('why', '') if ends else 'not known'}"),
        remedy=f"nothing, if you know of it; this is told for {DAYS} days",
    )
