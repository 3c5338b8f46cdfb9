# SPDX-License-Identifier: Apache-2.0
"""verity keyring: project; the other verbs of the group are in the modules named here."""

import time
from pathlib import Path

import click

from verity.cli import (
    key_opening,
    keyring_change,
    keyring_make,
    keyring_options,
    keyring_revoke,
    keyring_show,
    output,
    signing_options,
)
from verity.verbs import keyring_project
from verity.verbs.keyring_project import RoleKeys


@click.group()
def keyring() -> None:
    """Say which keys may sign what."""


@keyring.command(
    epilog="Example: verity keyring project --party user --version 1 --role policy=policy.pem.pub"
    " --role extension=ext.pem.pub --key root.pem user.keys"
)
@signing_options.party_option
@click.option(
    "--version", required=True, type=click.IntRange(1, 2**53 - 1), help="Grows with each change."
)
@keyring_options.role_option(required=True)
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
    keys, thresholds = keyring_options.roles_of(roles)
    request = keyring_project.Projection(
        party=signing_options.party_of(party_name),
        version=version,
        issued=now,
        expires=now + days * signing_options.DAY,
        roles={
            role: RoleKeys(threshold=thresholds.get(role, 1), keys=tuple(held))
            for role, held in keys.items()
        },
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


for _command in (
    keyring_make.init,
    keyring_change.add_key,
    keyring_revoke.revoke,
    keyring_change.rotate,
    keyring_make.sign,
    keyring_show.show,
    keyring_show.verify,
    keyring_show.check,
):
    keyring.add_command(_command)
