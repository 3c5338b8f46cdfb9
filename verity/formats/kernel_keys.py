# SPDX-License-Identifier: Apache-2.0
"""The blobs `keys` and `pin`, bytes <-> values: which public keys the kernel is given.

One layout (docs/formats.md section 9, policy/gate/verity.h). ``keys`` is what the kernel is told
of one party's keyring; a pin holds the root keys that a host's owner accepted, is not signed and
is named by its fingerprint. The parsers are strict: sorted by key id without duplicates, zero
reserved bytes, exact lengths, thresholds that can be met. Whether a key is a point on the curve
and who signed is judged in the trust room.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from verity.formats import kinds
from verity.formats.grants import Party, Role
from verity.values.errors import ContentError

KEYS_KIND = kinds.KEYS
PIN_KIND = kinds.PIN
MAX_KEYS = 64
MAX_OWNERS = 8  # in one role of one party; a bit each in the gate
MAX_SIZE = 64 + MAX_KEYS * 128

RIGHTS: Mapping[Party, frozenset[Role]] = {
    Party.VENDOR: frozenset({Role.OS}),
    Party.USER: frozenset({Role.ETC, Role.EXTENSION, Role.POLICY, Role.UNLOCK}),
}
"""The roles of a party that the kernel knows, beside root."""

_HEADER = struct.Struct("<16sIIB3sIQQQ8s")
_ENTRY = struct.Struct("<32sBBH91sB")
# SubjectPublicKeyInfo of an uncompressed point on P-256 (RFC 5480), up to its 64 bytes.
_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")


@dataclass(frozen=True, kw_only=True)
class KeyEntry:
    """A public key and its place. ``owner`` is a number within the role."""

    role: Role
    owner: int
    spki: bytes

    @property
    def key_id(self) -> bytes:
        """SHA-256 of the SubjectPublicKeyInfo."""
        return hashlib.sha256(self.spki).digest()


@dataclass(frozen=True, kw_only=True)
class KernelKeys:
    """The `keys` blob of one party. Times are seconds since 1970; keys are sorted by key id."""

    party: Party
    version: int
    issued: int
    expires: int
    thresholds: Mapping[Role, int]
    keys: tuple[KeyEntry, ...]


@dataclass(frozen=True, kw_only=True)
class Pin:
    """The root keys of one party that are accepted, and how many of their owners must sign."""

    party: Party
    threshold: int
    keys: tuple[KeyEntry, ...]


@dataclass(frozen=True, kw_only=True)
class _Layout:
    party: Party
    version: int
    issued: int
    expires: int
    thresholds: Mapping[Role, int]
    keys: tuple[KeyEntry, ...]


def encode_keys(keys: KernelKeys) -> bytes:
    """The blob. Raises ContentError (``bad-keys``) for values that no blob may hold."""
    layout = _Layout(**{name: getattr(keys, name) for name in _Layout.__dataclass_fields__})
    data = _encode(KEYS_KIND, layout, what="keys")
    if parse_keys(data) != keys:  # the writer is held to the reader's rules
        _refuse("keys", "the values do not survive their own encoding")
    return data


def parse_keys(data: bytes) -> KernelKeys:
    """Read a `keys` blob. Raises ContentError (``bad-keys``) with the place and the reason."""
    found = _parse(KEYS_KIND, data, what="keys")
    if not 1 <= found.version < 2**53:
        _refuse("keys", f"the version {found.version} is not between 1 and 2^53-1")
    if found.issued >= found.expires or found.expires >= 2**53:
        _refuse("keys", "they do not expire after they were issued")
    allowed = RIGHTS[found.party] | {Role.ROOT}
    for role in found.thresholds:
        if role not in allowed:
            _refuse("keys", f"the {_name(found.party)} has no right to the role {_name(role)}")
    return KernelKeys(**{name: getattr(found, name) for name in _Layout.__dataclass_fields__})


def encode_pin(pin: Pin) -> bytes:
    """The pin's file. Raises ContentError (``bad-pin``) for values that no pin may hold."""
    layout = _Layout(
        party=pin.party,
        version=0,
        issued=0,
        expires=0,
        thresholds={Role.ROOT: pin.threshold},
        keys=pin.keys,
    )
    data = _encode(PIN_KIND, layout, what="pin")
    if parse_pin(data) != pin:
        _refuse("pin", "the values do not survive their own encoding")
    return data


def parse_pin(data: bytes) -> Pin:
    """Read a pin. Raises ContentError (``bad-pin``) with the place and the reason."""
    found = _parse(PIN_KIND, data, what="pin")
    if found.version or found.issued or found.expires:
        _refuse("pin", "version and times are not zero")
    if set(found.thresholds) != {Role.ROOT}:
        _refuse("pin", "it holds another role than root")
    return Pin(party=found.party, threshold=found.thresholds[Role.ROOT], keys=found.keys)


def fingerprint(pin: bytes) -> str:
    """What an owner confirms: SHA-256 of the pin's file, 64 hex digits."""
    return hashlib.sha256(pin).hexdigest()


def sorted_keys(owners: Mapping[Role, Mapping[str, Sequence[bytes]]]) -> tuple[KeyEntry, ...]:
    """Entries from SubjectPublicKeyInfos by role and by the owner's name.

    Owners get their numbers in the order of their lowest key id, so that equal sets of keys give
    equal bytes in whatever order, and under whatever names, they are passed.
    """
    entries = []
    for role, named in owners.items():
        held = sorted(sorted(map(_key_id, spkis)) for spkis in named.values())
        numbers = {key_id: number for number, ids in enumerate(held) for key_id in ids}
        entries += [
            KeyEntry(role=role, owner=numbers[_key_id(spki)], spki=spki)
            for spkis in named.values()
            for spki in spkis
        ]
    return tuple(sorted(entries, key=lambda entry: entry.key_id))


def is_p256(spki: bytes) -> bool:
    """Whether it has the form that a blob takes; the point may still be off the curve."""
    return len(spki) == len(_P256) + 64 and spki.startswith(_P256)


def _key_id(spki: bytes) -> bytes:
    return hashlib.sha256(spki).digest()


def _encode(kind: bytes, layout: _Layout, *, what: str) -> bytes:
    numbers = [layout.thresholds.get(Role(role), 0) if role else 0 for role in range(8)]
    if not all(0 <= number <= 255 for number in numbers):
        _refuse(what, "a threshold does not fit into a byte")
    for entry in layout.keys:
        if len(entry.spki) != len(_P256) + 64 or not 0 <= entry.owner < MAX_OWNERS:
            _refuse(
                what,
                f"key {entry.key_id.hex()}: not a P-256 key of one of {MAX_OWNERS} owners"
                f" of the role {_name(entry.role)}",
            )
    return _HEADER.pack(
        kind,
        _HEADER.size,
        _HEADER.size + len(layout.keys) * _ENTRY.size,
        layout.party,
        bytes(3),
        len(layout.keys),
        layout.version,
        layout.issued,
        layout.expires,
        bytes(numbers),
    ) + b"".join(
        _ENTRY.pack(entry.key_id, entry.role, entry.owner, 0, entry.spki, 0)
        for entry in layout.keys
    )


def _parse(kind: bytes, data: bytes, *, what: str) -> _Layout:
    if not _HEADER.size <= len(data) <= MAX_SIZE:
        _refuse(what, f"{len(data)} bytes, expected {_HEADER.size} to {MAX_SIZE}")
    found_kind, header_len, total_len, party, zero, n_keys, version, issued, expires, numbers = (
        _HEADER.unpack_from(data)
    )
    if found_kind != kind:
        _refuse(what, f"it does not start with the kind \\x93verity-{what}1")
    if header_len != _HEADER.size or total_len != len(data):
        _refuse(what, f"the header says {header_len} + {total_len} bytes, found {len(data)}")
    if not 1 <= n_keys <= MAX_KEYS or _HEADER.size + n_keys * _ENTRY.size != len(data):
        _refuse(what, f"{n_keys} keys do not fit {len(data)} bytes, or are not 1 to {MAX_KEYS}")
    if any(zero):
        _refuse(what, "reserved bytes of the header are not zero")
    if party not in Party._value2member_map_:
        _refuse(what, f"the party {party} is unknown")
    if numbers[0]:
        _refuse(what, "there is a threshold for the role 0, which is none")
    keys = _parse_entries(data, what)
    thresholds = {Role(role): number for role, number in enumerate(numbers) if number}
    for role in {entry.role for entry in keys} | set(thresholds):
        owners = {entry.owner for entry in keys if entry.role is role}
        if not 1 <= thresholds.get(role, 0) <= len(owners):
            _refuse(
                what,
                f"the role {_name(role)} has a threshold of {thresholds.get(role, 0)}"
                f" with {len(owners)} owners",
            )
    return _Layout(
        party=Party(party),
        version=version,
        issued=issued,
        expires=expires,
        thresholds=thresholds,
        keys=keys,
    )


def _parse_entries(data: bytes, what: str) -> tuple[KeyEntry, ...]:
    entries: list[KeyEntry] = []
    previous = b""
    for key_id, role, owner, zero0, spki, zero1 in _ENTRY.iter_unpack(
        memoryview(data)[_HEADER.size :]
    ):
        place = f"key entry {len(entries)}"
        if zero0 or zero1:
            _refuse(what, f"{place}: reserved bytes are not zero")
        if role not in Role._value2member_map_:
            _refuse(what, f"{place}: the role {role} is unknown")
        if owner >= MAX_OWNERS:
            _refuse(what, f"{place}: the owner {owner} is not below {MAX_OWNERS}")
        if not spki.startswith(_P256):
            _refuse(what, f"{place}: not the SubjectPublicKeyInfo of an uncompressed P-256 key")
        if key_id != _key_id(spki):
            _refuse(what, f"{place}: the key id {key_id.hex()} is not the SHA-256 of the key")
        if key_id <= previous:
            _refuse(what, f"{place}: not sorted by key id, or twice")
        previous = key_id
        entries.append(KeyEntry(role=Role(role), owner=owner, spki=spki))
    return tuple(entries)


def _name(value: Party | Role) -> str:
    return value.name.lower()


def _refuse(what: str, reason: str) -> NoReturn:
    raise ContentError(f"bad-{what}", f"{what}: {reason}")
