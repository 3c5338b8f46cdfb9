# SPDX-License-Identifier: Apache-2.0
"""A record of denials as an entry of the journal and as a message of audit: fields and words.

Every value that somebody else chose (names of files and programs) is escaped as in a manifest, or
as audit does it. Both forms carry the record's id, by which one that came twice is told.
"""

from verity.formats import audit_message, journal_entry
from verity.formats.denial_state import Record, RecordKind
from verity.formats.escaped import printable
from verity.formats.gate_status import Denial, Reason
from verity.verbs import denial_words
from verity.verbs.explain_denial import REASONS

RECORD = "VERITY_RECORD"
IDENTIFIER = "verity"
# Made once, for `journalctl MESSAGE_ID=...` and message catalogues.
MESSAGE_IDS = {
    RecordKind.DENIAL: "8851ce94e3f04d51abd0cea4687c0a19",
    RecordKind.HELD: "af10fb91a5ac48eba9a0b6911b43d837",
    RecordKind.LOST: "e7bd3a52375a45a38c6da8f72ba82694",
}
_GATE_ITSELF = frozenset(
    {
        *(Reason.GATE_OBJECT, Reason.GATE_PIN, Reason.GATE_KEY),
        *(Reason.FOREIGN_PROGRAM, Reason.FTRACE),
    }
)
_ERR, _WARNING, _NOTICE = 3, 4, 5


def journal(record: Record, record_id: str, *, again: bool) -> bytes:
    """The datagram. ``again``: it may have been sent before, and nobody can tell."""
    fields = {
        "MESSAGE": _message(record),
        "MESSAGE_ID": MESSAGE_IDS[record.kind],
        "PRIORITY": str(_priority(record)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        RECORD: record_id,
        "VERITY_KIND": record.kind.value,
        "VERITY_HELD": str(record.held),
    }
    if again:
        fields["VERITY_AGAIN"] = "1"
    if record.denial is None:
        fields["VERITY_LOST_FIRST"], fields["VERITY_LOST_LAST"] = map(str, record.lost)
    else:
        fields |= _denial_fields(record.denial)
    return journal_entry.encode(fields)


def audit(record: Record, record_id: str) -> bytes:
    """The text of the message. ``res`` is what was refused: an observed act went through."""
    fields: dict[str, str | int | bytes] = {"op": record.kind.value, "rec": record_id}
    denial = record.denial
    if denial is None:
        fields |= {"first": record.lost[0], "last": record.lost[1], "res": "failed"}
        return audit_message.text(fields)
    fields |= {
        "op": denial.act.value if record.kind is RecordKind.DENIAL else record.kind.value,
        "reason": denial.reason.value,
        "seq": denial.seq,
        "held": record.held,
        "opid": denial.pid,
        "ouid": denial.uid,
        "ocomm": denial.comm or b"?",
    }
    if denial.path is not None:
        fields["path"] = denial.path
    if denial.digest is not None:
        fields["digest"] = f"sha256:{denial.digest.hex()}"
    fields["res"] = "failed" if denial.denied else "success"
    return audit_message.text(fields)


_OUTCOMES = {
    "denied": "denied",
    "observed": "observed, not denied",
    "unlocked": "let through by an unlock",
}


def sentence(denial: Denial) -> str:
    """What happened, for people: one line without anything that a terminal would obey."""
    outcome = _OUTCOMES[denial.outcome]
    what = "memory or a kernel object" if denial.path is None else printable(denial.path)
    who = printable(denial.comm) or "?"
    return (
        f"{outcome}: {denial.act} of {what} by {who} (pid {denial.pid}, uid {denial.uid}):"
        f" {denial.reason}: {REASONS[denial.reason]}"
    )


def _message(record: Record) -> str:
    if record.denial is None:
        first, last = record.lost
        return f"{last - first + 1} denials lost, numbers {first} to {last}: they came too fast"
    said = sentence(record.denial)
    if record.kind is RecordKind.HELD:
        return f"{record.held} more, the last one number {record.denial.seq}: {said}"
    return f"{said}. Next: {denial_words.commands(record.denial)[-1]}"


def _priority(record: Record) -> int:
    denial = record.denial
    if denial is None:
        return _WARNING
    if denial.reason in _GATE_ITSELF:
        return _ERR
    return _WARNING if denial.denied else _NOTICE


def _denial_fields(denial: Denial) -> dict[str, str]:
    fields = {
        "VERITY_SEQ": str(denial.seq),
        "VERITY_BOOT_MS": str(denial.boot_ms),
        "VERITY_OUTCOME": denial.outcome,
        "VERITY_REASON": denial.reason.value,
        "VERITY_ACT": denial.act.value,
        "VERITY_RULE": denial_words.rule(denial),
        "VERITY_NEXT": "; ".join(denial_words.commands(denial)),
        "VERITY_PID": str(denial.pid),
        "VERITY_UID": str(denial.uid),
        "VERITY_COMM": printable(denial.comm),
    }
    if denial.path is not None:
        fields["VERITY_PATH"] = printable(denial.path)
    if denial.digest is not None:
        fields["VERITY_DIGEST"] = f"sha256:{denial.digest.hex()}"
    return fields
