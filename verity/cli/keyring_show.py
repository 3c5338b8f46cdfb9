# SPDX-License-Identifier: Apache-2.0
"""verity keyring show, verify, check."""

import dataclasses
import os
import time
from pathlib import Path

import click

from verity.cli import key_opening, keyring_options, output, signing_options
from verity.cli.params import PATH
from verity.ports.ostree_repo import Repository
from verity.values.errors import CallerError
from verity.values.findings import Report
from verity.verbs import keyring_check, keyring_verify

_versions_argument = click.argument(
    "versions", metavar="VERSION...", type=PATH, nargs=-1, required=True
)


@click.command(epilog="Example: verity keyring show keyrings/vendor/3.keyring.json")
@output.json_option
@_versions_argument
def show(as_json: bool, versions: tuple[Path, ...]) -> int:
    """Show versions of keyrings, UNVERIFIED: `keyring verify` checks them.

    VERSION is a file, or a directory of keyrings: then all in it, what waits for signatures too.
    Who signed is found out with the root keys in the version and in the one before, if that is
    shown, too.
    """
    for shown in (found for one in versions for found in keyring_verify.look(one)):
        if as_json:
            file = output.path_fields(os.fsencode(shown.path), "file")
            fields = {**keyring_options.fields(shown.keyring), **file, "verified": False}
            signers = [dataclasses.asdict(one) for one in shown.signers]
            output.record("keyring-version", {**fields, "signers": signers})
            continue
        output.line(f"file      {output.one_line(str(shown.path))} (unverified)")
        keyring_options.print_keyring(shown.keyring)
        for one in shown.signers:
            by = f"root key {one.key_id}, owner {one.owner}" if one.owner else "no root key shown"
            says = f", it says {output.one_line(one.hint)}" if not one.owner and one.hint else ""
            output.line(f"signed    by {by}{says}")
        if not shown.signers:
            output.line("signed    by nobody")
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
@key_opening.example_option
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
    found = keyring_verify.verify(
        versions, pin, allow_example_keys=key_opening.access().allow_example_keys
    )
    value = found.keyring
    now = int(time.time())
    if as_json:
        fields = {**keyring_options.fields(value), "first": found.first, "verified": True}
        output.record("keyring-version", fields)
    else:
        keyring_options.print_keyring(value)
    name = value.party.name.lower()
    return output.report(
        Report(
            counts={"versions": value.version - found.first + 1},
            findings=tuple(keyring_verify.expiry(found, now, found.reference_time(now))),
            notes=found.skipped,
        ),
        as_json=as_json,
        good=lambda: f"good: the {name}'s keyring is at version {value.version}",
    )


@click.command(
    epilog="Example: verity keyring check --party vendor --repo repo --commit debian/trixie"
    " --against tools/statement.json keyrings"
)
@signing_options.party_option
@click.option(
    "--against",
    "files",
    type=PATH,
    multiple=True,
    metavar="STATEMENT",
    help="A file with a signed statement that is in use.",
)
@click.option("--repo", type=PATH, metavar="REPO", help="The OSTree repository of --commit.")
@click.option(
    "--commit", "revisions", multiple=True, metavar="REV", help="A signed commit that is in use."
)
@click.option(
    "--soon",
    "soon_days",
    type=click.IntRange(0, 36500),
    default=30,
    show_default=True,
    help="Days within which expiry is a finding.",
)
@output.json_option
@keyring_options.directory_argument
def check(
    party_name: str,
    files: tuple[Path, ...],
    repo: Path | None,
    revisions: tuple[str, ...],
    soon_days: int,
    as_json: bool,
    directory: Path,
) -> int:
    """Say what the version that waits in DIR, or else the newest, would break.

    Which statements it orphans, which roles can't be met, what expires, and how weak the root is.
    It says nothing about whom to trust: `keyring verify` does.
    """
    if bool(revisions) != (repo is not None):
        raise CallerError("bad-arguments", "--repo and --commit belong together")
    what = keyring_check.candidate(directory, signing_options.party_of(party_name))
    existing = [keyring_check.of_file(path) for path in files]
    if repo is not None:
        with Repository(repo) as repository:
            existing += [keyring_check.of_commit(repository, one) for one in revisions]
    version = what.value.version
    return output.report(
        keyring_check.check(what, existing, now=int(time.time()), soon_days=soon_days),
        as_json=as_json,
        good=lambda: f"good: version {version} breaks nothing that was looked at",
    )
