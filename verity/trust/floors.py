# SPDX-License-Identifier: Apache-2.0
"""Serial floors: what a stream's next document is held against, so that none goes back.

A floor is the highest statement of a stream that a host has accepted, kept as it was signed: who
can write the file can take it away or put an older one there, but not forge it upwards. Grants of
the boot bundle are a floor as well, because they name stream and serial under a signature. Its
record of floors is unsigned: it is a floor too, because a floor only ever forbids. The floor
of the policy is in ``policy_floors``.

Rules:

* A signed floor counts only if it verifies again, with the keys that count now.
* A serial below the floor is refused (``below-floor``).
* The floor's own serial is good for the floor's own subjects only: another document with the same
  number says that somebody signed two (``equivocation``).

It reads no file and no clock.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from verity.formats import floor_record, grants
from verity.formats.grants import Grants
from verity.formats.statement import Statement
from verity.trust.clock import reference
from verity.trust.revocations import Revocations
from verity.trust.trusted import TrustedSet
from verity.trust.verified import verify_statement
from verity.values.errors import ContentError


@dataclass(frozen=True, kw_only=True)
class Floor:
    """The lowest serial that counts, and what has it. ``source`` is where that stands."""

    source: str
    serial: int
    issued: int
    subjects: Mapping[str, bytes]


POLICY = "user.policy"
"""The name of the policy's floor, which has no stream."""


def name(trusted: TrustedSet, stream: str) -> str:
    """The name of a stream's floor: two parties or roles with one name have two."""
    return f"{trusted.party.name}.{trusted.role.name}.".lower() + stream


def of_statement(
    envelopes: Sequence[bytes], trusted: TrustedSet, *, stream: str, source: str
) -> Floor:
    """A floor from what was stored. Raises ContentError (``bad-floor``)."""
    # A revoked key makes no floor. A revoked serial or digest still was accepted, so it is one.
    keys_only = replace(trusted, revocations=Revocations(keys=trusted.revocations.keys))
    try:
        said = verify_statement(envelopes, keys_only).statement
    except ContentError as error:
        raise ContentError("bad-floor", f"{source}: {error.message}") from error
    if said.stream != stream:
        raise ContentError("bad-floor", f"{source}: of the stream {said.stream}, not {stream}")
    return Floor(source=source, serial=said.serial, issued=said.issued, subjects=said.subjects)


def of_grants(
    blob: bytes, signatures: Sequence[bytes], trusted: TrustedSet, *, stream: str, source: str
) -> Floor | None:
    """A floor from grants of a boot bundle; None if they are of another stream, party or role.

    Raises ContentError if they are damaged, or not signed by enough owners.
    """
    parsed = grants.parse(blob)
    if (parsed.stream, parsed.party, parsed.role) != (stream, trusted.party, trusted.role):
        return None
    trusted.blob_signers(signatures, blob, what=f"grants of {source}")
    return Floor(
        source=source,
        serial=parsed.serial,
        issued=parsed.issued,
        subjects=_subjects(blob, parsed),
    )


def of_record(data: bytes, *, stream: str, source: str) -> Floor | None:
    """A floor from the record of a boot bundle; None if the stream isn't in it.

    It names no subject, so it rules out no other document of its serial. Raises ContentError.
    """
    for entry in floor_record.parse(data):
        if entry.stream == stream:
            return Floor(source=source, serial=entry.serial, issued=0, subjects={})
    return None


def check(said: Statement, floor: Floor) -> None:
    """Refuse a statement that the floor rules out (``below-floor``, ``equivocation``)."""
    compare("statement", f"the stream {said.stream}", said.serial, said.subjects, floor)


def check_grants(blob: bytes, floor: Floor, *, label: str) -> None:
    """Refuse a blob of grants that the floor rules out, as ``check``."""
    parsed = grants.parse(blob)
    compare(label, f"the stream {parsed.stream}", parsed.serial, _subjects(blob, parsed), floor)


def _subjects(blob: bytes, parsed: Grants) -> dict[str, bytes]:
    return {"grants": hashlib.sha256(blob).digest(), "manifest": parsed.manifest_sha256}


def compare(label: str, of: str, serial: int, subjects: Mapping[str, bytes], floor: Floor) -> None:
    """Refuse a serial, with what it names, that the floor rules out; ``of`` is its sequence."""
    if serial < floor.serial:
        raise ContentError(
            "below-floor",
            f"{label}: serial {serial} of {of}, this host has accepted"
            f" {floor.serial} ({floor.source})",
            hint="an older version was put in place of a newer one: get the newest",
        )
    if serial > floor.serial:
        return
    for key in sorted(floor.subjects.keys() & subjects.keys()):
        ours, theirs = floor.subjects[key].hex(), subjects[key].hex()
        if ours != theirs:
            raise ContentError(
                "equivocation",
                f"{label}: serial {serial} of {of} with the {key}"
                f" {theirs}; this host has accepted {ours} under that number ({floor.source})",
                hint="the signer signed two versions under one number, or the key is stolen: ask",
            )


def reference_time(clock: int, floors: Iterable[Floor]) -> int:
    """The newest time that a clock and what was accepted tell, as ``trust.clock`` judges it.

    A clock set back makes nothing valid again, and a floor ahead of it makes nothing expire.
    """
    return reference(clock, (floor.issued for floor in floors))
