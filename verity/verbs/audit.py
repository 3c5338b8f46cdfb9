# SPDX-License-Identifier: Apache-2.0
"""A tree against one signed manifest, as a report: what the area files finds, and the statement's
time. Directories of state are compared like all others: the tree is one that was checked out."""

from collections.abc import Callable
from pathlib import Path

from verity.trust.verified import VerifiedManifest
from verity.values.findings import Report
from verity.verbs import audit_files, signed


def audit(
    root: Path,
    manifest: VerifiedManifest,
    *,
    now: int,
    clock: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Compare the tree at ``root`` with the manifest.

    ``now`` is seconds since 1970, for expiry; the ``clock`` is that, too, if None. ``progress``
    hears how many lines are done, of how many.
    """
    found = audit_files.compare(root, manifest, audit_files.How(progress=progress))
    return Report(
        counts=found.counts,
        findings=(
            *signed.expiry(manifest.source, now, "statement"),
            *signed.ahead(manifest.source, now if clock is None else clock, "statement"),
            *found.findings,
        ),
        not_evaluated=found.gaps,
    )
