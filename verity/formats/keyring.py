# SPDX-License-Identifier: Apache-2.0
"""The keyring of one party, bytes <-> values: which keys may sign what, and what is revoked.

A keyring is the payload of a DSSE envelope (docs/formats.md, "Keyring"). The parser is strict:
unknown fields, roles and algorithms are refused, lists are sorted and not empty, what is said keeps
the rules of ``formats.keyring_rules``, and the bytes are the only ones that the values can have.
Who signed it, and what came before it, is judged in the trust room, which alone makes a
``VerifiedKeyring``. It does not see whether a key is a point on its curve.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from verity.formats import kernel_keys, strictjson
from verity.formats.grants import Party, Role, is_stream_name
from verity.formats.keyring_rules import RIGHTS as RIGHTS
from verity.formats.keyring_rules import STREAM_ROLES as STREAM_ROLES
from verity.formats.keyring_rules import (
    WHAT,
    check_places,
    check_revoked,
    check_roles,
    name_of,
)
from verity.formats.keyring_rules import Keyring as Keyring
from verity.formats.keyring_rules import KeyringKey as KeyringKey
from verity.formats.keyring_rules import Revoked as Revoked
from verity.formats.keyring_rules import RoleRule as RoleRule
from verity.formats.keyring_rules import matches as matches
from verity.formats.statement import format_time, parse_time
from verity.formats.strictjson import Fields, refuse

PAYLOAD_TYPE = "application/vnd.verity.keyring.v1+json"
MAX_KEYRING = 64 * 2**10
MAX_VERSION = strictjson.MAX_INTEGER
P256 = "ecdsa-p256"

_PARTIES = {party.name.lower(): party for party in Party}
_ROLES = {role.name.lower(): role for role in Role}
_OWNER = re.compile(r"[A-Za-z0-9._-]{1,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def encode(keyring: Keyring) -> bytes:
    """The JSON of a keyring. Raises ContentError (``bad-document``) for what none may hold."""
    data = _written(keyring)
    if parse(data) != keyring:  # the writer is held to the reader's rules
        refuse(WHAT, "the values do not survive their own encoding")
    return data


def parse(data: bytes) -> Keyring:
    """Read a keyring. Raises ContentError (``bad-document``) with the place and the reason.

    1. Fields of known names and types, and nothing else.
    2. Each key is what its id says, and has one role.
    3. Roles are the party's to give; thresholds can be met by distinct owners.
    4. What is revoked is not in use, and a vendor revokes serials of its own streams only.
    5. The bytes are the canonical ones.
    """
    # 1. Fields.
    top = Fields(strictjson.parse(data, what=WHAT, max_size=MAX_KEYRING), what=WHAT)
    party = _party(top.text("party"))
    version = top.integer("version")
    issued = parse_time(top.text("issued"))
    expires = parse_time(top.text("expires"))
    keys = _keys(top.array("keys"))
    roles = _roles(top.object("roles"))
    revoked = _revoked(top.object("revoked"))
    top.end()
    if version < 1:
        refuse(WHAT, f"the version {version} is below 1")
    if issued >= expires:
        refuse(WHAT, "it does not expire after it was issued")
    found = Keyring(
        party=party,
        version=version,
        issued=issued,
        expires=expires,
        keys=keys,
        roles=roles,
        revoked=revoked,
    )
    # 2. One role for each key.
    check_places(found)
    # 3. Rights and thresholds.
    check_roles(found)
    # 4. Revocations.
    check_revoked(found)
    # 5. One spelling.
    if _written(found) != data:
        refuse(WHAT, "not the canonical JSON: sorted keys, no spaces, UTF-8 without escapes")
    return found


def _written(keyring: Keyring) -> bytes:
    return strictjson.canonical(
        {
            "party": name_of(keyring.party),
            "version": keyring.version,
            "issued": format_time(keyring.issued),
            "expires": format_time(keyring.expires),
            "keys": [_key_fields(key) for key in keyring.keys],
            "roles": {name_of(role): _role_fields(rule) for role, rule in keyring.roles.items()},
            "revoked": {
                "keys": list(keyring.revoked.keys),
                "digests": [digest.hex() for digest in keyring.revoked.digests],
                "serials": dict(keyring.revoked.serials),
            },
        }
    )


def _key_fields(key: KeyringKey) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": key.key_id,
        "algorithm": P256,
        "owner": key.owner,
        "spki": base64.b64encode(key.spki).decode(),
    }
    if key.valid_from is not None:
        fields["from"] = format_time(key.valid_from)
    if key.valid_until is not None:
        fields["until"] = format_time(key.valid_until)
    return fields


def _role_fields(rule: RoleRule) -> dict[str, Any]:
    fields: dict[str, Any] = {"threshold": rule.threshold, "keys": list(rule.keys)}
    if rule.streams:
        fields["streams"] = list(rule.streams)
    return fields


def _party(text: str) -> Party:
    if text not in _PARTIES:
        refuse(WHAT, f"unknown party {text[:40]!r}, expected vendor or user")
    return _PARTIES[text]


def _keys(items: list[Any]) -> tuple[KeyringKey, ...]:
    if not 1 <= len(items) <= kernel_keys.MAX_KEYS:
        refuse(WHAT, f"{len(items)} keys, expected 1 to {kernel_keys.MAX_KEYS}")
    keys = tuple(_key(item, index) for index, item in enumerate(items))
    _sorted([key.key_id for key in keys], "keys")
    return keys


def _key(item: Any, index: int) -> KeyringKey:
    place = f"{WHAT}.keys[{index}]"
    fields = Fields(item, what=place)
    key_id = fields.text("id")
    algorithm = fields.text("algorithm")
    owner = fields.text("owner")
    spki_text = fields.text("spki")
    names = fields.names()
    valid_from = parse_time(fields.text("from")) if "from" in names else None
    valid_until = parse_time(fields.text("until")) if "until" in names else None
    fields.end()
    if algorithm != P256:
        refuse(place, f"unknown algorithm {algorithm[:40]!r}, expected {P256}")
    if not _OWNER.fullmatch(owner):
        refuse(place, f"the owner {owner[:80]!r} is not 1 to 63 of A-Z a-z 0-9 . _ -")
    try:
        spki = base64.b64decode(spki_text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        refuse(place, "the field 'spki' is not standard base64 with padding")
    if not kernel_keys.is_p256(spki):
        refuse(place, "not the SubjectPublicKeyInfo of an uncompressed P-256 key")
    if valid_from is not None and valid_until is not None and valid_from >= valid_until:
        refuse(place, "it is valid until a time that is not after from")
    key = KeyringKey(spki=spki, owner=owner, valid_from=valid_from, valid_until=valid_until)
    if key.key_id != key_id:
        refuse(place, f"the id {key_id[:80]!r} is not the SHA-256 of the key, {key.key_id}")
    return key


def _roles(fields: Fields) -> Mapping[Role, RoleRule]:
    roles: dict[Role, RoleRule] = {}
    for name in fields.names():
        if name not in _ROLES:
            refuse(WHAT, f"unknown role {name[:40]!r}")
        place = f"{WHAT}.roles.{name}"
        rule = fields.object(name)
        threshold = rule.integer("threshold")
        held = _texts(rule.array("keys"), f"{place}.keys")
        streams: tuple[str, ...] = ()
        if _ROLES[name] in STREAM_ROLES:
            streams = _texts(rule.array("streams"), f"{place}.streams")
            if not streams:
                refuse(place, "the list of streams is empty; `*` means all of them")
        rule.end()
        for pattern in streams:
            if pattern != "*" and not is_stream_name(pattern.removesuffix("*")):
                refuse(place, f"{pattern[:80]!r} is no stream, with or without `*` at its end")
        if not held:
            refuse(place, "the list of keys is empty")
        roles[_ROLES[name]] = RoleRule(threshold=threshold, keys=held, streams=streams)
    return roles


def _revoked(fields: Fields) -> Revoked:
    place = f"{WHAT}.revoked"
    keys = _texts(fields.array("keys"), f"{place}.keys")
    digests = _texts(fields.array("digests"), f"{place}.digests")
    streams = fields.object("serials")
    serials = {stream: streams.integer(stream) for stream in streams.names()}
    fields.end()
    for text in (*keys, *digests):
        if not _SHA256.fullmatch(text):
            refuse(place, f"{text[:80]!r} is not a SHA-256 in lower-case hex")
    for stream, serial in serials.items():
        if not is_stream_name(stream):
            refuse(place, f"{stream[:80]!r} is no stream")
        if serial < 2:
            refuse(place, f"the stream {stream}: nothing is below the serial {serial}")
    return Revoked(keys=keys, digests=tuple(map(bytes.fromhex, digests)), serials=serials)


def _texts(items: list[Any], place: str) -> tuple[str, ...]:
    for item in items:
        if not isinstance(item, str):
            refuse(place, "an element is not a string")
    _sorted(items, place)
    return tuple(items)


def _sorted(items: Sequence[str], place: str) -> None:
    for one, other in pairwise(items):
        if one >= other:
            refuse(place, f"{other[:80]!r} stands there twice, or not in the order of its bytes")
