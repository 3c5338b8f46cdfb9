# SPDX-License-Identifier: Apache-2.0
"""verity keyring: project."""

import re
import time
from pathlib import Path

import click

from verity.cli import key_opening, output, signing_options
from verity.formats.grants import Role
from verity.values.errors import CallerError
from verity.verbs import keyring_project
from verity.verbs.keyring_project import NamedKey, RoleKeys

_ROLE = re.compile(r"(?P<role>[a-z]+)(?::(?P<threshold>[0-9]{1,2}))?=(?P<key>.+)", re.DOTALL)


@click.group()
def keyring() -> None:
    """Which keys may sign what."""


@keyring.command(
    epilog="Example: verity keyring project --party user --version 1 --role policy=policy.pem.pub"
    " --role extension=ext.pem.pub --key root.pem user.keys"
)
@signing_options.party_option
@click.option(
    "--version", required=True, type=click.IntRange(1, 2**53 - 1), help="Grows with each change."
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    metavar="ROLE[:N]=[OWNER=]FILE.pub",
    help="A key that may sign as ROLE, of which N owners must (1 if no line says it);"
    " keys of one OWNER count once, without one a key is its own owner.",
)
@signing_options.days_option
@signing_options.signing_option
@output.json_option
@signing_options.target_argument
def project(
    party_name: str,
    version: int,
    roles: tuple[str, ...],
    days: int,
    key_uris: tuple[str, ...],
    as_json: bool,
    target: Path,
) -> int:
    """Write what the kernel is told of a party's keys, signed by its root keys.

    The vendor's role is os; the user's are etc, extension, policy and unlock. A key has one
    role, and root keys have no other. Nothing is overwritten.
    """
    now = int(time.time())
    request = keyring_project.Projection(
        party=signing_options.party_of(party_name),
        version=version,
        issued=now,
        expires=now + days * signing_options.DAY,
        roles=_roles(roles),
    )
    made = keyring_project.project(
        request, signing_options.signers(key_uris), target, key_opening.access()
    )
    if as_json:
        output.record(
            "keys",
            {
                "party": party_name,
                "version": version,
                "sha256": made.sha256,
                "thresholds": signing_options.threshold_fields(made.thresholds),
                "keys": signing_options.key_fields(made),
                "signatures": len(key_uris),
            },
        )
        return 0
    output.line(f"keys      sha256:{made.sha256}, signed by {len(key_uris)} root keys")
    output.line(f"party     {party_name}, version {version}, for {days} days")
    for role, number in sorted(made.thresholds.items()):
        output.line(f"role      {role.name.lower()}, threshold {number}")
    signing_options.print_keys(made)
    return 0


def _roles(texts: tuple[str, ...]) -> dict[Role, RoleKeys]:
    """The keys by role; a threshold may stand in any line of its role, but only one."""
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
    return {
        role: RoleKeys(threshold=thresholds.get(role, 1), keys=tuple(held))
        for role, held in keys.items()
    }
