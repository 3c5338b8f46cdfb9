# SPDX-License-Identifier: Apache-2.0
"""A signed commit, as every verb takes it: verified from its raw bytes, in order, or refused.

The steps are separate functions, so that ``commit verify`` can go on after a failure and report
everything, while ``load`` stops at the first. No contents are read here.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verity.formats import dump, packed
from verity.formats.statement import format_time
from verity.trust import clock
from verity.trust.trusted import TrustedSet
from verity.trust.verified import (
    VerifiedGrants,
    VerifiedManifest,
    VerifiedStatement,
    verify_grants,
    verify_manifest,
    verify_statement,
)
from verity.values.errors import ContentError
from verity.values.findings import Finding, Link

# What is signed may also lie outside of a repository: for that, none is imported.
if TYPE_CHECKING:
    from verity.formats.commit import DetachedMetadata
    from verity.ports.ostree_repo import Repository

STATEMENT = "verity.statement"
MANIFEST = "verity.manifest"
GRANTS = "verity.grants"
GRANTS_SIGNATURES = "verity.grants.p7s"
GPG_SIGNATURES = "ostree.gpgsigs"


LINK_OF = {
    "not-signed": Link.STATEMENT,
    "no-statement": Link.STATEMENT,
    "bad-document": Link.STATEMENT,
    "bad-signature": Link.SIGNATURE,
    "wrong-role": Link.KEY,
    "wrong-commit": Link.COMMIT,
    "wrong-manifest": Link.MANIFEST,
    "bad-manifest": Link.MANIFEST,
    "too-many-entries": Link.MANIFEST,
    "wrong-boot": Link.MANIFEST,
    "wrong-grants": Link.GRANTS,
    "bad-grants": Link.GRANTS,
    "wrong-stream": Link.KEY,
    "revoked-serial": Link.STATEMENT,
    "revoked-digest": Link.MANIFEST,
}
"""Which link of the chain an error about a signed document breaks, by its code."""


@dataclass(frozen=True, kw_only=True)
class SignedCommit:
    """A commit whose statement, manifest and grants are verified and belong together."""

    checksum: str
    statement: VerifiedStatement
    manifest: VerifiedManifest
    grants: VerifiedGrants


def load(repository: "Repository", revision: str, trusted: TrustedSet) -> SignedCommit:
    """Verify a commit's signed documents, from the commit object upwards.

    1. The commit object is what its name says.
    2. The statement is signed by enough trusted owners.
    3. It names this commit.
    4. The manifest is the one that it names, and canonical; so is the boot list.
    5. The grants are the ones that it names, and signed for the kernel.
    """
    from verity.ports.signed_tree import is_canonical  # here: it takes the C extension

    # 1. The commit object.
    checksum = repository.resolve(revision)
    repository.read_commit(checksum)
    detached = repository.read_detached(checksum)
    # 2. Signatures.
    statement = verify_statement(envelopes(detached, checksum), trusted)
    # 3. This commit.
    check_commit(statement, checksum)
    # 4. Manifest and boot list.
    data = manifest_bytes(detached, checksum)
    manifest = verify_manifest(data, statement, canonical=is_canonical)
    check_boot_list(manifest)
    # 5. Grants.
    grants = verify_grants(
        grants_bytes(detached, checksum), grants_signatures(detached), manifest, trusted
    )
    return SignedCommit(checksum=checksum, statement=statement, manifest=manifest, grants=grants)


def ahead(statement: VerifiedStatement, now: int, label: str) -> list[Finding]:
    """The finding that a statement was issued ahead of the clock (``now``), or nothing."""
    issued = statement.statement.issued
    if not clock.is_ahead(issued, now):
        return []
    return [
        Finding(
            check="issued-ahead",
            link=Link.STATEMENT,
            object=label,
            problem="the statement was issued more than a day ahead of this host's clock",
            expected=f"a time about {format_time(now)}, which the clock says",
            found=format_time(issued),
            remedy="set the clock; if it is right, have it signed anew with the right time",
        )
    ]


def expiry(statement: VerifiedStatement, now: int, label: str) -> list[Finding]:
    """The finding that a statement had expired at ``now`` (seconds since 1970), or nothing."""
    if not statement.expired(now):
        return []
    return [
        Finding(
            check="expired",
            link=Link.STATEMENT,
            object=label,
            problem="the statement has expired",
            expected=f"a time before {format_time(statement.statement.expires)}",
            found=format_time(now),
            remedy="get a newer commit, or have this one signed anew",
        )
    ]


def check_commit(statement: VerifiedStatement, checksum: str) -> None:
    """Refuse a statement about another commit (``wrong-commit``)."""
    named = statement.statement.subjects["commit"].hex()
    if named != checksum:
        raise ContentError(
            "wrong-commit",
            f"statement: it is about commit {named}, this is {checksum}",
            hint="detached metadata of another commit was put beside this one",
        )


def check_boot_list(manifest: VerifiedManifest) -> None:
    """Refuse a manifest whose boot list isn't the signed one (``wrong-boot``)."""
    found = hashlib.sha256(dump.boot_list_of(manifest.data)).hexdigest()
    named = manifest.source.statement.subjects["boot"].hex()
    if found != named:
        raise ContentError(
            "wrong-boot", f"boot list: SHA-256 {found}, the signed statement names {named}"
        )


def envelopes(detached: "DetachedMetadata", checksum: str) -> tuple[bytes, ...]:
    """The DSSE envelopes of a commit; ``not-signed`` without any."""
    found = detached.get_byte_arrays(STATEMENT)
    if not found:
        raise ContentError(
            "not-signed",
            f"commit {checksum}: no verity statement in its detached metadata",
            hint="`verity commit sign` makes one; a pull brings it along, a copied ref doesn't",
        )
    return found


def manifest_bytes(detached: "DetachedMetadata", checksum: str) -> bytes:
    """The inflated manifest."""
    return packed.unpack(_present(MANIFEST, detached, checksum))


pack_manifest = packed.pack
"""The inverse of ``manifest_bytes``."""


def grants_bytes(detached: "DetachedMetadata", checksum: str) -> bytes:
    """The grants blob of a commit."""
    return _present(GRANTS, detached, checksum)


def grants_signatures(detached: "DetachedMetadata") -> tuple[bytes, ...]:
    """The PKCS#7 signatures over the grants; there may be none."""
    return detached.get_byte_arrays(GRANTS_SIGNATURES)


def _present(key: str, detached: "DetachedMetadata", checksum: str) -> bytes:
    found = detached.get_bytes(key)
    if found is None:
        raise ContentError("not-signed", f"commit {checksum}: no {key} in its detached metadata")
    return found
