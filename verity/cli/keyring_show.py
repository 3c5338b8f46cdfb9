# SPDX-License-Identifier: Apache-2.0
"""verity keyring show, verify."""

import time
from pathlib import Path

import click

from verity.cli import keyring_options, output
from verity.cli.params import PATH
from verity.values.errors import CallerError
from verity.values.findings import Report
from verity.verbs import keyring_verify

_versions_argument = click.argument(
    "versions", metavar="VERSION...", type=PATH, nargs=-1, required=True
)


@click.command(epilog="Example: verity keyring show keyrings/vendor/3.keyring.json")
@output.json_option
@_versions_argument
def show(as_json: bool, versions: tuple[Path, ...]) -> int:
    """Show versions of keyrings, UNVERIFIED: `keyring verify` checks them."""
    for path in versions:
        value = keyring_verify.look(path)
        if as_json:
            fields = {**keyring_options.fields(value), "file": str(path), "verified": False}
            output.record("keyring-version", fields)
        else:
            output.line(f"file      {output.one_line(str(path))} (unverified)")
            keyring_options.print_keyring(value)
    return 0


@click.command(
    epilog="Example: verity keyring verify --pin"
    " vendor=sha256:2b1cfbd7f8a0c6a4b1d6a8f7a2d0c1e5b3f49786a5c4d3e2f1a0b9c8d7e6f504 keyrings"
)
@click.option(
    "--pin",
    "pins",
    multiple=True,
    required=True,
    metavar="PARTY=sha256:HEX|FILE",
    help="The fingerprint of the root keys that you accept, or a pin's file.",
)
@output.json_option
@_versions_argument
def verify(pins: tuple[str, ...], as_json: bool, versions: tuple[Path, ...]) -> int:
    """Verify the versions of a party's keyring, from the pin to the newest.

    VERSION is each file of the chain, in any order, or one directory of keyrings.
    """
    accepted = keyring_options.pins_of(pins)
    if len(accepted) != 1:
        raise CallerError("bad-arguments", "expected the pin of one party")
    (pin,) = accepted.values()
    found = keyring_verify.verify(versions, pin)
    value = found.keyring
    if as_json:
        fields = {**keyring_options.fields(value), "first": found.first, "verified": True}
        output.record("keyring-version", fields)
    else:
        keyring_options.print_keyring(value)
    name = value.party.name.lower()
    return output.report(
        Report(
            counts={"versions": value.version - found.first + 1},
            findings=tuple(keyring_verify.expiry(found, int(time.time()))),
            notes=found.skipped,
        ),
        as_json=as_json,
        good=lambda: f"good: the {name}'s keyring is at version {value.version}",
    )
