# SPDX-License-Identifier: Apache-2.0
"""verity audit --evidence, --since: what is done with an audit beside its report.

The command asks ``begin`` before it audits, for that takes its time, and calls ``end`` with the
audit.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from verity.cli import audit_since, evidence_options, key_opening, output
from verity.cli.evidence_options import asked
from verity.values.errors import CallerError, HostError

# An audit without these options needs none of it.
if TYPE_CHECKING:
    from verity.ports.keystore import SigningKey
    from verity.values.audit import Audit
    from verity.verbs.signed import SignedCommit


@dataclass(frozen=True, kw_only=True)
class Writing:
    """A capsule that will be written when the audit is there."""

    target: Path
    keys: "Sequence[SigningKey]"
    nonce: bytes
    previous: bytes | None


def begin() -> Writing | None:
    """Open the keys of --evidence and look at what it needs, before an audit that takes its time;
    None without it."""
    target: Path | None = asked("evidence")
    if target is None:
        return None
    uris: tuple[str, ...] = asked("evidence_keys") or ()
    if not uris:
        raise CallerError(
            "bad-arguments",
            "--evidence: nobody signs it",
            hint="--evidence-key KEY; `verity key generate` makes one for this host",
        )
    if os.path.lexists(target):
        raise HostError(
            "exists",
            f"{target}: exists already and is not overwritten",
            hint="choose another name",
        )
    from verity.ports import capsules

    before: Path | None = asked("previous")
    return Writing(
        target=target,
        keys=[key_opening.signer(uri) for uri in uris],
        nonce=evidence_options.nonce() or b"",
        previous=None if before is None else capsules.read(before).digest,
    )


def end(
    writing: Writing | None,
    audit: "Audit",
    root: Path,
    *,
    commit: "SignedCommit | None",
    repo: Path | None,
    keys: tuple[Path, ...],
    threshold: int,
    as_json: bool,
) -> None:
    """Write the capsule of an audit, if one is asked for; with --since print what changed, in the
    place of the report. The exit status stays that of the audit.

    ``commit`` is what was audited, from ``repo``; ``keys`` and ``threshold`` are the options.
    """
    since = audit_since.asked()
    if writing is None and since is None:
        return
    from verity.values.snapshot import of_audit
    from verity.verbs import evidence_before, evidence_collect

    bound = evidence_collect.Bound(
        issued=int(time.time()),
        nonce=b"" if writing is None else writing.nonce,
        previous=None if writing is None else writing.previous,
    )
    found = evidence_collect.of_host(root, audit, bound, commit=commit, repo=repo)
    if writing is not None:
        from verity.verbs import evidence_make

        made = evidence_make.write(found, writing.keys, writing.target)
        for name, why in found.left_out.items():
            output.message(f"warning: the capsule has no {name}: {output.one_line(why)}")
        output.message(f"evidence: {writing.target}, capsule sha256:{made.digest.hex()}")
    if since is None:
        return
    from verity.cli import audit_verify
    from verity.verbs.evidence_trust import Accepted

    # Of one host: whoever signs the new capsule signed the one before.
    accepted = (
        audit_verify.accepted_keys(keys, threshold)
        if writing is None
        else Accepted(pins={}, evidence=audit_verify.any_of([key.public for key in writing.keys]))
    )
    after = of_audit(audit, "now", evidence_before.serials(found))
    audit_since.show(since, accepted, after, as_json=as_json)
