# SPDX-License-Identifier: Apache-2.0
"""audit --since: what is different between two audits, of one host or of two.

A finding is the same if check and file are; if only what was found there differs, it changed. What
both have is counted and not listed, so that what is known floods nothing. It judges neither audit:
the exit status stays that of the newer one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from verity.formats import audit_lines, evidence
from verity.formats.evidence import Evidence
from verity.ports.osfile import read_file
from verity.trust.evidence import payload_of, verify_evidence
from verity.values.audit import Outcome
from verity.values.errors import ContentError, HostError
from verity.values.findings import Finding
from verity.values.snapshot import Snapshot, of_audit
from verity.verbs import evidence_before, evidence_trust
from verity.verbs.evidence_trust import Accepted


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is different. Each pair is (before, after); None: not there, or not told.

    ``waived`` are gone because a waiver covers them now, ``unwaived`` new because none does any
    more; neither is among ``gone`` and ``new``.
    """

    before: Snapshot
    after: Snapshot
    new: tuple[Finding, ...]
    gone: tuple[Finding, ...]
    waived: tuple[Finding, ...]
    unwaived: tuple[Finding, ...]
    changed: tuple[tuple[Finding, Finding], ...]
    unchanged: tuple[Finding, ...]
    outcomes: Mapping[str, tuple[Outcome | None, Outcome | None]]
    serials: Mapping[str, tuple[int | None, int | None]]

    @property
    def same_host(self) -> bool | None:
        """Whether both are of one host; None if one of them doesn't say."""
        one, other = self.before.host_id, self.after.host_id
        return one == other if one and other else None

    @property
    def exit_status(self) -> int:
        """That of the newer audit."""
        return self.after.exit_status


def load(file: Path, accepted: Accepted) -> tuple[Snapshot, str]:
    """The audit in a capsule or a report, and a note of what its word is worth.

    A capsule's signature has to be good, if anybody is known who may sign it.
    """
    path, data = str(file), read_file(file, max_size=audit_lines.MAX_REPORT)
    if audit_lines.is_one(data):
        return audit_lines.parse(data, source=path), f"{path}: a report, which nobody signs"
    try:
        carried = evidence.parse(payload_of(data))
    except ContentError as error:
        raise ContentError(
            error.code,
            f"{path}: {error.message}",
            hint="expected a capsule (`verity audit --evidence`) or a report in JSON Lines",
        ) from error
    try:
        trust = evidence_trust.of(carried, accepted)
    except HostError as error:
        if error.code != "no-evidence-key":
            raise
        return of_evidence(carried, path), f"{path}: its signature is not verified: {error.message}"
    found = verify_evidence(data, trust.evidence)
    return of_evidence(found.evidence, path), f"{path}: capsule sha256:{found.digest.hex()}"


def of_evidence(found: Evidence, source: str) -> Snapshot:
    """The audit in a capsule."""
    return of_audit(found.audit, source, evidence_before.serials(found))


def compare(before: Snapshot, after: Snapshot) -> Changes:
    """What is different."""
    new, gone, unchanged = [], [], []
    changed: list[tuple[Finding, Finding]] = []
    old, young = _by_name(before.findings), _by_name(after.findings)
    for name in sorted(old.keys() | young.keys()):
        was, now = old.get(name, []), young.get(name, [])
        for one in [one for one in now if one in was]:
            if one in was:  # the same may stand there twice, on one side
                was.remove(one)
                now.remove(one)
                unchanged.append(one)
        pairs = min(len(was), len(now))
        changed += zip(was, now, strict=False)
        gone += was[pairs:]
        new += now[pairs:]
    covered, was_covered = _by_name(after.waived), _by_name(before.waived)
    return Changes(
        before=before,
        after=after,
        new=tuple(one for one in new if _name(one) not in was_covered),
        gone=tuple(one for one in gone if _name(one) not in covered),
        waived=tuple(one for one in gone if _name(one) in covered),
        unwaived=tuple(one for one in new if _name(one) in was_covered),
        changed=tuple(changed),
        unchanged=tuple(unchanged),
        outcomes=_different(before.outcomes, after.outcomes),
        serials=_different(
            _of_kinds(before.serials, after.serials), _of_kinds(after.serials, before.serials)
        ),
    )


def _by_name(findings: Iterable[Finding]) -> dict[tuple[str, bytes], list[Finding]]:
    named: dict[tuple[str, bytes], list[Finding]] = {}
    for one in findings:
        named.setdefault(_name(one), []).append(one)
    return named


def _of_kinds(serials: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    """Those of a kind (the first word) of which the other side tells some, too: a report tells
    streams alone."""
    kinds = {name.split()[0] for name in others}
    return {name: number for name, number in serials.items() if name.split()[0] in kinds}


def _name(one: Finding) -> tuple[str, bytes]:
    """Which check on what: two findings of that name are the same one, at different times."""
    about = one.object.encode("utf-8", "backslashreplace") if one.path is None else one.path
    return one.check, about


Value = TypeVar("Value")


def _different(
    before: Mapping[str, Value], after: Mapping[str, Value]
) -> dict[str, tuple[Value | None, Value | None]]:
    """Names whose values differ; nothing where one side tells none at all."""
    if not before or not after:
        return {}
    names = sorted(before.keys() | after.keys())
    pairs = {name: (before.get(name), after.get(name)) for name in names}
    return {name: (one, other) for name, (one, other) in pairs.items() if one != other}
