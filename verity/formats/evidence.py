# SPDX-License-Identifier: Apache-2.0
"""The evidence of an audit (a capsule), bytes <-> values.

The payload of a DSSE envelope (docs/formats.md, "Evidence"): a whole audit, and beside it the
signed documents that it rests on, each in its own envelope and verbatim, so that another machine
verifies them again. The manifest is not in it: only the lines of the files that findings are about.
The parser is strict, and the bytes are the only ones that the values can have. Who signed it is
judged in the trust room, which alone makes a ``VerifiedEvidence``.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from verity.formats import audit_document, gate_status, strictjson
from verity.formats.grants import Party
from verity.formats.statement import (
    MAX_ENVELOPE,
    format_time,
    pae,
    parse_base64,
    parse_time,
)
from verity.formats.strictjson import Fields, refuse
from verity.values.audit import Audit
from verity.values.errors import ContentError

PAYLOAD_TYPE = "application/vnd.verity.evidence.v1+json"
MAX_EVIDENCE = 32 * 2**20
MAX_SEALED = 48 * 2**20
"""Of the envelope: the payload in base64, and signatures."""
MIN_NONCE, MAX_NONCE = 8, 64
MAX_STATEMENTS = 256
MAX_VERSIONS = 4096
MAX_LINE = 64 * 2**10

_WHAT = "evidence"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HOST = re.compile(r"(?:[0-9a-f]{64})?")
_NONCE = re.compile(r"(?:[0-9a-f]{2})*")
_LINE = re.compile(r"/[!-~]*(?: [!-~]+){10,}")


@dataclass(frozen=True, kw_only=True)
class BundleSaid:
    """A host's boot bundle by its digest, and the digest of the policy in it (32 bytes each)."""

    sha256: bytes
    policy: bytes | None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """An audit and what it rests on. ``issued`` is in seconds since 1970.

    ``nonce`` is the auditor's, empty without one; ``previous`` the digest of the capsule before
    (``digest``). ``keyrings``, ``statements`` (what was audited), ``floors`` and ``policy`` are
    envelopes as they lie on the host; ``gate`` is the text of the gate's status. ``lines`` are
    those of a manifest, by its SHA-256. ``left_out`` says of what could not be read why.
    """

    issued: int
    audit: Audit
    nonce: bytes = b""
    previous: bytes | None = None
    keyrings: Mapping[Party, tuple[bytes, ...]] = field(default_factory=dict)
    statements: tuple[bytes, ...] = ()
    floors: tuple[bytes, ...] = ()
    policy: bytes | None = None
    bundle: BundleSaid | None = None
    gate: str | None = None
    lines: Mapping[bytes, tuple[str, ...]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


def encode(evidence: Evidence) -> bytes:
    """The JSON of evidence. Raises ContentError for what none may hold, and ``too-much`` for an
    audit with more findings than a capsule has room for."""
    data = _written(evidence)
    if len(data) > MAX_EVIDENCE:
        raise ContentError(
            "too-much",
            f"evidence: {len(data)} bytes, at most {MAX_EVIDENCE} are allowed",
            hint="mend what gives most findings first; the report holds them all",
        )
    parse(data)  # the writer is held to the reader's rules
    return data


def seal(payload: bytes, signatures: Sequence[tuple[str, bytes]]) -> bytes:
    """The envelope: the payload and (key id, signature over ``over(payload)``) each."""
    return strictjson.canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [
                {"keyid": key_id, "sig": base64.b64encode(value).decode()}
                for key_id, value in signatures
            ],
        }
    )


def over(payload: bytes) -> bytes:
    """What a signature is over."""
    return pae(payload, PAYLOAD_TYPE)


def digest(payload: bytes) -> bytes:
    """What the next capsule names: of the payload, so that no change to an envelope that leaves it
    as it is (blanks, one more signature, the other form of an ECDSA signature) breaks a chain."""
    return hashlib.sha256(payload).digest()


def parse(data: bytes) -> Evidence:
    """Read evidence. Raises ContentError (``bad-document``).

    1. Fields of known names and types, and nothing else.
    2. An audit; a nonce, digests and the host's id have their length.
    3. Envelopes in base64, and lines of a manifest, sorted.
    4. The bytes are the canonical ones.
    """
    # 1. Fields.
    top = Fields(strictjson.parse(data, what=_WHAT, max_size=MAX_EVIDENCE), what=_WHAT)
    issued = parse_time(top.text("issued"))
    nonce = top.text("nonce")
    previous = top.text("previous")
    inner = top.object("audit")
    keyrings = top.object("keyrings")
    statements = top.array("statements")
    floors = top.array("floors")
    policy = top.text("policy")
    bundle = top.object("bundle") if "bundle" in top.names() else None
    gate = top.text("gate") if "gate" in top.names() else None
    lines = top.object("lines")
    left_out = top.object("left_out")
    top.end()
    # 2. The audit, and lengths.
    audit = audit_document.read(inner)
    if not _HOST.fullmatch(audit.head.host_id):
        refuse(_WHAT, f"the host {audit.head.host_id[:80]!r} is not 64 lower-case hex digits")
    if nonce and not (_NONCE.fullmatch(nonce) and 2 * MIN_NONCE <= len(nonce) <= 2 * MAX_NONCE):
        refuse(_WHAT, f"the nonce is not {MIN_NONCE} to {MAX_NONCE} bytes in lower-case hex")
    if gate is not None and not (
        gate.isascii() and gate.endswith("\n") and len(gate) <= gate_status.MAX_STATUS
    ):
        refuse(_WHAT, "the gate's status is no text of lines")
    # 3. Envelopes and lines.
    found = Evidence(
        issued=issued,
        audit=audit,
        nonce=bytes.fromhex(nonce),
        previous=_sha256(previous, "previous") if previous else None,
        keyrings={
            _party(name): _envelopes(keyrings.array(name), MAX_VERSIONS)
            for name in keyrings.names()
        },
        statements=_envelopes(statements, MAX_STATEMENTS),
        floors=_envelopes(floors, MAX_STATEMENTS),
        policy=_envelope(policy) if policy else None,
        bundle=None if bundle is None else _bundle(bundle),
        gate=gate,
        lines={_sha256(name, "lines"): _lines(lines.array(name)) for name in lines.names()},
        left_out={name: left_out.text(name) for name in left_out.names()},
    )
    # 4. One spelling.
    if _written(found) != data:
        refuse(_WHAT, "not the canonical JSON: sorted keys, no spaces, UTF-8 without escapes")
    return found


def _written(evidence: Evidence) -> bytes:
    fields: dict[str, Any] = {
        "issued": format_time(evidence.issued),
        "nonce": evidence.nonce.hex(),
        "previous": (evidence.previous or b"").hex(),
        "audit": audit_document.fields_of(evidence.audit),
        "keyrings": {
            party.name.lower(): [base64.b64encode(one).decode() for one in versions]
            for party, versions in evidence.keyrings.items()
        },
        "statements": [base64.b64encode(one).decode() for one in evidence.statements],
        "floors": [base64.b64encode(one).decode() for one in evidence.floors],
        "policy": base64.b64encode(evidence.policy or b"").decode(),
        "lines": {sha256.hex(): list(lines) for sha256, lines in evidence.lines.items()},
        "left_out": {
            audit_document.text(name): audit_document.text(why)
            for name, why in evidence.left_out.items()
        },
    }
    if evidence.bundle is not None:
        fields["bundle"] = {
            "sha256": evidence.bundle.sha256.hex(),
            "policy": (evidence.bundle.policy or b"").hex(),
        }
    if evidence.gate is not None:
        fields["gate"] = evidence.gate
    return strictjson.canonical(fields)


def _bundle(fields: Fields) -> BundleSaid:
    sha256, policy = fields.text("sha256"), fields.text("policy")
    fields.end()
    return BundleSaid(
        sha256=_sha256(sha256, "bundle"), policy=_sha256(policy, "bundle") if policy else None
    )


def _party(name: str) -> Party:
    for party in Party:
        if name == party.name.lower():
            return party
    refuse(_WHAT, f"unknown party {name[:40]!r}")


def _sha256(text: str, what: str) -> bytes:
    if not _SHA256.fullmatch(text):
        refuse(_WHAT, f"{what}: {text[:80]!r} is no SHA-256 in lower-case hex")
    return bytes.fromhex(text)


def _envelopes(items: list[Any], most: int) -> tuple[bytes, ...]:
    if len(items) > most:
        refuse(_WHAT, f"{len(items)} envelopes, at most {most} are allowed")
    return tuple(_envelope(item) for item in items)


def _envelope(item: Any) -> bytes:
    found = parse_base64(item) if isinstance(item, str) else None
    if not found or len(found) > MAX_ENVELOPE:
        refuse(_WHAT, f"an envelope is no standard base64 of 1 to {MAX_ENVELOPE} bytes")
    return found


def _lines(items: list[Any]) -> tuple[str, ...]:
    for item in items:
        if not isinstance(item, str) or len(item) > MAX_LINE or not _LINE.fullmatch(item):
            refuse(_WHAT, f"lines: {str(item)[:80]!r} is no line of a manifest")
    if not items or not all(one < other for one, other in pairwise(items)):
        refuse(_WHAT, "lines: none there, or not sorted, or one twice")
    return tuple(items)
