# SPDX-License-Identifier: Apache-2.0
"""verity keyring init, sign: the first version, and signatures for one that waits."""

import sys
import time
from pathlib import Path
from typing import Any

import click

from verity.cli import key_opening, keyring_options, output, signing_options
from verity.formats.grants import Role
from verity.values.errors import CallerError
from verity.verbs import keyring_change, keyring_make, keyring_solo

_SOLO = """\
every key of the {party} is in {private}, unencrypted: whoever reads that directory can sign
as every role, and change the keyring so that the host's owner can't. Each threshold is one, so
nobody else has to agree, and nobody else can repair it if the root key is lost. Carry
{root} away from this machine, and keep two copies; it is needed for changes only."""


@click.command(
    epilog="Example: verity keyring init --party vendor --role root:2=ann=ann.pem.pub"
    " --role root=bob=bob.pem.pub --role os=os.pem.pub --stream os=debian-* --key ann.pem"
    " --key bob.pem keyrings"
)
@signing_options.party_option
@keyring_options.role_option(required=False)
@keyring_options.stream_option
@click.option(
    "--solo", is_flag=True, help="Make every key of one person, the keyring and its pin, in DIR."
)
@signing_options.days_option
@click.option(
    "--key",
    "key_uris",
    multiple=True,
    metavar="KEY",
    help="Who signs, root keys: a path, file:PATH, pkcs11:... or a KMS; repeat it for more.",
)
@key_opening.signing_options
@output.json_option
@keyring_options.directory_argument
def init(
    party_name: str,
    roles: tuple[str, ...],
    streams: tuple[str, ...],
    solo: bool,
    days: int,
    key_uris: tuple[str, ...],
    as_json: bool,
    directory: Path,
) -> int:
    """Make version 1 of a party's keyring, DIR/PARTY/1.keyring.json, and the kernel's view of it.

    It needs the role root and at least one other. Signed by fewer than the root threshold it
    waits for `keyring sign`.
    """
    times = keyring_options.times_of(int(time.time()), days)
    party = signing_options.party_of(party_name)
    if solo:
        if roles or streams or key_uris:
            raise CallerError(
                "bad-arguments", "--solo makes its own keys: no --role, --stream and --key"
            )
        return _print_solo(keyring_solo.make(directory, party, times), party_name, as_json=as_json)
    if not roles or not key_uris:
        raise CallerError(
            "bad-arguments",
            "--role and --key are missing",
            hint="name the keys of each role and the root keys that sign; or --solo",
        )
    keys, thresholds = keyring_options.roles_of(roles)
    value = keyring_change.first(
        party,
        keyring_options.new_keys(keys),
        keyring_options.rules_of(streams, (), thresholds),
        times,
    )
    made = keyring_make.init(directory, party, value, signing_options.signers(key_uris))
    root = value.roles[Role.ROOT]
    if root.threshold == len({key.owner for key in value.of_role(Role.ROOT)}):
        output.message(
            "note: every root owner must sign each later version, so one lost root key ends this"
            " keyring for good: one owner more than the threshold is worth having"
        )
    return keyring_options.print_published(made, as_json=as_json)


@click.command(epilog="Example: verity keyring sign --party vendor --key bob.pem keyrings")
@signing_options.party_option
@signing_options.signing_option
@click.option("--yes", is_flag=True, help="Sign what is shown without being asked.")
@output.json_option
@keyring_options.directory_argument
def sign(
    party_name: str, key_uris: tuple[str, ...], yes: bool, as_json: bool, directory: Path
) -> int:
    """Show the version that waits for signatures, ask, and add some; with enough of them it counts.

    Whoever can write to DIR can put another version there: what is shown is what is signed.
    """
    party = signing_options.party_of(party_name)
    shown, signed_by = keyring_make.waiting(directory, party)
    if not yes and (as_json or not sys.stdin.isatty()):
        raise CallerError(
            "not-confirmed",
            f"{directory}: version {shown.version} waits, and "
            + ("--json asks nothing" if as_json else "there is no terminal to ask on"),
            hint="look at it with `verity keyring show`, then sign it with --yes",
        )
    if not as_json:
        keyring_options.print_keyring(shown)
        output.line(f"so far    signed by {', '.join(signed_by) or 'nobody'}")
    if not yes and not click.confirm(f"Sign version {shown.version}?", err=True):
        output.message("nothing was signed")
        return 1
    made = keyring_make.complete(directory, party, signing_options.signers(key_uris), shown=shown)
    return keyring_options.print_published(made, as_json=as_json)


def _print_solo(made: keyring_solo.Solo, party_name: str, *, as_json: bool) -> int:
    fields: dict[str, Any] = {
        "pin_file": str(made.pin),
        "private": {role.name.lower(): str(path) for role, path in made.private.items()},
    }
    if as_json:
        output.record("solo", fields)
    else:
        output.line(f"pin file  {output.one_line(str(made.pin))}")
        for role, path in made.private.items():
            output.line(f"private   {role.name.lower()}: {output.one_line(str(path))}")
    status = keyring_options.print_published(made.published, as_json=as_json)
    root = made.private[Role.ROOT]
    output.message(_SOLO.format(party=party_name, private=root.parent, root=root))
    return status
