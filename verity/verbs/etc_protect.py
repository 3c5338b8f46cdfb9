# SPDX-License-Identifier: Apache-2.0
"""fs-verity on the files of /etc that grants name: a sealed gate asks the kernel for their digest,
and refuses to privileged programs what has none.

It turns fs-verity on, by ``verbs.enable``, for what is as signed and lacks it; what isn't as signed
is `etc apply`'s to bring back first. On a host that boots with a gate a file without is a finding.
Elsewhere it is none: nothing asks for digests there, and many file systems have no fs-verity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from verity.formats.dump import printable
from verity.ports import many, places
from verity.values.digest import Digest, HashAlgorithm
from verity.values.errors import VerityError
from verity.values.findings import Finding, Link
from verity.verbs import batch, enable, etc_read
from verity.verbs.enable import How, Target
from verity.verbs.etc_intent import Intent
from verity.verbs.etc_read import Found

_NONE = frozenset({"no-verity-filesystem", "no-verity-feature"})


@dataclass(frozen=True, kw_only=True)
class Protected:
    """How many files have fs-verity that had none, and which still haven't, with why."""

    enabled: int = 0
    failed: tuple[tuple[bytes, str], ...] = ()


def has_gate(root: Path) -> bool:
    """Whether a host is set up to boot with a gate."""
    return (root / places.BUNDLE).exists()


def lacking(intent: Intent, found: Found) -> list[bytes]:
    """What is granted, there as signed, and without fs-verity."""
    return [
        path
        for path in sorted(found.unprotected)
        if path in intent.granted and found.entries[path].digest == intent.entries[path].digest
    ]


def protect(root: Path, intent: Intent, paths: Sequence[bytes]) -> Protected:
    """Turn fs-verity on for these, durably; a file that changed meanwhile is left as it is.

    /etc and each home may be file systems of their own: where the first file says that there is no
    fs-verity, the others aren't asked.
    """
    found: dict[bytes, VerityError | None] = {}
    for top in intent.scope.tops:
        inside = [path for path in paths if path.startswith(top + b"/")]
        found |= _enabled(root, intent, inside[:1])
        error = found[inside[0]] if inside else None
        if error is not None and error.code in _NONE:
            found |= dict.fromkeys(inside, error)
        else:
            found |= _enabled(root, intent, inside[1:])
    failed = tuple((path, error.message) for path, error in found.items() if error is not None)
    return Protected(enabled=len(found) - len(failed), failed=failed)


def notes(root: Path, done: Protected) -> list[str]:
    """What to tell of it; of what failed only where a gate will ask."""
    found = []
    if done.enabled:
        found.append(f"fs-verity is on for {done.enabled} signed files that had none")
    if done.failed and has_gate(root):
        found.append(
            f"{len(done.failed)} signed files have no fs-verity, so a sealed gate refuses them:"
            f" {done.failed[0][1]}"
        )
    return found


def findings(intent: Intent, found: Found) -> tuple[Finding, ...]:
    """A finding for each file that a sealed gate would refuse, though it is as signed."""
    return tuple(
        Finding(
            check="no-verity",
            link=Link.DIGEST,
            object=printable(path),
            path=path,
            problem="the contents are as signed, but fs-verity is off: a sealed gate refuses it to"
            " privileged programs",
            expected="fs-verity on",
            found="fs-verity off",
            remedy="`verity etc apply` turns it on",
        )
        for path in lacking(intent, found)
    )


def _enabled(root: Path, intent: Intent, paths: Sequence[bytes]) -> dict[bytes, VerityError | None]:
    targets = [
        Target(
            label=printable(path),
            open=partial(etc_read.open_file, root, path),
            expected=Digest(HashAlgorithm.SHA256, intent.entries[path].digest or b""),
        )
        for path in paths
    ]
    # No pause: what somebody writes to right now is told, and the next apply has it.
    how = How(jobs=batch.default_jobs(), pause=lambda seconds: None, stop=many.Stop())
    results = enable.enable(targets, how)
    return {
        path: done if isinstance(done, VerityError) else None
        for path, (_, done) in zip(paths, results, strict=True)
    }
