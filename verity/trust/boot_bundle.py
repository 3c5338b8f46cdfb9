# SPDX-License-Identifier: Apache-2.0
"""Whether the gate would take the blobs of a boot bundle: every rule, in the gate's order.

The loader trusts nothing in a bundle and the gate verifies all of it again; this check is made
where bundles are made, so that a host doesn't find out at boot. It is as strict as the gate or
stricter: an expired blob is refused, and so are one that is ahead of the clock and a signature that
is by no trusted key. It reads no file and no clock.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from verity.formats import grants, kernel_keys, kernel_policy, revoke
from verity.formats.grant_rules import check_role
from verity.formats.grants import Code, Grants, Party, Role
from verity.formats.kernel_keys import KernelKeys, KeyEntry, Pin
from verity.formats.kernel_policy import ActSet, KernelPolicy
from verity.formats.records import Fragment, RecordKind
from verity.formats.revoke import Revoke
from verity.formats.statement import format_time
from verity.trust import boot_config, clock, example_keys
from verity.trust.gate_revocations import GateRevocations
from verity.trust.keys import parse_spki
from verity.trust.trusted import TrustedKey, TrustedSet
from verity.values.errors import CallerError, ContentError

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A fragment and what to call it in an error, such as its file."""

    label: str
    fragment: Fragment


@dataclass(frozen=True, kw_only=True)
class Part:
    """A blob that was verified, by as many ``signers`` (owners) of this party and role.

    ``serial`` is the version of keys; ``expires`` is in seconds since 1970, and None for
    revocations, which never do; ``stream`` is empty but for grants.
    """

    label: str
    kind: RecordKind
    party: Party
    role: Role
    serial: int
    expires: int | None
    signers: int
    stream: str = ""


def check(
    labelled: Sequence[Labelled],
    pins: Mapping[Party, Pin],
    *,
    now: int,
    accepted: frozenset[bytes] = frozenset(),
    allow_example_keys: bool = False,
) -> tuple[Part, ...]:
    """Verify everything, in the order in which the gate gets it.

    ``accepted`` are blobs that the host boots with already: that they have expired is no reason
    against them, as it is none for the gate. By keys that have expired nothing else is accepted.

    1. Each `keys` is the only one of its party, and signed by the root threshold of its pin.
    2. No key has two places, across parties, roles and pins, and none is an example.
    3. There is one policy, signed by the user's role policy.
    4. Revocations are signed by the root of their party, or by the role that they say, once each,
       with keys that none before them revokes; there is room for all of them; and of those who
       signed keys and policy enough still count behind them.
    5. There are grants, one blob a stream, each of a stream that the policy names, with this
       party and role, within the role's rights, and signed by it. Neither its serial nor the keys
       that sign it are revoked; that a digest in it is, is how one file is taken back. An OS grants
       no configuration that is the owner's, where the policy names a stream of theirs; and there
       is room for all of it.

    Raises ContentError (``bad-signature``, ``expired``, ``issued-ahead``, ``wrong-stream``,
    ``beyond-role``, ``owners-path``, ``third-stream``, ``too-many-paths``, ``key-twice``,
    ``no-keys``, ``revoked-key``, ``revoked-serial``, ``too-many-revoked``, or what a parser says)
    or CallerError (``no-pin``, or ``bad-arguments`` for what is missing or there twice).
    """
    # 1. Keys.
    at = _Time(now=now, accepted=accepted)
    parts: list[Part] = []
    documents: list[tuple[Labelled, TrustedSet]] = []
    keys: dict[Party, KernelKeys] = {}
    for item in _of_kind(labelled, RecordKind.KEYS):
        found = _parsed(item, kernel_keys.parse_keys)
        if found.party in keys:
            raise CallerError(
                "bad-arguments", f"{item.label}: a second keys blob of the party {_name(found)}"
            )
        keys[found.party] = found
        trusted = _roots(pins, found.party, item.label)
        parts.append(_part(item, trusted, found, at))
        documents.append((item, trusted))
    over = frozenset(party for party, found in keys.items() if found.expires <= now)
    at = replace(at, over=over)
    # 2. One place for each key.
    holders: list[KernelKeys | Pin] = [*pins.values(), *keys.values()]
    check_places(holders)
    if not allow_example_keys:
        for holder in holders:
            example_keys.refuse((entry.key_id.hex() for entry in holder.keys), label=_name(holder))
    # 3. The policy.
    policies = _of_kind(labelled, RecordKind.POLICY)
    if len(policies) != 1:
        raise CallerError("bad-arguments", f"{len(policies)} policies, expected one")
    policy = _parsed(policies[0], kernel_policy.parse)
    trusted = _of_role(keys, Party.USER, Role.POLICY, policies[0].label)
    parts.append(_part(policies[0], trusted, policy, at))
    documents.append((policies[0], trusted))
    # 4. Revocations.
    revoked = GateRevocations()
    for item in _of_kind(labelled, RecordKind.REVOKE):
        said = _parsed(item, revoke.parse)
        if said.role is Role.ROOT:
            trusted = _roots(pins, said.party, item.label)
        else:
            trusted = _of_role(keys, said.party, said.role, item.label)
        parts.append(_part(item, trusted, said, at))
        revoked.check_signed(item.fragment, trusted, item.label)
        revoked.add(said, item.label)
    for item, trusted in documents:
        revoked.check_signed(item.fragment, trusted, item.label)
    # 5. The grants.
    blobs = _of_kind(labelled, RecordKind.GRANTS)
    if not blobs:
        raise CallerError("bad-arguments", "no grants: with this bundle nothing could be started")
    seen: set[str] = set()
    paths: Counter[bytes] = Counter()
    for item in blobs:
        granted = _parsed(item, _parse_grants)
        _check_stream(item, granted, policy, seen)
        boot_config.check(item.label, granted, policy, paths)
        _check_modules(item, granted, policy)
        trusted = _of_role(keys, granted.party, granted.role, item.label)
        revocations = revoked.holding_for(granted.party, granted.role)
        revocations.check_serial(granted.stream, granted.serial, what=item.label)
        parts.append(_part(item, replace(trusted, revocations=revocations), granted, at))
    boot_config.check_any(policy, paths)
    return tuple(parts)


@dataclass(frozen=True, kw_only=True)
class _Time:
    """When it is, and which blobs time takes nothing from; ``over`` are parties whose keys have
    expired."""

    now: int
    accepted: frozenset[bytes]
    over: frozenset[Party] = frozenset()


def by_pin(item: Labelled, pins: Mapping[Party, Pin]) -> Labelled:
    """Keys without the signatures of root keys that the pin hasn't: the version at which root keys
    were replaced is signed by those before, too. As it is if the pin's signed none of it."""
    if item.fragment.kind is not RecordKind.KEYS:
        return item
    trusted = _roots(pins, _parsed(item, kernel_keys.parse_keys).party, item.label)
    alone = replace(trusted, threshold=1)
    blob = item.fragment.blob
    kept = []
    for signature in item.fragment.signatures:
        with suppress(ContentError):
            alone.blob_signers([signature], blob, what=item.label)
            kept.append(signature)
    if not kept:
        return item
    return replace(item, fragment=replace(item.fragment, signatures=tuple(kept)))


def streams(labelled: Sequence[Labelled]) -> dict[str, TrustedSet]:
    """Who grants in each stream that the policy names, as far as the keys have that role.

    For what ``check`` has taken.
    """
    keys = _keys(labelled)
    return {
        stream.name: _of_role(keys, stream.party, stream.role, item.label)
        for item in _of_kind(labelled, RecordKind.POLICY)
        for stream in _parsed(item, kernel_policy.parse).streams
        if stream.party in keys and stream.role in keys[stream.party].thresholds
    }


def policy_signers(labelled: Sequence[Labelled]) -> TrustedSet:
    """Who signs the policy, by the keys of a bundle that ``check`` has taken."""
    (item,) = _of_kind(labelled, RecordKind.POLICY)
    return _of_role(_keys(labelled), Party.USER, Role.POLICY, item.label)


def _keys(labelled: Sequence[Labelled]) -> dict[Party, KernelKeys]:
    parsed = (_parsed(item, kernel_keys.parse_keys) for item in _of_kind(labelled, RecordKind.KEYS))
    return {found.party: found for found in parsed}


def check_places(holders: Iterable[KernelKeys | Pin]) -> None:
    """Refuse a key with two parties or roles (``key-twice``); a role may repeat it."""
    places: dict[bytes, tuple[Party, Role]] = {}
    for holder in holders:
        for entry in holder.keys:
            place = (holder.party, entry.role)
            before = places.setdefault(entry.key_id, place)
            if before != place:
                names = [f"{party.name} {role.name}".lower() for party, role in (before, place)]
                raise ContentError(
                    "key-twice",
                    f"key {entry.key_id.hex()}: it is {names[0]} and {names[1]}, expected one role",
                    hint="make a key for each role: `verity key generate`",
                )


def _of_kind(labelled: Sequence[Labelled], kind: RecordKind) -> list[Labelled]:
    return [item for item in labelled if item.fragment.kind is kind]


def _parsed(item: Labelled, parse: Callable[[bytes], Value]) -> Value:
    """What a parser makes of the blob; its error names the file."""
    try:
        return parse(item.fragment.blob)
    except ContentError as error:
        raise ContentError(error.code, f"{item.label}: {error.message}", hint=error.hint) from error


def _parse_grants(blob: bytes) -> Grants:
    granted = grants.parse(blob)
    check_role(granted)
    return granted


def _check_modules(item: Labelled, granted: Grants, policy: KernelPolicy) -> None:
    modules = granted.role is Role.EXTENSION and granted.flags_used & Code.MODULE
    if modules and not policy.observed_acts & ActSet.EXTENSION_MODULES:
        raise ContentError(
            "beyond-role",
            f"{item.label}: grants: kernel modules, which the policy lets no extension grant",
            hint="leave it out, or sign a policy whose reaction to extension-modules is observe",
        )


def _roots(pins: Mapping[Party, Pin], party: Party, label: str) -> TrustedSet:
    pin = pins.get(party)
    if pin is None:
        raise CallerError(
            "no-pin",
            f"{label}: no pin of the party {party.name.lower()} to verify it against",
            hint=f"--pin {party.name.lower()}=FILE; `verity lockdown pin` makes the file",
        )
    return _trusted(party, Role.ROOT, pin.keys, pin.threshold)


def _of_role(keys: Mapping[Party, KernelKeys], party: Party, role: Role, label: str) -> TrustedSet:
    found = keys.get(party)
    if found is None or role not in found.thresholds:
        raise ContentError(
            "no-keys",
            f"{label}: no keys of the party {party.name.lower()} for the role"
            f" {role.name.lower()}, which has to sign it",
            hint="`verity keyring project` makes them; pass them with --keys",
        )
    return _trusted(party, role, found.keys, found.thresholds[role])


def _trusted(party: Party, role: Role, entries: Iterable[KeyEntry], threshold: int) -> TrustedSet:
    return TrustedSet(
        party=party,
        role=role,
        keys=tuple(
            TrustedKey(
                key=parse_spki(entry.spki, label=f"key {entry.key_id.hex()}"),
                owner=str(entry.owner),
            )
            for entry in entries
            if entry.role is role
        ),
        threshold=threshold,
        allow_example_keys=True,  # check has looked
    )


def _part(
    item: Labelled,
    trusted: TrustedSet,
    said: KernelKeys | KernelPolicy | Revoke | Grants,
    at: _Time,
) -> Part:
    """Verify signatures and times; nothing that signed may be unknown."""
    fragment = item.fragment
    owners, _ = trusted.blob_signers(fragment.signatures, fragment.blob, what=item.label)
    alone = replace(trusted, threshold=1)
    for number, signature in enumerate(fragment.signatures, 1):
        alone.blob_signers([signature], fragment.blob, what=f"{item.label}, signature {number}")
    now, expires = at.now, None if isinstance(said, Revoke) else said.expires
    if expires is not None and now >= expires and fragment.blob not in at.accepted:
        raise ContentError(
            "expired",
            f"{item.label}: expired at {format_time(expires)}, it is {format_time(now)}",
            hint="have it made and signed anew, with a higher serial or version",
        )
    if expires is not None and trusted.party in at.over and fragment.blob not in at.accepted:
        raise ContentError(
            "expired",
            f"{item.label}: by the keys of the {trusted.party.name.lower()}, which have expired",
            hint="the next version of the keyring comes first: `verity keyring add-key`",
        )
    # The gate would take that time for its own until it boots again.
    if clock.is_ahead(said.issued, now):
        raise ContentError(
            "issued-ahead",
            f"{item.label}: issued at {format_time(said.issued)}, more than a day ahead of this"
            f" host's clock, {format_time(now)}",
            hint="set the clock; if it is right, have it signed anew with the right time",
        )
    return Part(
        label=item.label,
        kind=fragment.kind,
        party=trusted.party,
        role=trusted.role,
        serial=said.version if isinstance(said, KernelKeys) else said.serial,
        expires=expires,
        signers=len(owners),
        stream=said.stream if isinstance(said, Grants) else "",
    )


def _check_stream(item: Labelled, granted: Grants, policy: KernelPolicy, seen: set[str]) -> None:
    if granted.stream in seen:
        raise CallerError(
            "bad-arguments", f"{item.label}: a second grants blob of the stream {granted.stream}"
        )
    seen.add(granted.stream)
    found = f"{granted.stream}={granted.party.name}:{granted.role.name}".lower()
    named = [f"{s.name}={s.party.name}:{s.role.name}".lower() for s in policy.streams]
    if found not in named:
        raise ContentError(
            "wrong-stream",
            f"{item.label}: grants for {found}, the policy names {', '.join(named)}",
            hint="`verity policy compile --stream` names the streams",
        )


def _name(keys: KernelKeys | Pin) -> str:
    return keys.party.name.lower()
