# SPDX-License-Identifier: Apache-2.0
"""fs-verity on the files of /etc that grants name: a sealed gate asks the kernel for their digest,
and refuses to privileged programs what has none.

It turns fs-verity on, by ``verbs.enable``, for what is as signed and lacks it; what isn't as signed
is `etc apply`'s to bring back first. Where the policy of the host's boot bundle guards a file as
signed, that it has none is a finding. Elsewhere it is none: nothing asks for its digest there, and
many file systems have no fs-verity.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from verity.formats import records
from verity.formats.dump import printable
from verity.formats.records import RecordKind
from verity.ports import many, places
from verity.ports.osfile import read_file
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


def asked_by_gate(root: Path, paths: Sequence[bytes]) -> list[bytes]:
    """Those of these paths that the policy of the host's boot bundle guards as signed.

    A bundle that is damaged or can't be read asks nothing here: whoever holds serials against it
    tells of that (``serial_floors``).
    """
    if not paths or not os.path.lexists(root / places.BUNDLE):
        return []
    # Here: a host without a bundle needs nothing of policies.
    from verity.formats import kernel_policy
    from verity.formats.guarded_paths import GuardedPaths
    from verity.formats.kernel_guarded import GuardedClass

    try:
        data = read_file(root / places.BUNDLE, max_size=records.MAX_SIZE)
        fragments = records.split(data, label=str(root / places.BUNDLE))
        blobs = [one.blob for one in fragments if one.kind is RecordKind.POLICY]
        tables = [kernel_policy.parse(blob).guarded for blob in blobs]
    except VerityError:
        return []
    guarded = [GuardedPaths(guarded=table, without_owners=False) for table in tables]
    return [
        path
        for path in paths
        if any(
            found.file_class is GuardedClass.SIGNED
            for one in guarded
            if (found := one.of_path(path)) is not None
        )
    ]


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
    why = dict(done.failed)
    refused = asked_by_gate(root, list(why))
    if refused:
        found.append(
            f"{len(refused)} signed files have no fs-verity, so a sealed gate refuses them:"
            f" {why[refused[0]]}"
        )
    return found


def findings(root: Path, intent: Intent, found: Found) -> tuple[Finding, ...]:
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
        for path in asked_by_gate(root, lacking(intent, found))
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
