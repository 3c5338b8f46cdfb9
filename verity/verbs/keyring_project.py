# SPDX-License-Identifier: Apache-2.0
"""lockdown pin and keyring project: the root keys of a host, and what its kernel is told of keys.

A pin is not signed: its owner confirms the fingerprint. A projection is signed by root keys. Both
are made from public key files that the caller names, a projection also of a keyring. They refuse a
role that the party has no right to, a key with two roles, and a threshold that can't be met.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle, kernel_keys
from verity.formats.grants import Party, Role
from verity.formats.kernel_keys import KernelKeys, KeyEntry, Pin
from verity.formats.keyring import Keyring
from verity.formats.records import RecordKind
from verity.ports import keystore
from verity.ports.key_access import STRICT, KeyAccess
from verity.ports.keystore import SigningKey
from verity.ports.osfile import write_new_file
from verity.trust.keys import KeyAlgorithm, PublicKey
from verity.values.errors import CallerError, ContentError
from verity.verbs import fragments

_MODE = 0o644


@dataclass(frozen=True, kw_only=True)
class NamedKey:
    """A public key file. Keys with the same ``owner`` count once; "" is an owner of its own."""

    path: Path
    owner: str = ""


@dataclass(frozen=True, kw_only=True)
class RoleKeys:
    """Who may sign as a role, and how many distinct owners have to."""

    threshold: int
    keys: tuple[NamedKey, ...]


@dataclass(frozen=True, kw_only=True)
class Projection:
    """What to project. Times are seconds since 1970."""

    party: Party
    version: int
    issued: int
    expires: int
    roles: Mapping[Role, RoleKeys]


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was written: its SHA-256 in hex (of a pin the fingerprint), and its keys.

    ``owners`` has the owner's name of each key id; what is written knows them by number only.
    """

    sha256: str
    keys: tuple[KeyEntry, ...]
    owners: Mapping[bytes, str]
    thresholds: Mapping[Role, int]


def pin(party: Party, roots: RoleKeys, target: Path, access: KeyAccess = STRICT) -> Made:
    """Write a pin: the root keys of a party. Nothing is overwritten."""
    entries, owners = _entries({Role.ROOT: roots}, access)
    data = kernel_keys.encode_pin(Pin(party=party, threshold=roots.threshold, keys=entries))
    write_new_file(target, data, mode=_MODE)
    return Made(
        sha256=kernel_keys.fingerprint(data),
        keys=entries,
        owners=owners,
        thresholds={Role.ROOT: roots.threshold},
    )


def project(
    request: Projection,
    signing: Sequence[SigningKey],
    target: Path,
    access: KeyAccess = STRICT,
) -> Made:
    """Write a fragment with the `keys` blob of a party, signed by root keys.

    1. The roles are the party's to give.
    2. No key has two roles, and no root key has another one.
    3. Sign, verify with the public halves, write.
    """
    # 1. Rights.
    rights = kernel_keys.RIGHTS[request.party]
    for role in request.roles:
        if role not in rights:
            allowed = ", ".join(sorted(one.name.lower() for one in rights))
            raise CallerError(
                "wrong-role",
                f"the party {request.party.name.lower()} has no right to the role"
                f" {role.name.lower()}, expected one of {allowed}",
                hint="root keys are in the pin: `verity lockdown pin`"
                if role is Role.ROOT
                else "see the table of parties and roles in docs/formats.md, section 9",
            )
    # 2. One role for each key.
    entries, owners = _entries(request.roles, access)
    known = {entry.key_id.hex(): entry.role for entry in entries}
    for key in signing:
        if key.public.key_id in known:
            _key_twice(key.public.key_id, Role.ROOT, known[key.public.key_id])
    # 3. Sign and write.
    blob = _blob(
        request,
        thresholds={role: held.threshold for role, held in request.roles.items()},
        keys=entries,
    )
    fragment = fragments.sign(RecordKind.KEYS, blob, signing, party=request.party, role=Role.ROOT)
    write_new_file(target, bundle.encode([fragment]), mode=_MODE)
    return Made(
        sha256=kernel_keys.fingerprint(blob),
        keys=entries,
        owners=owners,
        thresholds={role: held.threshold for role, held in request.roles.items()},
    )


def blob_of(keyring: Keyring) -> bytes:
    """The `keys` blob of a keyring: the roles that the kernel knows, so neither root nor evidence.

    The kernel knows no time at which a key ends: it is told of every key that has a role.
    """
    owners: dict[Role, dict[str, list[bytes]]] = {}
    for role in kernel_keys.RIGHTS[keyring.party] & keyring.roles.keys():
        owners[role] = {}
        for key in keyring.of_role(role):
            owners[role].setdefault(key.owner, []).append(key.spki)
    return _blob(
        keyring,
        thresholds={role: keyring.roles[role].threshold for role in owners},
        keys=kernel_keys.sorted_keys(owners),
    )


def _blob(
    source: Projection | Keyring, *, thresholds: Mapping[Role, int], keys: tuple[KeyEntry, ...]
) -> bytes:
    return kernel_keys.encode_keys(
        KernelKeys(
            party=source.party,
            version=source.version,
            issued=source.issued,
            expires=source.expires,
            thresholds=thresholds,
            keys=keys,
        )
    )


def _entries(
    roles: Mapping[Role, RoleKeys], access: KeyAccess
) -> tuple[tuple[KeyEntry, ...], Mapping[bytes, str]]:
    """Load the keys; refuse what has two roles or owners, and thresholds that can't be met."""
    names: dict[bytes, str] = {}
    places: dict[str, tuple[Role, str]] = {}
    owners: dict[Role, dict[str, list[bytes]]] = {}
    for role, held in roles.items():
        owners[role] = {}
        for named in held.keys:
            key = load_key(named.path, access)
            owner = named.owner or f"={key.key_id}"  # no name that a caller can give
            before = places.setdefault(key.key_id, (role, owner))
            if before[0] is not role:
                _key_twice(key.key_id, before[0], role)
            if before[1] != owner:
                raise CallerError(
                    "key-twice", f"{named.path}: key {key.key_id} is there with two owners"
                )
            spkis = owners[role].setdefault(owner, [])
            if key.spki not in spkis:
                spkis.append(key.spki)
            names[bytes.fromhex(key.key_id)] = owner_name(key, named.owner)
        count = len(owners[role])
        if not 1 <= held.threshold <= count or count > kernel_keys.MAX_OWNERS:
            raise CallerError(
                "bad-threshold",
                f"the role {role.name.lower()} has a threshold of {held.threshold} with {count}"
                f" owners, expected 1 to {count} of at most {kernel_keys.MAX_OWNERS}",
                hint="name as many owners as must sign; two keys of one owner count once",
            )
    return kernel_keys.sorted_keys(owners), names


def owner_name(key: PublicKey, given: str) -> str:
    """The name of a key's owner; of a key without one it is made from the key."""
    return given or f"key-{key.key_id[:32]}"


def load_key(path: Path, access: KeyAccess = STRICT) -> PublicKey:
    """Read a public key that the kernel can verify with."""
    key = keystore.load_public(path, access)
    if key.algorithm is not KeyAlgorithm.P256:
        raise ContentError(
            "bad-key",
            f"{path}: {key.algorithm}, expected ecdsa-p256, which the kernel verifies",
            hint="`verity key generate FILE` makes one",
        )
    return key


def _key_twice(key_id: str, one: Role, other: Role) -> None:
    raise CallerError(
        "key-twice",
        f"key {key_id}: given for the roles {one.name.lower()} and {other.name.lower()},"
        " a key has one",
        hint="make a key for each role: `verity key generate`",
    )
