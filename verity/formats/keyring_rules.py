# SPDX-License-Identifier: Apache-2.0
"""What a keyring says, as values, and the rules between them (docs/formats.md, "Keyring").

Each key has one role, roles are the party's to give, thresholds count owners and can be met, what
is revoked is not in use. It knows no bytes: ``formats.keyring`` reads and writes them, and holds
what it read to these rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from verity.formats import kernel_keys
from verity.formats.grants import Party, Role
from verity.formats.strictjson import refuse

WHAT = "keyring"

RIGHTS: Mapping[Party, frozenset[Role]] = {
    Party.VENDOR: kernel_keys.RIGHTS[Party.VENDOR] | {Role.EVIDENCE},
    Party.USER: kernel_keys.RIGHTS[Party.USER] | {Role.EVIDENCE},
}
"""The roles of a party beside root; ``evidence`` is none of the kernel's business."""

STREAM_ROLES = frozenset({Role.OS, Role.ETC, Role.EXTENSION})
"""The roles that sign in streams, and so have patterns of streams."""


@dataclass(frozen=True, kw_only=True)
class KeyringKey:
    """A key and whose it is. Outside of ``valid_from <= issued < valid_until`` of what it signed
    its signature does not count (seconds since 1970; None: no bound)."""

    spki: bytes
    owner: str
    valid_from: int | None = None
    valid_until: int | None = None

    @property
    def key_id(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, 64 hex digits."""
        return sha256(self.spki).hexdigest()


@dataclass(frozen=True, kw_only=True)
class RoleRule:
    """Who has a role (key ids), how many distinct owners must sign, and in which streams."""

    threshold: int
    keys: tuple[str, ...]
    streams: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Revoked:
    """Key ids; SHA-256 values of documents and fs-verity digests; the lowest serial by stream."""

    keys: tuple[str, ...] = ()
    digests: tuple[bytes, ...] = ()
    serials: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Keyring:
    """One version of a party's keyring. Times are seconds since 1970; keys are sorted by id."""

    party: Party
    version: int
    issued: int
    expires: int
    keys: tuple[KeyringKey, ...]
    roles: Mapping[Role, RoleRule]
    revoked: Revoked = Revoked()

    def of_role(self, role: Role) -> tuple[KeyringKey, ...]:
        """The keys of a role; none if there is no such role."""
        rule = self.roles.get(role)
        held = frozenset(rule.keys) if rule is not None else frozenset[str]()
        return tuple(key for key in self.keys if key.key_id in held)


def matches(pattern: str, stream: str) -> bool:
    """Whether a stream is meant: its name, or the beginning of it and ``*``."""
    return stream.startswith(pattern[:-1]) if pattern.endswith("*") else stream == pattern


def check_places(keyring: Keyring) -> None:
    """Refuse a key with two roles, one with none, and a role that names no key."""
    places: dict[str, Role] = {}
    known = {key.key_id for key in keyring.keys}
    for role, rule in keyring.roles.items():
        for key_id in rule.keys:
            if key_id not in known:
                refuse(
                    WHAT, f"the role {name_of(role)} names {key_id[:80]!r}, which is no key here"
                )
            if key_id in places:
                refuse(
                    WHAT,
                    f"key {key_id}: it has the roles {name_of(places[key_id])} and {name_of(role)},"
                    " expected one",
                )
            places[key_id] = role
    for key_id in sorted(known - set(places)):
        refuse(WHAT, f"key {key_id}: it has no role")


def check_roles(keyring: Keyring) -> None:
    """Refuse roles that aren't the party's to give, and thresholds that can't be met."""
    for role in sorted(keyring.roles):
        if role not in RIGHTS[keyring.party] | {Role.ROOT}:
            refuse(WHAT, f"the {name_of(keyring.party)} has no right to the role {name_of(role)}")
        owners = {key.owner for key in keyring.of_role(role)}
        if len(owners) > kernel_keys.MAX_OWNERS:
            refuse(
                WHAT,
                f"the role {name_of(role)} has {len(owners)} owners, at most"
                f" {kernel_keys.MAX_OWNERS} are allowed",
            )
        threshold = keyring.roles[role].threshold
        if not 1 <= threshold <= len(owners):
            refuse(
                WHAT,
                f"the role {name_of(role)} has a threshold of {threshold} with"
                f" {len(owners)} owners",
            )
    if Role.ROOT not in keyring.roles:
        refuse(WHAT, "there is no role root")
    for key in keyring.of_role(Role.ROOT):
        if key.valid_from is not None or key.valid_until is not None:
            refuse(WHAT, f"key {key.key_id}: a root key has no from and until, only a version")
    if not keyring.roles.keys() & kernel_keys.RIGHTS[keyring.party]:
        refuse(WHAT, "there is no role beside root that the kernel is told of")


def check_revoked(keyring: Keyring) -> None:
    """Refuse revoked keys that are in use, and a vendor's word on streams of others."""
    for key in keyring.keys:
        if key.key_id in keyring.revoked.keys:
            refuse(WHAT, f"key {key.key_id}: it is revoked, and has a role")
    if keyring.party is Party.USER:
        return
    patterns = [p for rule in keyring.roles.values() for p in rule.streams]
    for stream in keyring.revoked.serials:
        if not any(matches(pattern, stream) for pattern in patterns):
            refuse(WHAT, f"a vendor can't revoke serials of {stream}, which it does not sign")


def name_of(value: Party | Role) -> str:
    """The word for it."""
    return value.name.lower()
