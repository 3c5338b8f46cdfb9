# SPDX-License-Identifier: Apache-2.0
"""Area files: every file of the manifest, by ``verbs.audit``."""

from verity.values.audit import Area, AreaResult, Check, Covered, Severity
from verity.verbs import audit
from verity.verbs.audit_collect import Collector
from verity.verbs.audit_host import AuditedHost

CHECKS: tuple[Check, ...] = tuple(
    Check(id=check, area=Area.FILES, severity=severity, title=title)
    for check, severity, title in (
        ("missing", Severity.MEDIUM, "every signed file is there"),
        ("type", Severity.HIGH, "every file is of the signed type"),
        ("content", Severity.CRITICAL, "every file has the signed contents"),
        ("no-verity", Severity.HIGH, "every signed file has fs-verity"),
        ("metadata", Severity.HIGH, "mode, owner, xattrs and target are as signed"),
        ("unsigned-privileged", Severity.CRITICAL, "no unsigned program raises privileges"),
        ("unsigned-code", Severity.CRITICAL, "there is no unsigned code"),
        ("unsigned-file", Severity.LOW, "there is no unsigned file"),
        ("unreadable", Severity.HIGH, "everything can be read"),
    )
)


def examine(host: AuditedHost) -> AreaResult:
    """Compare the tree with the manifest."""
    found = Collector(Area.FILES, CHECKS)
    if host.commit is None:
        why = "there is no verified commit, so no manifest to compare with"
        found.gap("content", str(host.root), why, "see the area trust")
        return found.result()
    total = len(host.commit.manifest.entries)
    report = audit.audit(
        host.root,
        host.commit.manifest,
        now=host.now,
        clock=host.clock,
        progress=lambda done: host.progress("files", done, total),
    )
    # When the statement was issued and ends is the area trust's.
    found.take(one for one in report.findings if one.check not in ("expired", "issued-ahead"))
    found.take_gaps(report.not_evaluated, "unreadable")
    found.counts |= report.counts
    found.coverage[Covered.MEASURED] = report.counts["measured by the kernel"]
    found.coverage[Covered.HASHED] = report.counts["hashed"]
    return found.result()
