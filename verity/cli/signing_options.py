# SPDX-License-Identifier: Apache-2.0
"""What the verbs share that make signed blobs: who signs, for how long, and named keys."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from verity.cli import key_opening, output
from verity.formats.grants import Party, Role
from verity.formats.statement import format_time, parse_time
from verity.values.digest import Digest, HashAlgorithm
from verity.values.errors import CallerError, ContentError

# Starting a command costs what it imports: what keys need is imported when one is opened.
if TYPE_CHECKING:
    from verity.ports.keystore import SigningKey
    from verity.verbs.keyring_project import Made, NamedKey

DAY = 86400
_LOWEST = re.compile(r"(?P<stream>[a-z0-9._-]{1,63}):(?P<serial>[0-9]{1,16})")
_OWNED = re.compile(r"(?:(?P<owner>[A-Za-z0-9._-]{1,63})=)?(?P<path>.+)", re.DOTALL)

party_option = click.option(
    "--party",
    "party_name",
    type=click.Choice([party.name.lower() for party in Party]),
    required=True,
    help="Whose keys: the vendor of the system, or the user who owns the machine.",
)
days_option = click.option(
    "--days",
    type=click.IntRange(1, 36500),
    default=365,
    show_default=True,
    help="Valid for so long.",
)
stream_option = click.option(
    "--stream", required=True, help="Whose sequence this is: a-z 0-9 . _ -"
)


def serial_value(ctx: click.Context, param: click.Parameter, value: str) -> int | None:
    """The callback of --serial: a number, or None for `auto`."""
    if value == "auto":
        return None
    return int(click.IntRange(1, 2**53 - 1)(value, param, ctx))


def _time(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A time as documents have it, in seconds since 1970."""
    try:
        return None if value is None else parse_time(value)
    except ContentError as error:
        raise click.BadParameter(error.message, ctx, param) from error


serial_option = click.option(
    "--serial",
    required=True,
    callback=serial_value,
    metavar="N|auto",
    help="Grows within the stream; auto: the last one that was signed, plus 1.",
)
issued_option = click.option(
    "--issued",
    callback=_time,
    metavar="TIME",
    help="Issued at, such as 2026-01-31T12:00:00Z, in place of now: the same tree, serial and"
    " times give the same bytes.",
)
expires_option = click.option(
    "--expires", callback=_time, metavar="TIME", help="Valid until, in place of --days."
)
state_option = click.option(
    "--state",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="The record of this stream's serials, for --serial auto; made if it isn't there.",
)
bundle_option = click.option(
    "-o",
    "--output",
    "bundle",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="BUNDLE",
    help="Where to; nothing is overwritten.",
)
threshold_option = click.option(
    "--threshold",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Refuse to sign with fewer keys.",
)
target_argument = click.argument(
    "target", metavar="OUT", type=click.Path(path_type=Path, readable=False)
)


def signing_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--key for one or more signers, and how they are opened."""
    return click.option(
        "--key",
        "key_uris",
        multiple=True,
        required=True,
        metavar="KEY",
        help="Who signs: a path, file:PATH, pkcs11:... or a KMS; repeat it for more.",
    )(key_opening.signing_options(command))


def validity(now: int, *, issued: int | None, expires: int | None, days: int) -> tuple[int, int]:
    """When it is issued and expires, by --issued, --expires and --days."""
    given = click.get_current_context().get_parameter_source("days")
    if expires is not None and given is click.core.ParameterSource.COMMANDLINE:
        raise CallerError("bad-arguments", "--days and --expires both say how long it is valid")
    begin = now if issued is None else issued
    end = begin + days * DAY if expires is None else expires
    if end <= begin:
        raise CallerError(
            "bad-arguments",
            f"it would expire at {format_time(end)}, which is not after {format_time(begin)},"
            " when it is issued",
        )
    return begin, end


def lasts(expires: int | None, days: int) -> str:
    """How long it is valid, for people."""
    return f"for {days} days" if expires is None else f"until {format_time(expires)}"


def by_keys(key_ids: Sequence[str]) -> str:
    """Who signed, for people."""
    return " and ".join(f"key {key_id}" for key_id in key_ids)


def signers(key_uris: tuple[str, ...]) -> "list[SigningKey]":
    """Open every signer."""
    return [key_opening.signer(uri) for uri in key_uris]


def named_key(text: str) -> "NamedKey":
    """Read ``[OWNER=]FILE.pub``; a path with a slash before its = is a path alone."""
    from verity.verbs.keyring_project import NamedKey

    match = _OWNED.fullmatch(text)
    if match is None:
        raise CallerError("bad-arguments", f"{text!r} is not [OWNER=]FILE.pub")
    return NamedKey(path=Path(match["path"]), owner=match["owner"] or "")


def digest_of(text: str, option: str = "--digest") -> bytes:
    """The value of ``--digest sha256:HEX``, or of another option."""
    try:
        found = Digest.parse(text)
    except ContentError as error:
        raise CallerError("bad-arguments", f"{option}: {error.message}") from error
    if found.algorithm is not HashAlgorithm.SHA256:
        raise CallerError("bad-arguments", f"{option} {text[:80]}: expected sha256:HEX")
    return found.value


def lowest_of(text: str) -> tuple[str, int]:
    """The stream and the serial of ``--lowest STREAM:SERIAL``."""
    match = _LOWEST.fullmatch(text)
    if match is None or int(match["serial"]) < 2:
        raise CallerError(
            "bad-arguments", f"--lowest {text}: not STREAM:SERIAL with a serial of 2 or more"
        )
    return match["stream"], int(match["serial"])


def party_of(name: str) -> Party:
    """A party by its name in lower case, as click has checked it."""
    return Party[name.upper()]


def role_of(name: str) -> Role:
    """A role by its name; CallerError for any other word."""
    if name.upper() not in Role.__members__ or name != name.lower():
        known = ", ".join(role.name.lower() for role in Role)
        raise CallerError("bad-arguments", f"unknown role {name!r}, expected one of {known}")
    return Role[name.upper()]


def key_fields(made: "Made") -> list[dict[str, object]]:
    """The keys for JSON."""
    return [
        {
            "role": entry.role.name.lower(),
            "owner": entry.owner,
            "owner_name": made.owners[entry.key_id],
            "key_id": entry.key_id.hex(),
        }
        for entry in made.keys
    ]


def threshold_fields(thresholds: Mapping[Role, int]) -> dict[str, int]:
    """The thresholds for JSON."""
    return {role.name.lower(): number for role, number in sorted(thresholds.items())}


def print_keys(made: "Made") -> None:
    """A line for each key."""
    for entry in made.keys:
        owner = made.owners[entry.key_id]
        output.line(f"key       {entry.key_id.hex()} {entry.role.name.lower()}, owner {owner}")
