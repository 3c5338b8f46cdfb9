# SPDX-License-Identifier: Apache-2.0
"""commit verify: every link from the key to the last object, and every failure of each.

It checks more than stock ostree: the contents of every object, also after a local pull; the
manifest against the commit's own tree; the grants against both; that no key is revoked, and that
nothing is older than what this host has accepted. OSTree's own signatures are judged for those who
name keys for them, and never counted towards our thresholds. Nothing is written: raising a floor is
``commit_accept``.
"""

from dataclasses import dataclass, field

from verity.formats.commit import DetachedMetadata
from verity.formats.dump import count_files, printable
from verity.formats.grant_rules import Asked, as_granted, earned
from verity.ports.ostree_repo import Repository
from verity.trust.native import NativeSignature
from verity.trust.trusted import TrustedSet
from verity.trust.verified import (
    VerifiedGrants,
    VerifiedManifest,
    VerifiedStatement,
    verify_grants,
    verify_manifest,
    verify_statement,
)
from verity.values.errors import ContentError, HostError, VerityError
from verity.values.findings import Finding, Link, NotEvaluated, Report
from verity.verbs import commit_differences, contents, native_signatures, serial_floors, signed
from verity.verbs.contents import CommitTree
from verity.verbs.native_signatures import NativeTrust
from verity.verbs.serial_floors import HostState, Judged

_NOBODY = NativeTrust()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was found, OSTree's own signatures, and what may become a floor if all is good.

    ``asides`` are notes for those who want to know everything.
    """

    report: Report
    native: tuple[NativeSignature, ...]
    statement: VerifiedStatement | None
    envelopes: tuple[bytes, ...]
    commit: str
    asides: tuple[str, ...] = ()


@dataclass
class _Collector:
    findings: list[Finding] = field(default_factory=list)
    not_evaluated: list[NotEvaluated] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, error: VerityError, link: Link, label: str, path: bytes | None = None) -> None:
        if isinstance(error, HostError):
            self.not_evaluated.append(
                NotEvaluated(
                    check=error.code,
                    object=label,
                    path=path,
                    why=error.message,
                    hint=error.hint or "",
                )
            )
            return
        self.findings.append(
            Finding(
                check=error.code,
                link=signed.LINK_OF.get(error.code, link),
                object=label,
                path=path,
                problem=error.message,
                remedy=error.hint or "",
            )
        )


def verify(
    repository: Repository,
    revision: str,
    trusted: TrustedSet,
    *,
    now: int,
    jobs: int,
    clock: int | None = None,
    host: HostState | None = None,
    native: NativeTrust = _NOBODY,
    asked: Asked | None = None,
) -> Outcome:
    """Verify a signed commit.

    1. The commit object is what its name says.
    2. Of OSTree's own signatures that the caller asks for, one is good; each is judged.
    3. The statement is signed by enough trusted owners, none of whose keys is revoked, and names
       this commit.
    4. Its serial is not below the host's floor, and not the floor's with other subjects.
    5. It has not expired at the reference time: ``now`` (seconds since 1970) or later; nor was it
       issued ahead of the ``clock``, which is ``now`` if None.
    6. The manifest is the one it names, canonical, and so is the boot list.
    7. The grants are the ones it names, signed in the kernel's form.
    8. Every object of the commit is what its name says, contents included.
    9. The manifest describes exactly the commit's tree, field by field.
    10. The grants are exactly what manifest and contents earn, with the interpreters, jit and
        guarded paths that are ``asked``; None takes over those of the grants. What is granted jit
        is named.

    A failure hides no later one that can still be judged. Raises only for what leaves nothing to
    verify: no repository, no such revision, an unreadable commit object.
    """
    found = _Collector()
    # 1. The commit object.
    checksum = repository.resolve(revision)
    label = f"commit {checksum[:12]}"
    raw, _ = repository.read_commit(checksum)
    detached = repository.read_detached(checksum)
    # 2. OSTree's own signatures.
    judged = native_signatures.judge(detached, raw, native, trusted.revocations)
    found.findings += native_signatures.findings(judged, native, label)
    # 3. Signatures.
    statement: VerifiedStatement | None = None
    manifest: VerifiedManifest | None = None
    grants: VerifiedGrants | None = None
    envelopes: tuple[bytes, ...] = ()
    compared = Judged(time=now, compared=None if host is None else 0)
    try:
        envelopes = signed.envelopes(detached, checksum)
        statement = verify_statement(envelopes, trusted)
    except VerityError as error:
        found.add(error, Link.STATEMENT, label)
    if statement is not None:
        found.notes += statement.skipped
        try:
            signed.check_commit(statement, checksum)
        except ContentError as error:
            found.add(error, Link.COMMIT, label)
        # 4. Serial.
        compared = serial_floors.judge(host, statement, trusted, now=now, clock=clock)
        found.findings += compared.findings
        found.not_evaluated += compared.not_evaluated
        found.notes += compared.notes
        # 5. Expiry.
        found.findings += signed.expiry(statement, compared.time, label)
        found.findings += signed.ahead(statement, now if clock is None else clock, label)
        # 6. Manifest and boot list.
        try:
            manifest = verify_manifest(signed.manifest_bytes(detached, checksum), statement)
            signed.check_boot_list(manifest)
        except ContentError as error:
            found.add(error, Link.MANIFEST, label)
    # 7. Grants.
    if manifest is not None:
        grants = _grants(found, detached, checksum, manifest, trusted, label)
    # 8. Objects.
    try:
        tree = contents.read(repository, checksum, jobs=jobs)
    except VerityError as error:
        found.add(error, Link.OBJECT, label)
    else:
        found.counts |= {"files": count_files(tree.entries), "objects": tree.objects}
        for path, problem in tree.damaged:
            found.add(problem, Link.OBJECT, printable(path), path)
        # 9. Manifest against the tree.
        if manifest is not None:
            found.findings += commit_differences.of_manifest(
                manifest.entries, tree.entries, tree.missing
            )
        # 10. Grants against manifest and contents.
        if manifest is not None and grants is not None:
            _due(found, grants, manifest, tree, asked, label)
    kept = {} if compared.compared is None else {"floors": compared.compared}
    report = Report(
        counts=found.counts | kept,
        findings=tuple(found.findings),
        not_evaluated=tuple(found.not_evaluated),
        notes=tuple(found.notes),
    )
    return Outcome(
        report=report,
        native=judged,
        statement=statement,
        envelopes=envelopes,
        commit=checksum,
        asides=compared.asides,
    )


def _grants(
    found: _Collector,
    detached: DetachedMetadata,
    checksum: str,
    manifest: VerifiedManifest,
    trusted: TrustedSet,
    label: str,
) -> VerifiedGrants | None:
    try:
        grants = verify_grants(
            signed.grants_bytes(detached, checksum),
            signed.grants_signatures(detached),
            manifest,
            trusted,
        )
    except ContentError as error:
        found.add(error, Link.GRANTS, label)
        return None
    found.notes += grants.skipped
    return grants


def _due(
    found: _Collector,
    given: VerifiedGrants,
    manifest: VerifiedManifest,
    tree: CommitTree,
    asked: Asked | None,
    label: str,
) -> None:
    """Hold the grants against what the commit's own tree earns, as far as it could be read."""
    found.notes += commit_differences.jit_notes(given.grants, manifest.entries)
    try:
        due = earned(tree.entries, tree.heads, asked or as_granted(given.grants))
    except ContentError as error:
        found.add(error, Link.GRANTS, label)
        return
    found.findings += commit_differences.of_grants(
        given.grants, due, manifest.entries, tree.missing
    )
