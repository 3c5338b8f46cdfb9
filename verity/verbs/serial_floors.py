# SPDX-License-Identifier: Apache-2.0
"""A verified statement against the host's serial floors; and raising a floor.

``look`` is part of every `commit verify`. ``accept`` raises a floor and is called by nobody but
who was asked to, after everything else was verified. For an OS that is after a boot of it was
confirmed: what confirms boots will call ``accept``; until it is there, a person or an update
script says `commit verify --accept` then.

What it does not do: keep anybody who can write STATE from taking a floor away, of which
docs/threat-model.md says what it gains them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from verity.formats import records, statement
from verity.formats.records import RecordKind
from verity.ports.floors import FloorStore
from verity.ports.osfile import read_file
from verity.trust import floors
from verity.trust.floors import Floor
from verity.trust.trusted import TrustedSet
from verity.trust.verified import VerifiedStatement
from verity.values.errors import ContentError, HostError
from verity.values.findings import Finding, Link


@dataclass(frozen=True, kw_only=True)
class HostState:
    """Where a host keeps its floors, and its boot bundle if it has one.

    ``without_floor``: a stream of which nothing was accepted yet is no finding, nor is a floor
    that can't be verified any more.
    """

    store: FloorStore
    bundle: Path
    without_floor: bool = False


@dataclass
class Looked:
    """The floors that count for a statement, and what is wrong with them."""

    floors: list[Floor] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def look(state: HostState, source: VerifiedStatement, trusted: TrustedSet) -> Looked:
    """The floors of the statement's stream.

    1. The stored one, verified again. If it is missing or damaged, that is a finding.
    2. The boot bundle's: it stands in for that, and it counts too if it is higher.

    Raises HostError if something is there and can't be read.
    """
    found = Looked()
    stream = source.statement.stream
    # 1. The stored one.
    name = floors.name(source, trusted)
    path = str(state.store.path(name))
    try:
        stored = state.store.read(name)
        if stored is None:
            raise ContentError("no-floor", f"{path}: no floor for the stream {stream}")
        found.floors.append(floors.of_statement(stored, trusted, stream=stream, source=path))
    except ContentError as error:
        _report(found, state, error, path)
    # 2. The boot bundle's.
    try:
        found.floors += _of_bundle(state.bundle, trusted, stream)
    except ContentError as error:
        found.notes.append(f"{state.bundle} is no floor for {stream}: {error.message}")
    return found


def _report(found: Looked, state: HostState, error: ContentError, path: str) -> None:
    if state.without_floor:
        found.notes.append(error.message)
        return
    found.findings.append(
        Finding(
            check=error.code,
            link=Link.STATEMENT,
            object=path,
            problem=error.message,
            expected="the highest statement that this host has accepted",
            found="nothing" if error.code == "no-floor" else "something that doesn't verify",
            remedy="if nothing of this stream was accepted here yet, or its keys were replaced:"
            " `verity commit verify --accept-without-floor`; else somebody took it away",
        )
    )


def _of_bundle(path: Path, trusted: TrustedSet, stream: str) -> list[Floor]:
    try:
        data = read_file(path, max_size=records.MAX_SIZE)
    except HostError as error:
        if error.code == "not-found":
            return []
        raise
    return [
        floor
        for fragment in records.split(data, label=str(path))
        if fragment.kind is RecordKind.GRANTS
        and (
            floor := floors.of_grants(
                fragment.blob, fragment.signatures, trusted, stream=stream, source=str(path)
            )
        )
    ]


def accept(
    state: HostState, envelopes: Sequence[bytes], source: VerifiedStatement, trusted: TrustedSet
) -> Path | None:
    """Make a statement, of which everything was verified, the floor of its stream.

    1. Alone: another one that accepts waits.
    2. Compare with the floors as they are now; the one that is there already is left.
    3. Write the envelope that was verified, as it was signed.

    Returns the file of the floor if it was raised. Raises ContentError (``below-floor``,
    ``equivocation``, or what is wrong with the floor that is there).
    """
    # 1. Alone.
    with state.store.locked():
        # 2. Compare.
        now = look(state, source, trusted)
        if now.findings:
            raise ContentError(now.findings[0].check, now.findings[0].problem)
        for floor in now.floors:
            floors.check(source.statement, floor)
        name = floors.name(source, trusted)
        path = state.store.path(name)
        if any(f.source == str(path) and f.serial == source.statement.serial for f in now.floors):
            return None
        # 3. Write.
        state.store.write(name, [one for one in envelopes if _payload(one) == source.payload])
        return path


def _payload(envelope: bytes) -> bytes | None:
    try:
        return statement.parse_envelope(envelope).payload
    except ContentError:
        return None  # one that was skipped and reported when the statement was verified
