# SPDX-License-Identifier: Apache-2.0
"""What the verbs on keyrings share: roles, keys, thresholds, streams, pins, what is printed."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from verity.cli import key_opening, output, signing_options
from verity.formats.grants import Party, Role
from verity.formats.keyring import Keyring, KeyringKey
from verity.formats.statement import format_time, parse_time
from verity.trust.keyring import PinPrint, pin_of
from verity.values.errors import CallerError, ContentError
from verity.verbs import keyring_change, keyring_project, pins
from verity.verbs.keyring_change import NewKey, Rules, Times
from verity.verbs.keyring_project import NamedKey
from verity.verbs.keyring_versions import Published

_ROLE = re.compile(r"(?P<role>[a-z]+)(?::(?P<threshold>[0-9]{1,2}))?=(?P<key>.+)", re.DOTALL)
_THRESHOLD = re.compile(r"(?P<role>[a-z]+)=(?P<number>[0-9]{1,2})")
_STREAM = re.compile(r"(?P<role>[a-z]+)=(?P<pattern>[a-z0-9._-]{0,63}\*?)")
_FINGERPRINT = re.compile(r"sha256:([0-9a-f]{64})")

directory_argument = click.argument(
    "directory", metavar="DIR", type=click.Path(path_type=Path, readable=False)
)


def role_option(*, required: bool) -> Callable[[Any], Any]:
    """--role, which names keys and perhaps a threshold."""
    return click.option(
        "--role",
        "roles",
        multiple=True,
        required=required,
        metavar="ROLE[:N]=[OWNER=]FILE.pub",
        help="A key that may sign as ROLE, of which N owners must (1 if no line says it);"
        " keys of one OWNER count once, without one a key is its own owner.",
    )


threshold_option = click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="ROLE=N",
    help="How many distinct owners of ROLE must sign from now on.",
)
stream_option = click.option(
    "--stream",
    "streams",
    multiple=True,
    metavar="ROLE=NAME",
    help="A stream that os, etc or extension signs in; a * at its end stands for any rest.",
)


def roles_of(texts: Sequence[str]) -> tuple[dict[Role, list[NamedKey]], dict[Role, int]]:
    """Keys by role, and thresholds: one may stand in any line of its role, but only one."""
    keys: dict[Role, list[NamedKey]] = {}
    thresholds: dict[Role, int] = {}
    for text in texts:
        match = _ROLE.fullmatch(text)
        if match is None:
            raise CallerError("bad-arguments", f"--role {text}: not ROLE[:N]=[OWNER=]FILE.pub")
        role = signing_options.role_of(match["role"])
        keys.setdefault(role, []).append(signing_options.named_key(match["key"]))
        if match["threshold"] is not None:
            number = int(match["threshold"])
            if thresholds.setdefault(role, number) != number:
                raise CallerError(
                    "bad-arguments",
                    f"--role {text}: the role {match['role']} has two thresholds,"
                    f" {thresholds[role]} and {number}",
                )
    return keys, thresholds


def rules_of(
    streams: Sequence[str], thresholds: Sequence[str], given: dict[Role, int] | None = None
) -> Rules:
    """What --stream and --threshold say, with the thresholds that --role gave."""
    numbers = dict(given or {})
    for text in thresholds:
        match = _THRESHOLD.fullmatch(text)
        if match is None:
            raise CallerError("bad-arguments", f"--threshold {text}: not ROLE=N, such as root=2")
        role = signing_options.role_of(match["role"])
        if numbers.setdefault(role, int(match["number"])) != int(match["number"]):
            raise CallerError(
                "bad-arguments", f"--threshold {text}: another one is {numbers[role]}"
            )
    patterns: dict[Role, tuple[str, ...]] = {}
    for text in streams:
        match = _STREAM.fullmatch(text)
        if match is None or not match["pattern"]:
            raise CallerError(
                "bad-arguments",
                f"--stream {text}: not ROLE=NAME of a-z 0-9 . _ - and perhaps a * at its end",
            )
        role = signing_options.role_of(match["role"])
        patterns[role] = (*patterns.get(role, ()), match["pattern"])
    return Rules(thresholds=numbers, streams=patterns)


def new_keys(
    keys: Mapping[Role, Sequence[NamedKey]],
    *,
    valid_from: int | None = None,
    valid_until: int | None = None,
) -> list[NewKey]:
    """Keys with their places, read from their files."""
    return [
        NewKey(
            role=role,
            key=keyring_project.load_key(named.path, key_opening.access()),
            owner=named.owner,
            valid_from=valid_from,
            valid_until=valid_until,
        )
        for role, held in keys.items()
        for named in held
    ]


def times_of(now: int, days: int) -> Times:
    """From now, for so many days."""
    return Times(issued=now, expires=now + days * signing_options.DAY)


def time_of(option: str, text: str | None) -> int | None:
    """A time in the form of all our documents."""
    if text is None:
        return None
    try:
        return parse_time(text)
    except ContentError as error:
        raise CallerError("bad-arguments", f"{option}: {error.message}") from error


def key_id_of(value: Keyring, text: str) -> str:
    """A key of the keyring, by (the beginning of) its id or by its file."""
    if Path(text).suffix == ".pub" or "/" in text:
        key_id = keyring_project.load_key(Path(text), key_opening.access()).key_id
        if all(key.key_id != key_id for key in value.keys):
            raise CallerError(
                "bad-arguments", f"{text}: key {key_id} is not in version {value.version}"
            )
        return key_id
    return keyring_change.find(value, text).key_id


def pins_of(texts: Sequence[str]) -> dict[Party, PinPrint]:
    """``PARTY=sha256:FINGERPRINT`` or ``PARTY=FILE`` of a pin; one for each party."""
    accepted: dict[Party, PinPrint] = {}
    for text in texts:
        name, separator, said = text.partition("=")
        if not separator or not said or name not in {party.name.lower() for party in Party}:
            raise CallerError(
                "bad-arguments",
                f"--pin {text}: not PARTY=sha256:FINGERPRINT, where PARTY is vendor or user",
                hint="`verity lockdown pin` prints the fingerprint of a pin",
            )
        party = signing_options.party_of(name)
        if party in accepted:
            raise CallerError("bad-arguments", f"--pin {text}: a second pin of the {name}")
        match = _FINGERPRINT.fullmatch(said)
        if match is None and said.startswith("sha256:"):
            raise CallerError(
                "bad-arguments", f"--pin {text}: sha256: wants 64 lower-case hex digits"
            )
        accepted[party] = (
            PinPrint(party=party, fingerprint=match[1])
            if match is not None
            else PinPrint.of(pins.load(Path(said), party))
        )
    return accepted


def print_published(made: Published, *, as_json: bool) -> int:
    """What was written, and what it waits for."""
    value = made.keyring
    for key_id in made.left_out:
        output.message(f"note: the signature by key {key_id} is left out: it is no root key")
    if as_json:
        output.record(
            "keyring-version",
            {
                **fields(value),
                **output.path_fields(os.fsencode(made.path), "file"),
                "signers": list(made.signers),
                "complete": not made.missing,
                "missing": list(made.missing),
                "left_out": list(made.left_out),
            },
        )
        return 0
    output.line(f"written   {output.one_line(str(made.path))}")
    print_keyring(value)
    for key_id in made.signers:
        output.line(f"signed    by root key {key_id}")
    for text in made.missing:
        output.line(f"waits     for {text}")
    if made.missing:
        output.message("the version doesn't count yet: `verity keyring sign` adds signatures")
    return 0


def print_keyring(value: Keyring) -> None:
    """A keyring as text."""
    output.line(
        f"keyring   {_name(value.party)}, version {value.version},"
        f" issued {format_time(value.issued)}, expires {format_time(value.expires)}"
    )
    output.line(f"pin       sha256:{pin_print(value)} (its root keys)")
    for role, rule in sorted(value.roles.items()):
        streams = f", streams {' '.join(rule.streams)}" if rule.streams else ""
        output.line(f"role      {_name(role)}, threshold {rule.threshold}{streams}")
        for key in value.of_role(role):
            output.line(f"key       {key.key_id} {_name(role)}, owner {key.owner}{_window(key)}")
    for key_id in value.revoked.keys:
        output.line(f"revoked   key {key_id}")
    for digest in value.revoked.digests:
        output.line(f"revoked   digest sha256:{digest.hex()}")
    for stream, serial in sorted(value.revoked.serials.items()):
        output.line(f"revoked   stream {stream} below serial {serial}")


def fields(value: Keyring) -> dict[str, Any]:
    """A keyring for JSON."""
    return {
        "party": _name(value.party),
        "version": value.version,
        "issued": format_time(value.issued),
        "expires": format_time(value.expires),
        "pin": f"sha256:{pin_print(value)}",
        "roles": {
            _name(role): {
                "threshold": rule.threshold,
                "streams": list(rule.streams),
                "keys": [_key_fields(key) for key in value.of_role(role)],
            }
            for role, rule in sorted(value.roles.items())
        },
        "revoked": {
            "keys": list(value.revoked.keys),
            "digests": [f"sha256:{digest.hex()}" for digest in value.revoked.digests],
            "serials": dict(value.revoked.serials),
        },
    }


def _key_fields(key: KeyringKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "owner": key.owner,
        "from": None if key.valid_from is None else format_time(key.valid_from),
        "until": None if key.valid_until is None else format_time(key.valid_until),
    }


def _window(key: KeyringKey) -> str:
    start = f", from {format_time(key.valid_from)}" if key.valid_from is not None else ""
    end = f", until {format_time(key.valid_until)}" if key.valid_until is not None else ""
    return start + end


def pin_print(value: Keyring) -> str:
    """The fingerprint of the pin that its root keys make."""
    return PinPrint.of(pin_of(value)).fingerprint


def _name(value: Party | Role) -> str:
    return value.name.lower()
