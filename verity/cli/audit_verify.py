# SPDX-License-Identifier: Apache-2.0
"""verity audit --verify: a capsule, by the keys that the auditor accepts, and what it says."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verity.cli import audit_since, evidence_options, key_opening, output, trust_options
from verity.cli.evidence_options import asked
from verity.values.errors import CallerError, HostError
from verity.values.findings import Report

# An audit without --verify needs none of it.
if TYPE_CHECKING:
    from verity.trust.evidence import Demands, VerifiedEvidence
    from verity.trust.keys import PublicKey
    from verity.trust.trusted import TrustedSet
    from verity.verbs.evidence_said import Judged
    from verity.verbs.evidence_trust import Accepted
    from verity.verbs.evidence_verify import ManifestOf


def verify(keys: tuple[Path, ...], threshold: int, *, repo: Path | None, as_json: bool) -> int:
    """Verify the capsule of --verify and print what it says, and why it can be believed."""
    from verity.ports import capsules
    from verity.verbs import evidence_verify
    from verity.verbs.audit_since import of_evidence

    accepted = accepted_keys(keys, threshold)
    now = int(time.time())
    path: Path = asked("verify")
    judged = evidence_verify.verify(
        capsules.read(path).sealed,
        accepted,
        _demands(accepted, now),
        now=now,
        manifest_of=_manifest_of(repo),
    )
    before = audit_since.asked()
    if before is not None:
        said = of_evidence(judged.capsule.evidence, str(path))
        # What this verification found is new: nobody has asked the other one here.
        after = replace(
            said,
            findings=(*said.findings, *judged.findings),
            not_evaluated=(*said.not_evaluated, *judged.gaps),
        )
        audit_since.show(before, accepted, after, as_json=as_json)
        return judged.exit_status
    return show(judged, as_json=as_json)


def accepted_keys(keys: tuple[Path, ...], threshold: int) -> "Accepted":
    """Whose signatures count, by the options: pins and keyrings, or keys by name."""
    from verity.verbs import keyring_trust
    from verity.verbs.evidence_trust import Accepted

    pins, directory, without_user = trust_options.named()
    directories = [] if directory is None else [directory]
    if not pins and not keys:
        try:
            pins = keyring_trust.host_pins(Path("/"))
            directories = directories or keyring_trust.host_directories(Path("/"))
        except HostError as error:
            if error.code != "no-pin":
                raise
    named = asked("evidence_keys") or ()
    return Accepted(
        pins=pins,
        directories=directories,
        evidence=any_of([key_opening.public_key(Path(name)) for name in named]) if named else None,
        statements=trust_options.trusted_set(keys, threshold) if keys else None,
        without_user=without_user,
        allow_example_keys=key_opening.access().allow_example_keys,
    )


def any_of(keys: "Sequence[PublicKey]") -> "TrustedSet":
    """One signature by any of these keys is enough."""
    from verity.formats.grants import Party, Role
    from verity.trust.trusted import TrustedSet

    return TrustedSet.of_keys(
        keys,
        party=Party.USER,
        role=Role.EVIDENCE,
        allow_example_keys=True,  # whoever opened them has decided
    )


def read(path: Path, accepted: "Accepted") -> "VerifiedEvidence":
    """A capsule whose signature is verified, and nothing else of it."""
    from verity.formats import evidence
    from verity.ports import capsules
    from verity.trust.evidence import verify_evidence
    from verity.verbs import evidence_trust

    found = capsules.read(path)
    trust = evidence_trust.of(evidence.parse(found.payload), accepted)
    return verify_evidence(found.sealed, trust.evidence)


def _demands(accepted: "Accepted", now: int) -> "Demands":
    from verity.trust.evidence import Demands

    before: Path | None = asked("previous")
    host: str | None = asked("host")
    if host is not None and not evidence_options.is_hex(host, 64, 64):
        raise CallerError("bad-arguments", f"--host {host[:80]!r}: not 64 lower-case hex digits")
    return Demands(
        nonce=evidence_options.nonce(),
        host=host,
        max_age=evidence_options.max_age(),
        previous=None if before is None else read(before, accepted),
    )


def _manifest_of(repo: Path | None) -> "ManifestOf | None":
    path: Path | None = asked("manifest")
    if path is not None:
        from verity.verbs import manifest

        data = manifest.load(path)
        return lambda statement: data
    if repo is None:
        return None
    from verity.ports.ostree_repo import Repository
    from verity.verbs import signed

    def of(statement: Any) -> bytes:
        checksum = statement.statement.subjects["commit"].hex()
        with Repository(repo) as repository:
            return signed.manifest_bytes(repository.read_detached(checksum), checksum)

    return of


def show(judged: "Judged", *, as_json: bool) -> int:
    """Print a capsule that was verified; the exit status."""
    from verity.verbs.evidence_said import Basis

    capsule, audit = judged.capsule, judged.capsule.evidence.audit
    signers = sorted(key.key_id for key in capsule.signers.values())
    if as_json:
        output.record(
            "capsule",
            {
                "sha256": capsule.digest.hex(),
                "signers": signers,
                "host_id": audit.head.host_id,
                "boot_id": audit.head.boot_id,
                "nonce": capsule.evidence.nonce.hex(),
                "state": audit.state,
            },
        )
        for one in judged.said:
            output.record(
                "said",
                {
                    "what": one.what,
                    "basis": one.basis.name.lower().replace("_", "-"),
                    "value": one.value,
                    "depends": one.depends,
                },
            )
    else:
        output.line(f"capsule sha256:{capsule.digest.hex()}")
        output.line(f"signed by key {', '.join(signers)}")
        for basis in Basis:
            rows = [one for one in judged.said if one.basis is basis]
            if rows:
                output.line(f"{basis}:")
            for one in rows:
                output.line(f"    {one.what}: {output.one_line(one.value)}")
                if one.depends and basis is not Basis.HOST_KEY:
                    output.line(f"        the host's word is {one.depends}")
    counts = {
        "findings of the audit": len(audit.findings),
        "findings of this verification": len(judged.findings),
        "waived": len(audit.waived),
    }
    return output.report(
        Report(
            counts=counts,
            findings=(*judged.findings, *audit.findings),
            not_evaluated=(*judged.gaps, *audit.not_evaluated),
            notes=tuple(judged.notes),
        ),
        as_json=as_json,
        good=lambda: "good: the capsule, and what it says of its host",
    )
