# SPDX-License-Identifier: Apache-2.0
"""keyring revoke: what a next version would end, of what is named or what this host has installed.

It holds the version that is about to be made beside the one before, and says what counts under the
one and not under the other: statements by `keyring_check`, and manifests and grants by the digests
and serials in them. It verifies no signature of another party's, so of a user's version it says
only what that revokes there. The arming proof, which knows every file that a boot needs, is not
this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import dump, grants, records, statement
from verity.formats.dump import printable
from verity.formats.grants import Party, Role
from verity.formats.keyring import Keyring
from verity.formats.records import RecordKind
from verity.formats.statement import MAX_ENVELOPE
from verity.ports import extension_files, places
from verity.ports.etc_state import EtcState
from verity.ports.floors import FLOORS, FloorStore
from verity.ports.osfile import read_file, read_if_there
from verity.trust import floors
from verity.trust.revocations import Revocations
from verity.values.errors import ContentError, VerityError
from verity.verbs import keyring_check
from verity.verbs.keyring_check import Existing

_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Installed:
    """One thing that is signed: a statement, a manifest or grants, or several that go together."""

    label: str
    envelopes: tuple[bytes, ...] = ()
    manifest: bytes | None = None
    grants: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What was found, and what could not be looked at, with why."""

    found: tuple[Installed, ...]
    gaps: tuple[str, ...]


def of_path(path: Path) -> Installed:
    """A file with a statement or a manifest, or a directory as `extension sign` writes it."""
    if path.is_dir():
        return Installed(
            label=str(path),
            envelopes=(read_file(path / extension_files.STATEMENT, max_size=MAX_ENVELOPE),),
            manifest=read_file(path / extension_files.MANIFEST, max_size=dump.MAX_SIZE),
        )
    data = read_file(path, max_size=dump.MAX_SIZE)
    if data.startswith(b"/ "):
        dump.parse(data)
        return Installed(label=str(path), manifest=data)
    statement.parse_envelope(data)
    return Installed(label=str(path), envelopes=(data,))


def of_host(root: Path) -> Looked:
    """What a host has: its signed /etc, its serial floors, the grants of its boot bundle."""
    found: list[Installed] = []
    gaps: list[str] = []
    for look in (_etc, _floors, _bundle):
        try:
            installed = look(root)
        except VerityError as error:
            gaps.append(error.message)
            continue
        for one in installed:
            try:
                _check_readable(one)
            except (
                ContentError
            ) as error:  # damage on the host must not keep a key from being revoked
                gaps.append(f"{one.label}: {error.message}")
            else:
                found.append(one)
    return Looked(found=tuple(found), gaps=tuple(gaps))


def ended(before: Keyring, after: Keyring, installed: Sequence[Installed]) -> list[str]:
    """A line for each thing that counts under ``before`` and would not under ``after``."""
    return [
        f"{one.label}: {why}"
        for one in installed
        if (why := _ended(before, after, one)) is not None
    ]


def _ended(before: Keyring, after: Keyring, one: Installed) -> str | None:
    """Why it would not count any more.

    1. The statement, by the keys, streams and revocations of its own party's keyring.
    2. The statement of the other party, by what a user revokes.
    3. What is granted, or stands in the manifest, by serial and digest.
    """
    if one.envelopes:
        existing = Existing(label=one.label, envelopes=one.envelopes)
        role = keyring_check.role_of(existing)
        if _party(role) is after.party:
            # 1. Its own party's.
            if keyring_check.refusal(existing, before) is not None:
                return None
            refused = keyring_check.refusal(existing, after)
        else:
            # 2. The other's.
            refused = _revoked_for_all(before, after, one.envelopes)
        if refused is not None:
            return f"{refused.code}: {refused.message}"
    # 3. Contents.
    return _contents(before, after, one)


def _revoked_for_all(
    before: Keyring, after: Keyring, envelopes: Sequence[bytes]
) -> ContentError | None:
    if after.party is not Party.USER:
        return None  # a vendor revokes only what it signed
    revoked, old = Revocations.of(after.revoked), Revocations.of(before.revoked)
    for envelope in map(statement.parse_envelope, envelopes):
        if not statement.is_ours(envelope):
            continue
        for signature in envelope.signatures:
            if signature.key_id_hint in revoked.keys - old.keys:
                return ContentError(
                    "revoked-key", f"it names the key {signature.key_id_hint}, which is revoked"
                )
        said = statement.parse(envelope.payload)
        try:
            if said.serial >= old.serials.get(said.stream, 0):
                revoked.check_serial(said.stream, said.serial)
            for name, sha256 in sorted(said.subjects.items()):
                if sha256 not in old.digests:
                    revoked.check_digest(sha256, f"its subject {name}")
        except ContentError as error:
            return error
    return None


def _contents(before: Keyring, after: Keyring, one: Installed) -> str | None:
    digests = frozenset(after.revoked.digests) - frozenset(before.revoked.digests)
    if one.grants is not None:
        granted = grants.parse(one.grants)
        if after.party not in (granted.party, Party.USER):
            return None
        lowest = after.revoked.serials.get(granted.stream, 0)
        if before.revoked.serials.get(granted.stream, 0) <= granted.serial < lowest:
            return (
                f"revoked-serial: grants of the serial {granted.serial} of the stream"
                f" {granted.stream}, the lowest that counts would be {lowest}"
            )
        held = {entry.digest for entry in granted.code}
        held |= {entry.digest for entry in granted.elevate}
        held |= {entry.digest for entry in granted.config}
        if digests & held:
            return f"revoked-digest: grants with {', '.join(_hex(digests & held))}"
    if one.manifest is not None and digests:
        files = [
            e for e in dump.parse(one.manifest) if e.digest is not None and e.digest in digests
        ]
        if files:
            more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
            named = ", ".join(printable(entry.path) for entry in files[:_SHOWN])
            return f"revoked-digest: it has {named}{more}"
    return None


def _hex(digests: frozenset[bytes] | set[bytes]) -> list[str]:
    return sorted(f"sha256:{digest.hex()}" for digest in digests)[:_SHOWN]


def _check_readable(one: Installed) -> None:
    if one.envelopes:
        keyring_check.role_of(Existing(label=one.label, envelopes=one.envelopes))
    if one.manifest is not None:
        dump.parse(one.manifest)
    if one.grants is not None:
        grants.parse(one.grants)


def _party(role: Role) -> Party:
    return Party.VENDOR if role is Role.OS else Party.USER


def _etc(root: Path) -> list[Installed]:
    state = EtcState(root, places.STATE)
    serial = state.current()
    if serial is None:
        return []
    stored = state.load(serial)
    label = f"the signed /etc, serial {serial}"
    return [Installed(label=label, envelopes=(stored.statement,), manifest=stored.manifest)]


def _floors(root: Path) -> list[Installed]:
    store = FloorStore(root / FLOORS)
    if not store.directory.is_dir():
        return []
    found = []
    for path in sorted(store.directory.iterdir()):
        if path.name == floors.POLICY:
            continue  # no statement; what revoking means to the policy is asked by the gate
        try:
            envelopes = store.read(path.name)
        except ContentError:
            envelopes = (b"",)  # told as what can't be read, and the others are looked at
        if envelopes is not None:
            found.append(Installed(label=f"the floor {path.name}", envelopes=envelopes))
    return found


def _bundle(root: Path) -> list[Installed]:
    path = root / places.BUNDLE
    data = read_if_there(path, max_size=records.MAX_SIZE)
    if data is None:
        return []
    return [
        Installed(label=f"{path}, grants {number}", grants=fragment.blob)
        for number, fragment in enumerate(records.split(data, label=str(path)), 1)
        if fragment.kind is RecordKind.GRANTS
    ]
