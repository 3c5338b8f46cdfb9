# SPDX-License-Identifier: Apache-2.0
"""audit --evidence: what an audit rests on, read from the host.

The documents are taken verbatim and verified by nobody here: the audit has, and whoever gets the
capsule does again. What can't be read is in it with why. Of a manifest it takes the lines of the
files that findings are about, and of the OS's manifest alone: the lines of a signed /etc tell
whether a guess at a short secret is right (ports/etc_state.py), and a capsule leaves the host.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from verity.formats import dump, keyring, policy_document, records, statement
from verity.formats.evidence import BundleSaid, Evidence
from verity.formats.grants import Party
from verity.formats.records import RecordKind
from verity.ports import extension_files, floors, gate_files, keyring_files, places
from verity.ports.etc_state import EtcState
from verity.ports.floors import FloorStore
from verity.ports.osfile import read_file
from verity.ports.ostree_repo import Repository
from verity.trust.verified import VerifiedManifest
from verity.values.audit import Audit
from verity.values.errors import ContentError, HostError, VerityError
from verity.verbs import gate_view, keyring_trust, signed
from verity.verbs.signed import SignedCommit

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Bound:
    """What ties a capsule to its request and to the one before; the time in seconds since 1970."""

    issued: int
    nonce: bytes = b""
    previous: bytes | None = None


def collect(
    root: Path,
    audit: Audit,
    bound: Bound,
    *,
    envelopes: Sequence[bytes] = (),
    manifest: VerifiedManifest | None = None,
) -> Evidence:
    """Put an audit together with the documents of the host at ``root``.

    ``envelopes`` are those of the statement that was audited, ``manifest`` is the one that it
    names; None if there was none.
    """
    left_out: dict[str, str] = {}

    def asked(name: str, read: Callable[[], Value]) -> Value | None:
        try:
            return read()
        except VerityError as error:
            left_out[name] = error.message
            return None

    keyrings = {
        party: asked(f"keyring of the {party.name.lower()}", partial(_keyring, root, party))
        for party in sorted(Party)
    }
    return Evidence(
        issued=bound.issued,
        audit=audit,
        nonce=bound.nonce,
        previous=bound.previous,
        keyrings={party: versions for party, versions in keyrings.items() if versions},
        statements=(
            *envelopes,
            *(asked("statement of /etc", partial(_etc, root)) or ()),
            *(asked("statements of extensions", partial(_extensions, root)) or ()),
        ),
        floors=asked("serial floors", partial(_floors, root)) or (),
        policy=asked("policy", partial(_policy, root)),
        bundle=asked("boot bundle", partial(_bundle, root)),
        gate=asked("gate", partial(_gate, root)),
        lines=_lines(audit, manifest),
        left_out=left_out,
    )


def of_host(
    root: Path, audit: Audit, bound: Bound, *, commit: SignedCommit | None, repo: Path | None
) -> Evidence:
    """The same for a host whose ``commit``, from ``repo``, was audited; None if none was good."""
    if commit is None:
        return collect(root, audit, bound)
    envelopes: tuple[bytes, ...] = ()
    if repo is not None:
        with Repository(repo) as repository:
            detached = repository.read_detached(commit.checksum)
        payload = commit.statement.payload
        envelopes = tuple(
            one for one in signed.envelopes(detached, commit.checksum) if _payload(one) == payload
        )
    return collect(root, audit, bound, envelopes=envelopes, manifest=commit.manifest)


def _keyring(root: Path, party: Party) -> tuple[bytes, ...]:
    directories = keyring_trust.host_directories(root)
    versions = [one.data for one in keyring_files.read_versions(directories, party)]
    return tuple(_of_type(data, keyring.PAYLOAD_TYPE) for data in versions)


def _etc(root: Path) -> tuple[bytes, ...]:
    state = EtcState(root, places.STATE)
    serial = state.current()
    if serial is None:
        return ()
    return (_of_type(state.statement(serial), statement.PAYLOAD_TYPE),)


def _extensions(root: Path) -> tuple[bytes, ...]:
    folders = [root / places.EXTENSIONS / name for name in extension_files.kept(root)]
    read = (extension_files.read(folder).envelope for folder in folders)
    return tuple(_of_type(data, statement.PAYLOAD_TYPE) for data in read)


def _floors(root: Path) -> tuple[bytes, ...]:
    store = FloorStore(root / floors.FLOORS)
    names = [name for name in store.names("") if not name.startswith(".")]
    return tuple(one for name in names for one in store.read(name) or () if _is_statement(one))


def _policy(root: Path) -> bytes | None:
    data = _unless_missing(lambda: read_file(root / places.POLICY, max_size=statement.MAX_ENVELOPE))
    return None if data is None else _of_type(data, policy_document.PAYLOAD_TYPE)


def _of_type(data: bytes, payload_type: str) -> bytes:
    """The bytes, if they are an envelope of this type: below a root that somebody else made, a link
    may lead to any file of the auditor's own, and a capsule goes to others."""
    found = statement.parse_envelope(data).payload_type
    if found != payload_type:
        raise ContentError(
            "bad-document", f"the payload type is {found[:80]!r}, expected {payload_type!r}"
        )
    return data


def _bundle(root: Path) -> BundleSaid | None:
    path = root / places.BUNDLE
    data = _unless_missing(lambda: read_file(path, max_size=records.MAX_SIZE))
    if data is None:
        return None
    policies = [
        hashlib.sha256(one.blob).digest()
        for one in records.split(data, label=str(path))
        if one.kind is RecordKind.POLICY
    ]
    return BundleSaid(
        sha256=hashlib.sha256(data).digest(), policy=policies[0] if policies else None
    )


def _gate(root: Path) -> str | None:
    if gate_view.status(root) is None:  # which asks the kernel, too, where it is the host's own
        return None
    data = gate_files.read_status(root)
    return None if data is None else data.decode("ascii", "backslashreplace")


def _lines(audit: Audit, manifest: VerifiedManifest | None) -> Mapping[bytes, tuple[str, ...]]:
    """The lines of the files that findings, waived ones and gaps are about."""
    if manifest is None:
        return {}
    about = {finding.path for finding in audit.findings}
    about |= {gap.path for gap in audit.not_evaluated}
    about |= {one.finding.path for one in audit.waived}
    lines = [dump.line(entry) for entry in manifest.entries if entry.path in about]
    if not lines:
        return {}
    return {manifest.sha256: tuple(sorted(line.decode("ascii").rstrip("\n") for line in lines))}


def _is_statement(data: bytes) -> bool:
    """Whether it is an envelope of a statement; a floor of a policy is none."""
    try:
        return statement.is_ours(statement.parse_envelope(data))
    except ContentError:
        return False


def _payload(data: bytes) -> bytes | None:
    try:
        return statement.parse_envelope(data).payload
    except ContentError:
        return None  # one that was skipped and reported when the statement was verified


def _unless_missing(read: Callable[[], bytes]) -> bytes | None:
    try:
        return read()
    except HostError as error:
        if error.code == "not-found":
            return None
        raise
