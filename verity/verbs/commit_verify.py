# SPDX-License-Identifier: Apache-2.0
"""commit verify: every link from the key to the last object, and every failure of each.

It checks more than stock ostree: the contents of every object, also after a local pull; the
manifest against the commit's own tree; the grants against both. OpenPGP signatures are shown by
``commit show`` and never counted. Revocation and serial floors arrive with keyrings.
"""

from collections.abc import Set
from dataclasses import dataclass, field

from verity.formats import dump
from verity.formats.dump import Entry, printable
from verity.formats.grant_rules import Earned, earned
from verity.ports.ostree_repo import Repository
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
from verity.verbs import contents, signed


@dataclass
class _Collector:
    findings: list[Finding] = field(default_factory=list)
    not_evaluated: list[NotEvaluated] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

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
    repository: Repository, revision: str, trusted: TrustedSet, *, now: int, jobs: int
) -> Report:
    """Verify a signed commit.

    1. The commit object is what its name says.
    2. The statement is signed by enough trusted owners, and names this commit.
    3. It has not expired at ``now`` (seconds since 1970).
    4. The manifest is the one it names, canonical, and so is the boot list.
    5. The grants are the ones it names, signed in the kernel's form.
    6. Every object of the commit is what its name says, contents included.
    7. The manifest describes exactly the commit's tree.
    8. The grants are exactly what manifest and contents earn.

    A failure hides no later one that can still be judged. Raises only for what leaves nothing to
    verify: no repository, no such revision, an unreadable commit object.
    """
    found = _Collector()
    # 1. The commit object.
    checksum = repository.resolve(revision)
    label = f"commit {checksum[:12]}"
    repository.read_commit(checksum)
    detached = repository.read_detached(checksum)
    statement: VerifiedStatement | None = None
    manifest: VerifiedManifest | None = None
    grants: VerifiedGrants | None = None
    # 2. Signatures.
    try:
        statement = verify_statement(signed.envelopes(detached, checksum), trusted)
    except VerityError as error:
        found.add(error, Link.STATEMENT, label)
    if statement is not None:
        found.notes += statement.skipped
        try:
            signed.check_commit(statement, checksum)
        except ContentError as error:
            found.add(error, Link.COMMIT, label)
        # 3. Expiry.
        found.findings += signed.expiry(statement, now, label)
        # 4. Manifest and boot list.
        try:
            manifest = verify_manifest(signed.manifest_bytes(detached, checksum), statement)
            signed.check_boot_list(manifest)
        except ContentError as error:
            found.add(error, Link.MANIFEST, label)
    # 5. Grants.
    if manifest is not None:
        try:
            grants = verify_grants(
                signed.grants_bytes(detached, checksum),
                signed.grants_signatures(detached),
                manifest,
                trusted,
            )
            found.notes += grants.skipped
        except ContentError as error:
            found.add(error, Link.GRANTS, label)
    # 6. Objects.
    try:
        tree = contents.read(repository, checksum, jobs=jobs)
    except VerityError as error:
        found.add(error, Link.OBJECT, label)
        return _report(found, {})
    for path, problem in tree.damaged:
        found.add(problem, Link.OBJECT, printable(path), path)
    # 7. Manifest against the tree.
    if manifest is not None:
        found.findings += _differences(manifest.entries, tree.entries, tree.missing)
    # 8. Grants against manifest and contents.
    if grants is not None and not tree.damaged:
        found.findings += _grant_differences(grants, earned(tree.entries, tree.heads), label)
    return _report(found, {"files": len(tree.entries), "objects": tree.objects})


def _report(found: _Collector, counts: dict[str, int]) -> Report:
    return Report(
        counts=counts,
        findings=tuple(found.findings),
        not_evaluated=tuple(found.not_evaluated),
        notes=tuple(found.notes),
    )


def _differences(
    signed_entries: tuple[Entry, ...], tree: tuple[Entry, ...], skip: Set[bytes]
) -> list[Finding]:
    """Each path whose signed line differs from the commit's own."""
    if signed_entries == tree:
        return []
    expected = {entry.path: dump.line(entry) for entry in signed_entries}
    there = {entry.path: dump.line(entry) for entry in tree}
    return [
        Finding(
            check="manifest-differs",
            link=Link.MANIFEST,
            object=printable(path),
            path=path,
            problem="the signed manifest and the commit's tree disagree",
            expected=_line_text(expected.get(path)),
            found=_line_text(there.get(path)),
            remedy="the commit was not signed as it is: have it signed anew",
        )
        for path in sorted(expected.keys() | there.keys())
        if expected.get(path) != there.get(path) and path not in skip
    ]


def _line_text(line: bytes | None) -> str:
    return "no such file" if line is None else line.decode("ascii").rstrip("\n")


def _grant_differences(grants: VerifiedGrants, recomputed: Earned, label: str) -> list[Finding]:
    findings = []
    for table, given, due in (
        ("code", set(grants.grants.code), set(recomputed.code)),
        ("elevate", set(grants.grants.elevate), set(recomputed.elevate)),
        ("config", set(grants.grants.config), set[object]()),
    ):
        if given != due:
            findings.append(
                Finding(
                    check="grants-differ",
                    link=Link.GRANTS,
                    object=label,
                    problem=f"the {table} table is not what manifest and contents earn",
                    expected=f"{len(due)} entries",
                    found=f"{len(given)} entries, {len(given - due)} of them not earned and"
                    f" {len(due - given)} missing",
                    remedy="have the commit signed anew with `verity commit sign`",
                )
            )
    return findings
