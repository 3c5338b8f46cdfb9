# SPDX-License-Identifier: Apache-2.0
"""What makes the next version of a keyring out of this one: pure, and nothing is signed here.

Each change gives version n+1 with all that it doesn't mention as it was. A change that leaves a
role which can't be met, or a key with two roles, is refused with what to do instead.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from verity.formats import keyring
from verity.formats.grants import Party, Role
from verity.formats.keyring import Keyring, KeyringKey, Revoked, RoleRule
from verity.formats.statement import format_time
from verity.trust.keys import PublicKey
from verity.values.errors import CallerError, ContentError
from verity.verbs.keyring_project import owner_name

_KEY_ID = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, kw_only=True)
class Times:
    """When the next version is issued and expires, in seconds since 1970."""

    issued: int
    expires: int


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key for a role. ``owner`` "" is an owner of its own."""

    role: Role
    key: PublicKey
    owner: str = ""
    valid_from: int | None = None
    valid_until: int | None = None


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Thresholds and patterns of streams by role, where a change says any."""

    thresholds: Mapping[Role, int]
    streams: Mapping[Role, tuple[str, ...]]


def first(party: Party, keys: Sequence[NewKey], rules: Rules, times: Times) -> Keyring:
    """Version 1."""
    held = {role: {key.key.key_id for key in keys if key.role is role} for role in Role}
    value = Keyring(
        party=party,
        version=1,
        issued=times.issued,
        expires=times.expires,
        keys=(),
        roles={role: _rule(role, (), rules, None) for role in Role if held[role]},
    )
    return checked(_with(value, keys, rules))


def add(before: Keyring, keys: Sequence[NewKey], rules: Rules, times: Times) -> Keyring:
    """Add keys, or only say other thresholds and streams."""
    return checked(_with(_next(before, times), keys, rules))


def revoke(
    before: Keyring,
    *,
    keys: Iterable[str],
    digests: Iterable[bytes],
    lowest: Mapping[str, int],
    times: Times,
) -> Keyring:
    """Revoke key ids, digests, and what is below a serial; a revoked key loses its role."""
    gone = frozenset(keys)
    revoked = before.revoked
    floors = dict(revoked.serials)
    for stream, serial in lowest.items():
        if serial < floors.get(stream, 0):
            raise CallerError(
                "bad-arguments",
                f"the lowest serial of {stream} that counts is {floors[stream]}, not to be lowered"
                f" to {serial}",
            )
        floors[stream] = serial
    value = replace(
        _without(_next(before, times), gone),
        revoked=Revoked(
            keys=tuple(sorted({*revoked.keys, *gone})),
            digests=tuple(sorted({*revoked.digests, *digests})),
            serials=floors,
        ),
    )
    return checked(value)


def rotate(
    before: Keyring,
    *,
    replaced: Mapping[str, NewKey],
    removed: Iterable[str],
    rules: Rules,
    times: Times,
    until: int | None = None,
    revoked: bool = False,
) -> Keyring:
    """Put new keys in the place of old ones (by key id), and take others out.

    With ``until`` the old ones stay, and count for what is issued before then, or before the end
    that they had if that is earlier; with ``revoked`` they count for nothing any more.
    """
    out = frozenset((*replaced, *removed))
    if until is not None:
        keys = tuple(
            replace(key, valid_until=min(until, key.valid_until or until))
            if key.key_id in out
            else key
            for key in before.keys
        )
        value = replace(_next(before, times), keys=keys)
        for key_id in sorted(out):
            if role_of(before, key_id) is Role.ROOT:
                raise CallerError(
                    "bad-arguments",
                    f"key {key_id}: a root key, which has no overlap: it counts up to the version"
                    " that replaces it",
                    hint="rotate root keys without --overlap-days",
                )
    else:
        value = _without(_next(before, times), out)
    value = _with(value, list(replaced.values()), rules)
    if revoked:
        held = tuple(sorted({*value.revoked.keys, *out}))
        value = replace(value, revoked=replace(value.revoked, keys=held))
    return checked(value)


def role_of(value: Keyring, key_id: str) -> Role:
    """The role of a key that is in the keyring."""
    return next(role for role, rule in value.roles.items() if key_id in rule.keys)


def find(value: Keyring, text: str) -> KeyringKey:
    """A key of the keyring by its id or the unique beginning of it, 8 hex digits or more."""
    found = [key for key in value.keys if key.key_id.startswith(text)]
    if not _PREFIX.fullmatch(text) or len(found) != 1:
        raise CallerError(
            "bad-arguments",
            f"{text[:80]!r}: {len(found) if _PREFIX.fullmatch(text) else 'no'} key of the"
            f" {value.party.name.lower()}'s keyring, version {value.version}",
            hint="name a key id, or at least 8 digits of its beginning: `verity keyring show`",
        )
    return found[0]


def is_key_id(text: str) -> bool:
    """Whether it is a whole key id."""
    return _KEY_ID.fullmatch(text) is not None


def checked(value: Keyring) -> Keyring:
    """Refuse with a way out what the format would refuse; then whatever else it refuses."""
    for role, rule in sorted(value.roles.items()):
        owners = {key.owner for key in value.of_role(role)}
        if not 1 <= rule.threshold <= len(owners):
            raise CallerError(
                "bad-threshold",
                f"the role {role.name.lower()} would have a threshold of {rule.threshold} with"
                f" {len(owners)} owners",
                hint="name as many owners as must sign, each with --role ROLE=OWNER=FILE.pub; two"
                " keys of one owner count once"
                if value.version == 1
                else "put another key in its place: `verity keyring rotate --replace`, with"
                " --revoke if the old one is compromised; or add an owner first",
            )
        if role in keyring.STREAM_ROLES and not rule.streams:
            raise CallerError(
                "bad-arguments",
                f"the role {role.name.lower()} needs the streams that it signs in",
                hint=f"--stream '{role.name.lower()}=NAME', where NAME may end in *",
            )
    if value.issued >= value.expires:
        raise CallerError(
            "bad-arguments",
            f"it would expire at {format_time(value.expires)}, when it is issued or before",
        )
    if Role.ROOT not in value.roles:
        raise CallerError(
            "bad-arguments",
            "there is no role root, whose owners sign the keyring itself",
            hint="--role root=OWNER=FILE.pub; with root:2 two owners must sign",
        )
    try:
        keyring.encode(value)
    except ContentError as error:  # what the caller asked for, and not a document that was found
        raise CallerError("bad-arguments", error.message, hint=error.hint) from error
    return value


def _next(before: Keyring, times: Times) -> Keyring:
    return replace(before, version=before.version + 1, issued=times.issued, expires=times.expires)


def _without(value: Keyring, gone: frozenset[str]) -> Keyring:
    roles = {
        role: replace(rule, keys=tuple(key for key in rule.keys if key not in gone))
        for role, rule in value.roles.items()
    }
    return replace(
        value, keys=tuple(key for key in value.keys if key.key_id not in gone), roles=roles
    )


def _with(value: Keyring, keys: Sequence[NewKey], rules: Rules) -> Keyring:
    held = {key.key_id: key for key in value.keys}
    for new in keys:
        key_id = new.key.key_id
        if key_id in held:
            first = value.version == 1
            problem = "it is named twice" if first else "it is in the keyring already"
            raise CallerError(
                "key-twice",
                f"key {key_id}: {problem}",
                hint="make a key for each role: `verity key generate`"
                if first
                else "`verity keyring rotate` replaces it; to change its role, make another key",
            )
        if key_id in value.revoked.keys:
            raise CallerError(
                "key-revoked",
                f"key {key_id}: it is revoked",
                hint="make another key: `verity key generate`",
            )
        held[key_id] = KeyringKey(
            spki=new.key.spki,
            owner=owner_name(new.key, new.owner),
            valid_from=new.valid_from,
            valid_until=new.valid_until,
        )
    touched = {new.role for new in keys} | set(rules.thresholds) | set(rules.streams)
    roles = dict(value.roles)
    for role in touched:
        added = tuple(new.key.key_id for new in keys if new.role is role)
        roles[role] = _rule(role, added, rules, value.roles.get(role))
    return replace(value, keys=tuple(held[key_id] for key_id in sorted(held)), roles=roles)


def _rule(role: Role, added: tuple[str, ...], rules: Rules, before: RoleRule | None) -> RoleRule:
    keys = (*before.keys, *added) if before is not None else added
    return RoleRule(
        threshold=rules.thresholds.get(role, before.threshold if before is not None else 1),
        keys=tuple(sorted(keys)),
        streams=tuple(sorted(set(rules.streams[role])))
        if role in rules.streams
        else (before.streams if before is not None else ()),
    )
