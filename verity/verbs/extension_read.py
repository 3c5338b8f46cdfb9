# SPDX-License-Identifier: Apache-2.0
"""A signed extension from its directory, verified in order: statement, manifest, grants."""

from dataclasses import dataclass
from pathlib import Path

from verity.ports import extension_files
from verity.trust.trusted import TrustedSet
from verity.trust.verified import (
    VerifiedGrants,
    VerifiedManifest,
    verify_grants,
    verify_manifest,
    verify_statement,
)


@dataclass(frozen=True, kw_only=True)
class SignedExtension:
    """What an extension's signers said of it; the manifest knows its statement."""

    manifest: VerifiedManifest
    grants: VerifiedGrants


def load(folder: Path, trusted: TrustedSet) -> SignedExtension:
    """Verify what `extension sign` wrote. Raises ContentError, HostError."""
    files = extension_files.read(folder)
    statement = verify_statement([files.envelope], trusted)
    manifest = verify_manifest(files.manifest, statement)
    fragment = files.fragment
    granted = verify_grants(fragment.blob, fragment.signatures, manifest, trusted)
    return SignedExtension(manifest=manifest, grants=granted)
