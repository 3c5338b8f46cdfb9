# SPDX-License-Identifier: Apache-2.0
"""The signed intent for /etc: the documents of a serial, verified, and what they ask for.

Nothing else of `verity etc` reads a manifest, and none that isn't verified leaves this module.
Whether the contents are in the store is found out where they are needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle, etc_manifest
from verity.formats.dump import Entry
from verity.ports import places
from verity.ports.content_store import ContentStore
from verity.ports.etc_state import EtcState, not_signed
from verity.trust.trusted import TrustedSet
from verity.trust.verified import (
    VerifiedManifest,
    verify_grants,
    verify_manifest,
    verify_statement,
)
from verity.values.errors import ContentError
from verity.verbs import etc_read
from verity.verbs.etc_read import Scope


@dataclass(frozen=True, kw_only=True)
class Host:
    """Where /etc, its state and its contents are."""

    root: Path
    state: EtcState
    store: ContentStore

    @classmethod
    def at(cls, root: Path, store: Path | None) -> "Host":
        """The usual places below a root; ``store`` is another content store."""
        return cls(
            root=root,
            state=EtcState(root / places.STATE),
            store=ContentStore(store or root / places.STORE),
        )


@dataclass(frozen=True, kw_only=True)
class Intent:
    """One serial, verified: who signed it and what should be there."""

    manifest: VerifiedManifest
    entries: Mapping[bytes, Entry]
    scope: Scope

    @property
    def serial(self) -> int:
        """Its serial."""
        return self.manifest.source.statement.serial

    @property
    def stream(self) -> str:
        """Its stream."""
        return self.manifest.source.statement.stream

    @property
    def signers(self) -> tuple[str, ...]:
        """The key ids that signed it."""
        return tuple(sorted(key.key_id for key in self.manifest.source.signers.values()))


def load(host: Host, serial: int, trusted: TrustedSet) -> Intent:
    """Verify a serial, and take its rules from what was signed with it.

    1. The statement is signed by enough trusted owners, of the kind etc, and of this serial.
    2. It names the manifest, which is one of /etc.
    3. It names the grants, and they are signed, too.
    """
    stored = host.state.load(serial)
    # 1. The statement.
    source = verify_statement([stored.statement], trusted)
    if source.statement.serial != serial:
        raise ContentError(
            "wrong-serial",
            f"{host.state.path / str(serial)}: the statement is of serial"
            f" {source.statement.serial}, expected {serial}",
        )
    # 2. The manifest.
    manifest = verify_manifest(stored.manifest, source)
    etc_manifest.check(manifest.entries)
    # 3. The grants.
    grants = bundle.parse_fragment(stored.grants, label=f"grants of serial {serial}")
    verify_grants(grants.blob, grants.signatures, manifest, trusted)
    entries = {entry.path: entry for entry in manifest.entries}
    scope = Scope(
        root=host.root,
        homes=etc_manifest.homes_of(entries),
        rules=etc_read.rules_as_signed(host.root, entries, host.store),
        signed=frozenset(entries),
    )
    return Intent(manifest=manifest, entries=entries, scope=scope)


def current(host: Host, trusted: TrustedSet) -> Intent:
    """The intent. HostError (``not-signed``) before the first `verity etc sign`."""
    serial = host.state.current()
    if serial is None:
        raise not_signed(host.state.path)
    return load(host, serial, trusted)
