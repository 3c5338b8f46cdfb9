# SPDX-License-Identifier: Apache-2.0
"""The signed intent for /etc: the documents of a serial, verified, and what they ask for.

Nothing else of `verity etc` reads a manifest, and none that isn't verified leaves this module.
Whether the contents are in the store is found out where they are needed.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle, etc_manifest
from verity.formats.dump import Entry
from verity.formats.grants import ConfigKind
from verity.ports import places
from verity.ports.content_store import ContentStore
from verity.ports.etc_state import EtcState
from verity.trust.clock import reference
from verity.trust.trusted import TrustedSet
from verity.trust.verified import (
    VerifiedManifest,
    verify_grants,
    verify_manifest,
    verify_statement,
)
from verity.values.errors import ContentError, HostError, VerityError
from verity.verbs import etc_read, serial_floors
from verity.verbs.etc_read import Scope
from verity.verbs.serial_floors import HostState

_NEWEST = 8


@dataclass(frozen=True, kw_only=True)
class Host:
    """Where /etc, its state and its contents are."""

    root: Path
    state: EtcState
    store: ContentStore

    @classmethod
    def at(cls, root: Path, store: Path | None) -> "Host":
        """The usual places below a root; ``store`` is another content store.

        Raises HostError if there is no such root: a typing error, and not a host never signed.
        """
        if not root.is_dir():
            raise HostError(
                "not-found",
                f"{root}: no such directory, expected the root of a host",
                hint="--root is the directory that holds its etc",
            )
        return cls(
            root=root,
            state=EtcState(root, places.STATE),
            store=ContentStore(root, places.STORE) if store is None else ContentStore(store),
        )


@dataclass(frozen=True, kw_only=True)
class Intent:
    """One serial, verified: who signed it and what should be there.

    ``granted`` are the files that its grants tell the gate of.
    """

    manifest: VerifiedManifest
    entries: Mapping[bytes, Entry]
    granted: frozenset[bytes]
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


def load(host: Host, serial: int, trusted: TrustedSet, *, any_stream: bool = False) -> Intent:
    """Verify a serial, and take its rules from what was signed with it.

    1. The statement is signed by enough trusted owners, of the kind etc, of this serial, and of
       the host's own stream (unless ``any_stream``): one key may sign for many hosts.
    2. It names the manifest, which says something of /etc and of homes, and of nothing else.
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
    if not any_stream:
        check_stream(host, source.statement.stream, what=f"serial {serial}")
    # 2. The manifest.
    manifest = verify_manifest(stored.manifest, source)
    try:
        etc_manifest.check(manifest.entries)
    except ContentError as error:
        raise ContentError(
            error.code, f"serial {serial}: {error.message}", hint=error.hint
        ) from error
    entries = {entry.path: entry for entry in manifest.entries}
    homes = etc_manifest.homes_of(entries)
    # 3. The grants.
    grants = bundle.parse_fragment(stored.grants, label=f"grants of serial {serial}")
    config = verify_grants(grants.blob, grants.signatures, manifest, trusted).grants.config
    scope = Scope(
        root=host.root,
        homes=homes,
        rules=etc_read.rules_as_signed(host.root, entries, host.store),
        signed=frozenset(entries),
    )
    return Intent(
        manifest=manifest,
        entries=entries,
        granted=frozenset(one.path for one in config if one.kind is ConfigKind.FILE),
        scope=scope,
    )


def check_stream(
    host: Host, stream: str, *, what: str, kind: type[VerityError] = ContentError
) -> None:
    """Refuse another stream than the host's own (``wrong-stream``), once there is one."""
    own = host.state.stream()
    if own is not None and own != stream:
        raise kind(
            "wrong-stream",
            f"{what}: of the stream {stream}, and this host's own is {own}",
            hint=f"to move this host to {stream} on purpose, remove {host.state.stream_file}",
        )


def reference_time(host: Host, trusted: TrustedSet, now: int, *, clock: int) -> int:
    """The newest time that is known: ``now``, or when one of the newest serials was issued that
    count here and aren't ahead of the ``clock``. A clock that was set back makes nothing valid
    again."""
    issued = []
    for serial in host.state.serials()[-_NEWEST:]:
        # One that can't be verified says nothing of the time.
        with contextlib.suppress(VerityError):
            said = verify_statement([host.state.statement(serial)], trusted).statement
            check_stream(host, said.stream, what=f"serial {serial}")
            issued.append(said.issued)
    return max(now, reference(clock, issued))


def accept(host: Host, state: HostState, intent: Intent, trusted: TrustedSet) -> Path | None:
    """Make an intent the floor of its stream, once all of /etc was found to be so."""
    stored = host.state.load(intent.serial)
    return serial_floors.accept(state, [stored.statement], intent.manifest.source, trusted)


def current(host: Host, trusted: TrustedSet) -> Intent:
    """The intent. HostError (``not-signed``) before the first `verity etc sign`, or if what says
    which it is is gone (``no-intent``)."""
    return load(host, host.state.must_current(), trusted)
