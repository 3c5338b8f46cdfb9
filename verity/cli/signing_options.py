# SPDX-License-Identifier: Apache-2.0
"""What the verbs share that make signed blobs: who signs, for how long, and named keys."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from verity.cli import key_opening, output
from verity.formats.grants import Party, Role
from verity.ports.keystore import SigningKey
from verity.values.errors import CallerError
from verity.verbs.keyring_project import Made, NamedKey

DAY = 86400
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


def signers(key_uris: tuple[str, ...]) -> list[SigningKey]:
    """Open every signer."""
    return [key_opening.signer(uri) for uri in key_uris]


def named_key(text: str) -> NamedKey:
    """Read ``[OWNER=]FILE.pub``; a path with a slash before its = is a path alone."""
    match = _OWNED.fullmatch(text)
    if match is None:
        raise CallerError("bad-arguments", f"{text!r} is not [OWNER=]FILE.pub")
    return NamedKey(path=Path(match["path"]), owner=match["owner"] or "")


def party_of(name: str) -> Party:
    """A party by its name in lower case, as click has checked it."""
    return Party[name.upper()]


def role_of(name: str) -> Role:
    """A role by its name; CallerError for any other word."""
    if name.upper() not in Role.__members__ or name != name.lower():
        known = ", ".join(role.name.lower() for role in Role)
        raise CallerError("bad-arguments", f"unknown role {name!r}, expected one of {known}")
    return Role[name.upper()]


def key_fields(made: Made) -> list[dict[str, object]]:
    """The keys for JSON."""
    return [
        {"role": entry.role.name.lower(), "owner": entry.owner, "key_id": entry.key_id.hex()}
        for entry in made.keys
    ]


def threshold_fields(thresholds: Mapping[Role, int]) -> dict[str, int]:
    """The thresholds for JSON."""
    return {role.name.lower(): number for role, number in sorted(thresholds.items())}


def print_keys(made: Made) -> None:
    """A line for each key."""
    for entry in made.keys:
        output.line(
            f"key       {entry.key_id.hex()} {entry.role.name.lower()}, owner {entry.owner}"
        )
