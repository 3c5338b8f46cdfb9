# SPDX-License-Identifier: Apache-2.0
"""The in-toto statement and its DSSE envelope, bytes <-> values.

A statement says which manifest, grants, commit and boot list belong together, and where in its
stream they stand (docs/formats.md sections 3 and 4). Parsing proves nothing about who signed:
that is the trust room's work, which alone makes a ``VerifiedStatement``. An envelope's payload
is kept verbatim, since the signature is over these bytes.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from verity.formats import strictjson
from verity.formats.grants import is_stream_name
from verity.formats.strictjson import Fields, refuse

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:x-verity:content:v1"
MAX_STATEMENT = 64 * 2**10
MAX_ENVELOPE = 128 * 2**10
MAX_SIGNATURES = 64

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)  # not other scripts' digits
MAX_TIME = 253_402_300_799  # 9999-12-31T23:59:59Z
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Kind(StrEnum):
    """What a statement is about."""

    OS = "os"
    ETC = "etc"
    EXTENSION = "extension"


SUBJECTS = {
    Kind.OS: frozenset({"manifest", "grants", "commit", "boot"}),
    Kind.ETC: frozenset({"manifest", "grants"}),
    Kind.EXTENSION: frozenset({"manifest", "grants"}),
}


@dataclass(frozen=True, kw_only=True)
class Statement:
    """Subjects are SHA-256 values (32 bytes) by name; times are seconds since 1970."""

    kind: Kind
    stream: str
    serial: int
    issued: int
    expires: int
    subjects: Mapping[str, bytes]


def encode(statement: Statement) -> bytes:
    """The JSON of a statement, canonical, so that signing is reproducible."""
    data = strictjson.canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": name, "digest": {"sha256": value.hex()}}
                for name, value in sorted(statement.subjects.items())
            ],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "kind": statement.kind.value,
                "stream": statement.stream,
                "serial": statement.serial,
                "issued": format_time(statement.issued),
                "expires": format_time(statement.expires),
            },
        }
    )
    parse(data)  # the writer is held to the reader's rules
    return data


def parse(data: bytes) -> Statement:
    """Read a statement. Raises ContentError (``bad-document``)."""
    top = Fields(strictjson.parse(data, what="statement", max_size=MAX_STATEMENT), what="statement")
    _expect("statement _type", top.text("_type"), STATEMENT_TYPE)
    _expect("statement predicateType", top.text("predicateType"), PREDICATE_TYPE)
    subjects: dict[str, bytes] = {}
    for index, item in enumerate(top.array("subject")):
        subject = Fields(item, what=f"statement.subject[{index}]")
        name = subject.text("name")
        digest = subject.object("digest")
        text = digest.text("sha256")
        digest.end()
        subject.end()
        if not _SHA256.fullmatch(text):
            refuse("statement", f"the subject {name[:40]!r} is not a SHA-256 in lower-case hex")
        if name in subjects:
            refuse("statement", f"the subject {name[:40]!r} stands there twice")
        subjects[name] = bytes.fromhex(text)
    predicate = top.object("predicate")
    top.end()
    kind_text = predicate.text("kind")
    stream = predicate.text("stream")
    serial = predicate.integer("serial")
    issued = parse_time(predicate.text("issued"))
    expires = parse_time(predicate.text("expires"))
    predicate.end()
    if kind_text not in Kind._value2member_map_:
        refuse("statement", f"unknown kind {kind_text[:40]!r}")
    kind = Kind(kind_text)
    if set(subjects) != SUBJECTS[kind]:
        refuse(
            "statement",
            f"subjects {', '.join(sorted(subjects))[:200]}; the kind {kind} has exactly"
            f" {', '.join(sorted(SUBJECTS[kind]))}",
        )
    if not is_stream_name(stream):
        refuse("statement", f"the stream {stream[:80]!r} is not 1 to 63 of a-z 0-9 . _ -")
    if serial < 1:
        refuse("statement", f"the serial {serial} is below 1")
    if issued >= expires:
        refuse("statement", "it does not expire after it was issued")
    return Statement(
        kind=kind,
        stream=stream,
        serial=serial,
        issued=issued,
        expires=expires,
        subjects=subjects,
    )


@dataclass(frozen=True)
class EnvelopeSignature:
    """One signature as it stands there; ``value`` is None if its base64 is malformed."""

    key_id_hint: str
    value: bytes | None


@dataclass(frozen=True)
class Envelope:
    """A DSSE envelope, unverified: the payload's bytes, its type, the signatures."""

    payload: bytes
    payload_type: str
    signatures: tuple[EnvelopeSignature, ...]

    def readable(self, what: str) -> tuple[list[bytes], list[str]]:
        """The signatures that can be judged, and of each other one over ``what`` what is wrong."""
        usable: list[bytes] = []
        skipped: list[str] = []
        for number, signature in enumerate(self.signatures, 1):
            if signature.value is None:
                skipped.append(f"signature {number} of {what}: malformed base64")
            else:
                usable.append(signature.value)
        return usable, skipped

    def pae(self) -> bytes:
        """What a signature is over (DSSE v1, "Pre-Authentication Encoding")."""
        return pae(self.payload, self.payload_type)


def pae(payload: bytes, payload_type: str) -> bytes:
    """The pre-authentication encoding; lengths are of bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def parse_envelope(data: bytes, *, max_size: int = MAX_ENVELOPE) -> Envelope:
    """Read an envelope of at most so many bytes. Raises ContentError (``bad-document``).

    A malformed signature among others is kept as such (``value`` None), for the verifier to
    skip and report; everything else that is malformed refuses the whole.
    """
    what = "DSSE envelope"
    top = Fields(strictjson.parse(data, what=what, max_size=max_size), what=what)
    payload_type = top.text("payloadType")
    payload = parse_base64(top.text("payload"))
    items = top.array("signatures")
    top.end()
    if payload is None:
        refuse(what, "the payload is not standard base64 with padding")
    if not 1 <= len(items) <= MAX_SIGNATURES:
        refuse(what, f"{len(items)} signatures, expected 1 to {MAX_SIGNATURES}")
    return Envelope(payload, payload_type, tuple(_signature(item) for item in items))


def is_ours(envelope: Envelope) -> bool:
    """Whether it holds a statement of our predicate type, not yet parsed any further.

    Raises ContentError if it says in-toto and isn't one JSON object.
    """
    if envelope.payload_type != PAYLOAD_TYPE:
        return False
    value = strictjson.parse(envelope.payload, what="statement", max_size=MAX_STATEMENT)
    return isinstance(value, dict) and value.get("predicateType") == PREDICATE_TYPE


def _signature(item: Any) -> EnvelopeSignature:
    fields = Fields(item, what="DSSE signature")
    hint = fields.text("keyid") if "keyid" in fields.names() else ""
    value = parse_base64(fields.text("sig"))
    fields.end()
    return EnvelopeSignature(hint, value)


def parse_base64(text: str) -> bytes | None:
    """Standard base64 with padding, in its one spelling; None for anything else."""
    try:
        value = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    # The last character's spare bits: one value has one spelling.
    return value if base64.b64encode(value).decode() == text else None


def parse_time(text: str) -> int:
    """RFC 3339 in UTC, whole seconds, ``Z``; seconds since 1970."""
    if not _TIME.fullmatch(text):
        refuse("time", f"{text[:40]!r} is not of the form 2026-01-31T12:00:00Z")
    # strptime would import locales and calendars, a twentieth of the start of most verbs.
    year, month, day, hour, minute, second = map(int, re.findall("[0-9]+", text))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        refuse("time", f"{text!r} does not exist")
    seconds = int(moment.timestamp())
    if seconds < 0:
        refuse("time", f"{text!r} is before 1970")
    return seconds


def format_time(seconds: int) -> str:
    """The inverse of ``parse_time``; refuses a time that it doesn't write."""
    if not 0 <= seconds <= MAX_TIME:
        refuse("time", f"{seconds} seconds are not between 1970 and the year 9999")
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _expect(name: str, found: str, expected: str) -> None:
    if found != expected:
        refuse(name, f"{found[:80]!r}, expected {expected!r}")
