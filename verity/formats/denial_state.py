# SPDX-License-Identifier: Apache-2.0
"""How far the denials of a gate were written elsewhere, and what is held back: bytes <-> values.

A small JSON document of a host's own (docs/formats.md, "State of the denials' records"). It is
signed by nobody and decides nothing but what is written again. What was damaged is refused: then
all that the gate still has is written once more.

``sending`` is a record that was about to be sent when the document was written. Whether it was is
asked elsewhere; if so, ``applied`` says how the state goes on, from the record alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from verity.formats import strictjson
from verity.formats.gate_status import Act, Denial, Reason
from verity.formats.strictjson import Fields, refuse

MEDIA_TYPE = "application/vnd.verity.denial-state.v1+json"
MAX_SIZE = 2**20
MAX_KINDS = 128
_WHAT = "state of the denials' records"

Key = tuple[bool, Reason, bytes | None, bytes | None, bytes]


class RecordKind(StrEnum):
    """What a record tells."""

    DENIAL = "denial"  # the first of its kind, or the first again after a while
    HELD = "held"  # so many more of a kind that were not written one by one
    LOST = "lost"  # nobody can read these any more


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record. ``denial`` is the last of its kind, None for LOST; ``at_ms`` the boot clock.

    ``held`` counts those that were held back; ``lost`` is the first and the last number.
    """

    kind: RecordKind
    number: int
    at_ms: int
    denial: Denial | None = None
    held: int = 0
    lost: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Denials for one reason of one file: the last one; ``held`` back since ``since_ms``."""

    last: Denial
    held: int
    since_ms: int


@dataclass(frozen=True, kw_only=True)
class State:
    """``gate`` is one load of a gate in one boot; ``seq`` the last denial that is dealt with."""

    boot: str
    gate: str
    seq: int = 0
    records: int = 0
    kinds: Mapping[Key, Kind]


def key_of(denial: Denial) -> Key:
    """What makes two denials of one kind: outcome, reason and file; without a file, the program."""
    named = denial.path is not None or denial.digest is not None
    return denial.denied, denial.reason, denial.path, denial.digest, b"" if named else denial.comm


def applied(state: State, record: Record) -> State:
    """The state once this record was sent."""
    kinds = dict(state.kinds)
    if record.denial is None:
        return replace(state, seq=record.lost[1], records=record.number)
    kinds[key_of(record.denial)] = Kind(last=record.denial, held=0, since_ms=record.at_ms)
    seq = max(state.seq, record.denial.seq)
    return replace(state, seq=seq, records=record.number, kinds=kinds)


def held_back(state: State, denial: Denial) -> State:
    """The state with one more of a kind that is known."""
    key = key_of(denial)
    known = state.kinds[key]
    more = replace(known, last=denial, held=known.held + 1)
    return replace(state, seq=denial.seq, kinds={**state.kinds, key: more})


def without(state: State, key: Key) -> State:
    """The state with a kind forgotten: the next of it is a first one."""
    kinds = {one: kind for one, kind in state.kinds.items() if one != key}
    return replace(state, kinds=kinds)


def encode(state: State, sending: Record | None) -> bytes:
    """The document."""
    fields: dict[str, Any] = {
        "_type": MEDIA_TYPE,
        "boot": state.boot,
        "gate": state.gate,
        "seq": state.seq,
        "records": state.records,
        "kinds": [
            {"last": _denial_fields(kind.last), "held": kind.held, "since_ms": kind.since_ms}
            for kind in state.kinds.values()
        ],
    }
    if sending is not None:
        fields["sending"] = {
            "kind": sending.kind.value,
            "number": sending.number,
            "at_ms": sending.at_ms,
            "denial": [] if sending.denial is None else [_denial_fields(sending.denial)],
            "held": sending.held,
            "lost": list(sending.lost),
        }
    return strictjson.canonical(fields) + b"\n"


def parse(data: bytes) -> tuple[State, Record | None]:
    """Read the document. Raises ContentError (``bad-document``)."""
    top = Fields(strictjson.parse(data, what=_WHAT, max_size=MAX_SIZE), what=_WHAT)
    if top.text("_type") != MEDIA_TYPE:
        refuse(_WHAT, f"its _type is not {MEDIA_TYPE}")
    boot, gate = top.text("boot"), top.text("gate")
    seq, records = _count(top, "seq"), _count(top, "records")
    kinds: dict[Key, Kind] = {}
    for item in top.array("kinds"):
        fields = Fields(item, what=f"{_WHAT}, a kind")
        kind = Kind(
            last=_denial(fields.object("last")),
            held=_count(fields, "held"),
            since_ms=_count(fields, "since_ms"),
        )
        fields.end()
        kinds[key_of(kind.last)] = kind
    sending = _record(top.object("sending")) if "sending" in top.names() else None
    top.end()
    if len(kinds) > MAX_KINDS:
        refuse(_WHAT, f"{len(kinds)} kinds, at most {MAX_KINDS} are kept")
    return State(boot=boot, gate=gate, seq=seq, records=records, kinds=kinds), sending


def _record(fields: Fields) -> Record:
    kind = fields.text("kind")
    if kind not in RecordKind._value2member_map_:
        refuse(_WHAT, f"a record of the kind {kind[:40]!r}")
    number, at_ms = _count(fields, "number"), _count(fields, "at_ms")
    denials = [_denial(Fields(one, what=_WHAT)) for one in fields.array("denial")]
    held, lost = _count(fields, "held"), fields.array("lost")
    fields.end()
    if [type(one) for one in lost] != [int, int] or len(denials) != (kind != RecordKind.LOST):
        refuse(_WHAT, "a record that is neither of a denial nor of two numbers")
    return Record(
        kind=RecordKind(kind),
        number=number,
        at_ms=at_ms,
        denial=denials[0] if denials else None,
        held=held,
        lost=(lost[0], lost[1]),
    )


def _count(fields: Fields, name: str) -> int:
    value = fields.integer(name)
    if value < 0:
        refuse(_WHAT, f"the field {name!r} is {value}")
    return value


def _denial_fields(denial: Denial) -> dict[str, Any]:
    return {
        "seq": denial.seq,
        "boot_ms": denial.boot_ms,
        "outcome": denial.outcome,
        "reason": denial.reason.value,
        "act": denial.act.value,
        "uid": denial.uid,
        "pid": denial.pid,
        "comm": denial.comm.hex(),
        "digest": "" if denial.digest is None else denial.digest.hex(),
        "path": "-" if denial.path is None else denial.path.hex(),
    }


def _denial(fields: Fields) -> Denial:
    try:
        path, digest = fields.text("path"), fields.text("digest")
        outcome = fields.text("outcome")
        found = Denial(
            seq=_count(fields, "seq"),
            boot_ms=_count(fields, "boot_ms"),
            denied={"denied": True, "observed": False, "unlocked": False}[outcome],
            unlocked=outcome == "unlocked",
            reason=Reason(fields.text("reason")),
            act=Act(fields.text("act")),
            uid=_count(fields, "uid"),
            pid=_count(fields, "pid"),
            comm=bytes.fromhex(fields.text("comm")),
            digest=bytes.fromhex(digest) if digest else None,
            path=None if path == "-" else bytes.fromhex(path),
        )
    except (KeyError, ValueError) as error:
        refuse(_WHAT, f"a denial with a field that none has: {error}")
    fields.end()
    return found
