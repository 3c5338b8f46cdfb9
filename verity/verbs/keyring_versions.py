# SPDX-License-Identifier: Apache-2.0
"""A new version of a keyring: what is to be signed, by whom, and publishing it.

The seam to signing: ``draft`` says what each root key signs (the keyring as DSSE, the kernel's
`keys` blob as PKCS#7), ``sign`` does both with one key, ``assemble`` puts signatures behind, and
``publish`` writes the version if both root thresholds are met, else leaves it waiting. What is
published is verified first, from the first version upwards. Nothing of a version that is there is
ever changed.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle, keyring, statement, strictjson
from verity.formats.grants import Party, Role
from verity.formats.keyring import Keyring
from verity.formats.records import MAX_SIGNATURES, Fragment, RecordKind
from verity.formats.statement import Envelope
from verity.ports import keyring_files
from verity.ports.keystore import SigningKey
from verity.trust.keyring import PinPrint, VerifiedKeyring, pin_of, verify_chain
from verity.trust.keyring_version import read, unverified_set
from verity.trust.keys import PublicKey
from verity.trust.trusted import blob_signed_by
from verity.values.errors import CallerError, ContentError
from verity.verbs.keyring_project import blob_of


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What every root key signs: ``payload`` as DSSE of the keyring's type, ``blob`` as PKCS#7."""

    keyring: Keyring
    payload: bytes
    blob: bytes

    @property
    def pae(self) -> bytes:
        """What the DSSE signature is over."""
        return statement.pae(self.payload, keyring.PAYLOAD_TYPE)


@dataclass(frozen=True, kw_only=True)
class RootSignature:
    """One root key's two signatures: DER over the PAE, PKCS#7 over the blob."""

    public: PublicKey
    over_pae: bytes
    over_blob: bytes


@dataclass(frozen=True, kw_only=True)
class Published:
    """A version on disk. ``missing`` says whose signatures it waits for; empty: it is complete.

    ``left_out`` are keys that signed and are no root keys: their signatures stay behind.
    """

    keyring: Keyring
    path: Path
    signers: tuple[str, ...]
    missing: tuple[str, ...]
    fingerprint: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a party's versions are, and the newest of them; None before the first."""

    directory: Path
    party: Party
    versions: tuple[bytes, ...]
    newest: Keyring | None

    @property
    def next_version(self) -> int:
        """The number of the version to be made."""
        return 1 if self.newest is None else self.newest.version + 1


def load(directory: Path, party: Party) -> Source:
    """The versions in a directory, held against each other from the first one's own root keys.

    This is for those who make versions: it trusts no pin, so its answer is no reason to trust.
    """
    files = keyring_files.read_versions([directory], party)
    if not files:
        return Source(directory=directory, party=party, versions=(), newest=None)
    versions = tuple(file.data for file in files)
    _, first = read(versions[0])
    pin = PinPrint.of(pin_of(first))
    # Whoever makes versions had example keys refused when they came in.
    newest = verify_files(files, pin, allow_example_keys=True).keyring
    return Source(directory=directory, party=party, versions=versions, newest=newest)


def verify_files(
    files: Sequence[keyring_files.VersionFile],
    pin: PinPrint,
    *,
    revoked: frozenset[str] = frozenset(),
    allow_example_keys: bool = False,
) -> VerifiedKeyring:
    """Verify the chain, and that each file has the version that its name says."""
    for file in files:
        _, found = named(file.path, file.data)
        if found.version != file.number:
            raise ContentError(
                "bad-chain", f"{file.path}: it holds version {found.version}, not {file.number}"
            )
    return verify_chain(
        [file.data for file in files],
        pin,
        revoked=revoked,
        allow_example_keys=allow_example_keys,
    )


def named(path: Path, data: bytes) -> tuple[Envelope, Keyring]:
    """What a file holds, unverified; ContentError that names it."""
    try:
        return read(data)
    except ContentError as error:
        hint = error.hint or "get this version anew from its party"
        raise ContentError(error.code, f"{path}: {error.message}", hint=hint) from error


def newest(source: Source) -> Keyring:
    """The newest version, or CallerError ``no-keyring``."""
    if source.newest is None:
        party = source.party.name.lower()
        raise CallerError(
            "no-keyring",
            f"{source.directory / party}: there is no version of the {party}'s keyring",
            hint="`verity keyring init` makes the first",
        )
    return source.newest


def draft(value: Keyring) -> Draft:
    """What is to be signed for this keyring. ContentError for one that no keyring may be."""
    return Draft(keyring=value, payload=keyring.encode(value), blob=blob_of(value))


def sign(what: Draft, key: SigningKey) -> RootSignature:
    """Both signatures of one key."""
    return RootSignature(
        public=key.public, over_pae=key.sign(what.pae), over_blob=key.sign_blob(what.blob)
    )


def publish(source: Source, what: Draft, signatures: Sequence[RootSignature]) -> Published:
    """Write the version; ``keyring_files.lock`` must be held.

    1. Each signature is by a root key of this version or of the one before, and verifies.
    2. Without both root thresholds it is left waiting, as ``N.keyring.json.part``.
    3. With them, the chain up to it verifies, and it is written.
    """
    value = what.keyring
    roots = [one for one in (source.newest, value) if one is not None]
    # 1. Signatures that count.
    known = signing_keys(source, value)
    by_key = {signature.public.key_id: signature for signature in signatures}
    for key_id, signature in by_key.items():
        if key_id not in known:
            raise CallerError(
                "wrong-role",
                f"key {key_id}: it is no root key of version {value.version} or the one before",
                hint="a keyring is signed by root keys: `verity keyring show` names them",
            )
        _check(what, signature)
    if len(by_key) > MAX_SIGNATURES:
        raise CallerError(
            "bad-arguments",
            f"{len(by_key)} root keys sign, at most {MAX_SIGNATURES} can sign what the gate takes",
        )
    data, keys = assemble(what, [by_key[key_id] for key_id in sorted(by_key)])
    # 2. Waiting for more.
    missing = tuple(text for one in roots if (text := _missing(one, by_key)))
    where = (source.directory, source.party, value.version)
    if missing:
        path = keyring_files.write_part(*where, data=data, keys=keys)
    else:
        # 3. As everyone will verify it.
        first = value if not source.versions else read(source.versions[0])[1]
        verify_chain([*source.versions, data], pin_of(first), allow_example_keys=True)
        path = keyring_files.write_version(*where, data=data, keys=keys)
    return Published(
        keyring=value,
        path=path,
        signers=tuple(sorted(by_key)),
        missing=missing,
        fingerprint=PinPrint.of(pin_of(value)).fingerprint,
    )


def signing_keys(source: Source, value: Keyring) -> frozenset[str]:
    """The ids of the keys whose signatures such a version takes: its roots, and those before."""
    roots = [one for one in (source.newest, value) if one is not None]
    return frozenset(key.key_id for one in roots for key in one.of_role(Role.ROOT))


def waiting(source: Source) -> tuple[Draft, list[RootSignature]] | None:
    """The version that waits for signatures, and those that it has; None if there is none.

    A signature that lacks its other half, as after a crash, is left out: it is made anew. What
    waits for a version that is there by now counts as nothing.
    """
    found = keyring_files.read_part(source.directory, source.party)
    if found is None or found[0].number < source.next_version:
        return None
    file, keys = found
    envelope, value = read(file.data)
    if (value.party, value.version) != (source.party, source.next_version):
        raise ContentError(
            "bad-chain",
            f"{file.path}: version {value.version} of the {value.party.name.lower()}, expected"
            f" version {source.next_version} of the {source.party.name.lower()}",
            hint="remove the file, and make the change anew",
        )
    what = draft(value)
    fragment = bundle.parse_fragment(keys, label=f"{file.path}, its keys")
    if fragment.blob != what.blob:
        raise ContentError(
            "bad-keys", f"{file.path}: the keys beside it are not those of this version"
        )
    roots = [one for one in (source.newest, value) if one is not None]
    # A key that has the role root in both versions is in each of them.
    known = {
        held.key.key_id: held.key for one in roots for held in unverified_set(one, Role.ROOT).keys
    }
    halves = (_halves(what, key, envelope, fragment.signatures) for key in known.values())
    return what, [one for one in halves if one is not None]


def assemble(what: Draft, signatures: Sequence[RootSignature]) -> tuple[bytes, bytes]:
    """The envelope, and the fragment of a boot bundle, with these signatures."""
    envelope = strictjson.canonical(
        {
            "payload": base64.b64encode(what.payload).decode(),
            "payloadType": keyring.PAYLOAD_TYPE,
            "signatures": [
                {"keyid": one.public.key_id, "sig": base64.b64encode(one.over_pae).decode()}
                for one in signatures
            ],
        }
    )
    fragment = Fragment(
        kind=RecordKind.KEYS,
        blob=what.blob,
        signatures=tuple(one.over_blob for one in signatures),
    )
    return envelope, bundle.encode([fragment])


def _check(what: Draft, signature: RootSignature) -> None:
    key = signature.public
    for name, good in (
        ("keyring", key.verifies(signature=signature.over_pae, data=what.pae)),
        ("kernel's keys", blob_signed_by(key, signature.over_blob, what.blob)),
    ):
        if not good:
            raise ContentError(
                "bad-signature",
                f"key {signature.public.key_id}: its signature over the {name} of version"
                f" {what.keyring.version} is not over this version",
                hint="it signed something else: compare what was sent with what was signed",
            )


def _missing(roots: Keyring, by_key: dict[str, RootSignature]) -> str:
    rule = roots.roles[Role.ROOT]
    owners = {key.owner for key in roots.of_role(Role.ROOT) if key.key_id in by_key}
    if len(owners) >= rule.threshold:
        return ""
    others = sorted({key.owner for key in roots.of_role(Role.ROOT)} - owners)
    return (
        f"{rule.threshold - len(owners)} more of the root owners of version {roots.version}"
        f" ({', '.join(others)})"
    )


def _halves(
    what: Draft, key: PublicKey, envelope: statement.Envelope, blob_signatures: Sequence[bytes]
) -> RootSignature | None:
    over_pae = [
        one.value
        for one in envelope.signatures
        if one.value is not None and key.verifies(signature=one.value, data=what.pae)
    ]
    over_blob = [one for one in blob_signatures if blob_signed_by(key, one, what.blob)]
    if not over_pae or not over_blob:
        return None
    return RootSignature(public=key, over_pae=over_pae[0], over_blob=over_blob[0])
