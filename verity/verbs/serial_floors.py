# SPDX-License-Identifier: Apache-2.0
"""Serial floors of a host, as every verb asks them; and raising one.

``judge`` is the one place where what was verified is held against the floors: whoever verifies a
statement on a host calls it, or ``hold``, which refuses. ``accept`` raises a floor, after
everything else was good; for an OS, after its boot was confirmed (``commit_accept``).

What it does not do: keep anybody who can write STATE from taking a floor away, of which
docs/threat-model.md says what it gains them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from verity.formats import records, statement
from verity.formats.grants import Role
from verity.formats.records import RecordKind
from verity.ports import floors as floor_files
from verity.ports.floors import FloorStore
from verity.ports.osfile import read_if_there
from verity.ports.places import BUNDLE
from verity.trust import floors
from verity.trust.floors import Floor
from verity.trust.trusted import TrustedSet
from verity.trust.verified import VerifiedStatement
from verity.values.errors import ContentError, HostError
from verity.values.findings import Finding, Link, NotEvaluated, Report

_ACCEPT = {
    Role.OS: "`verity commit verify --accept-without-floor`",
    Role.ETC: "`verity etc status --accept-without-floor`",
    Role.POLICY: "remove this file, and make the boot bundle anew",
}


@dataclass(frozen=True, kw_only=True)
class HostState:
    """Where a host keeps its floors, and its boot bundle if it has one.

    ``without_floor``: a stream of which nothing was accepted yet is no finding, nor is a floor
    that can't be verified any more.
    """

    store: FloorStore
    bundle: Path
    without_floor: bool = False

    @classmethod
    def at(cls, root: Path, *, without_floor: bool = False) -> "HostState | None":
        """The state below a root; None where no host is, as on a build system."""
        if not floor_files.has_state(root):
            return None
        return replace(cls.new(root), without_floor=without_floor)

    @classmethod
    def new(cls, root: Path) -> "HostState":
        """The same for a host that has no state yet: accepting something makes it."""
        store = FloorStore(root / floor_files.FLOORS, top=root)
        return cls(store=store, bundle=root / BUNDLE, without_floor=True)


@dataclass
class Looked:
    """The floors that count for a stream, and what is wrong with them.

    Among them are ``stored``, which the host keeps, and ``recorded``, of the boot bundle's record.
    ``missed``: the boot bundle tells that there was a floor, or is damaged and can't.
    """

    floors: list[Floor] = field(default_factory=list)
    stored: Floor | None = None
    missed: bool = False
    recorded: Floor | None = None
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    asides: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a host's floors say of a statement.

    ``time`` is the reference time that they give, ``compared`` how many there were, None without a
    host, or where it may do without and does. ``asides`` are for those who want to know everything.
    """

    time: int
    compared: int | None = None
    findings: tuple[Finding, ...] = ()
    not_evaluated: tuple[NotEvaluated, ...] = ()
    notes: tuple[str, ...] = ()
    asides: tuple[str, ...] = ()

    def added_to(self, report: Report) -> Report:
        """The report with this in it."""
        counts = {} if self.compared is None else {"floors": self.compared}
        return replace(
            report,
            counts={**report.counts, **counts},
            findings=(*self.findings, *report.findings),
            not_evaluated=(*self.not_evaluated, *report.not_evaluated),
            notes=(*self.notes, *report.notes),
        )


def judge(
    state: HostState | None,
    source: VerifiedStatement,
    trusted: TrustedSet,
    *,
    now: int,
    clock: int | None = None,
) -> Judged:
    """Hold a verified statement against the floors of a host; None is no host.

    1. The floors of its stream, and what is wrong with them.
    2. Its serial is not below one of them, and not one's with other subjects.
    3. The reference time: ``now`` (seconds since 1970), or when a floor was issued, unless that is
       ahead of the ``clock``, which is ``now`` if None.
    """
    stream = source.statement.stream
    if state is None:
        return Judged(time=now, asides=("no floor was compared: no host's state is here",))
    # 1. The floors.
    try:
        looked = look(state, stream, trusted)
    except HostError as error:
        gap = NotEvaluated(
            check=error.code, object=f"stream {stream}", why=error.message, hint=error.hint or ""
        )
        return Judged(time=now, compared=0, not_evaluated=(gap,))
    # 2. The serial.
    findings = looked.findings
    for floor in looked.floors:
        try:
            floors.check(source.statement, floor)
        except ContentError as error:
            findings.append(_finding(error, f"stream {stream}"))
    # 3. The time.
    return Judged(
        time=max(now, floors.reference_time(now if clock is None else clock, looked.floors)),
        compared=len(looked.floors) if looked.floors or findings else None,
        findings=tuple(findings),
        notes=tuple(looked.notes),
        asides=tuple(looked.asides),
    )


def hold(
    state: HostState | None, source: VerifiedStatement, trusted: TrustedSet
) -> tuple[str, ...]:
    """Refuse what ``judge`` has a finding about, before anything is changed; notes if it is good.

    Raises ContentError, or HostError if it can't be known.
    """
    judged = judge(state, source, trusted, now=0)
    for finding in judged.findings:
        raise ContentError(finding.check, finding.problem, hint=finding.remedy)
    for gap in judged.not_evaluated:
        raise HostError(gap.check, gap.why, hint=gap.hint)
    return judged.notes


def look(state: HostState, stream: str, trusted: TrustedSet) -> Looked:
    """The floors of a stream of these keys' party and role.

    1. The boot bundle's: its record of floors, and its grants.
    2. The stored one, verified again. If it is damaged, that is a finding, and the boot bundle's
       stand in for it; so does a missing one, but of what the owner may do without (any role but
       os) only if the boot bundle tells that there was one, or is damaged itself.

    Raises HostError if the boot bundle is there and can't be read.
    """
    found = Looked()
    # 1. The boot bundle's.
    _of_bundle(found, state.bundle, trusted, stream)
    # 2. The stored one.
    path = str(state.store.path(floors.name(trusted, stream)))
    try:
        stored = state.store.read(floors.name(trusted, stream))
        if stored is not None:
            found.stored = floors.of_statement(stored, trusted, stream=stream, source=path)
            found.floors.append(found.stored)
            return found
    except ContentError as error:
        report(found, state, error, path, trusted.role)
        return found
    missing = ContentError("no-floor", f"{path}: no floor for the stream {stream}")
    if trusted.role is Role.OS or found.missed:
        report(found, state, missing, path, trusted.role)
    else:
        found.asides.append(missing.message)
    return found


def report(found: Looked, state: HostState, error: ContentError, path: str, role: Role) -> None:
    """Add what is wrong with a floor; a note, where the host may do without it."""
    if state.without_floor:
        found.notes.append(error.message)
        return
    again = _ACCEPT.get(role, "remove the boot bundle and make it anew")
    found.findings.append(
        Finding(
            check=error.code,
            link=Link.STATEMENT,
            object=path,
            problem=error.message,
            expected="the highest that this host has accepted",
            found="nothing" if error.code == "no-floor" else "something that doesn't verify",
            remedy="if nothing of it was accepted here yet, or its keys were replaced:"
            f" {again}; else somebody took it away or changed it",
        )
    )


def _finding(error: ContentError, label: str) -> Finding:
    return Finding(
        check=error.code,
        link=Link.STATEMENT,
        object=label,
        problem=error.message,
        remedy=error.hint or "",
    )


def _of_bundle(found: Looked, path: Path, trusted: TrustedSet, stream: str) -> None:
    """Add what the boot bundle says. That it is damaged, or its grants signed by others, is told.

    That alone is no finding: the gate judges the bundle, and what the host stored counts.
    """
    data = read_if_there(path, max_size=records.MAX_SIZE)
    if data is None:
        return
    label = str(path)
    try:
        fragments = records.split(data, label=label)
        for fragment in fragments:
            if fragment.kind is RecordKind.FLOORS:
                found.recorded = floors.of_record(fragment.blob, stream=stream, source=label)
    except ContentError as error:
        found.notes.append(f"{path} is no floor for {stream}: {error.message}")
        found.missed = True
        return
    if found.recorded is not None:
        found.floors.append(found.recorded)
        found.missed = True
    for fragment in fragments:
        if fragment.kind is not RecordKind.GRANTS:
            continue
        try:
            floor = floors.of_grants(
                fragment.blob, fragment.signatures, trusted, stream=stream, source=label
            )
        except ContentError as error:
            found.notes.append(f"{path} is no floor for {stream}: {error.message}")
        else:
            found.floors += [] if floor is None else [floor]


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
    stream = source.statement.stream
    # 1. Alone.
    with state.store.locked():
        # 2. Compare.
        now = look(state, stream, trusted)
        for finding in now.findings:
            raise ContentError(finding.check, finding.problem, hint=finding.remedy)
        for floor in now.floors:
            floors.check(source.statement, floor)
        name = floors.name(trusted, stream)
        path = state.store.path(name)
        if now.stored is not None and now.stored.serial == source.statement.serial:
            return None
        # 3. Write.
        signed = [one for one in envelopes if _payload(one) == source.payload]
        if not signed:
            raise ContentError("replaced", f"{path}: what was verified is not there any more")
        state.store.write(name, signed)
        return path


def _payload(envelope: bytes) -> bytes | None:
    try:
        return statement.parse_envelope(envelope).payload
    except ContentError:
        return None  # one that was skipped and reported when the statement was verified
