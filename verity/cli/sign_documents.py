# SPDX-License-Identifier: Apache-2.0
"""verity sign prepare revoke, waiver: what no tree gives, from options."""

import os
import time
from pathlib import Path

import click

from verity.cli import key_opening, output, sign_output, signing_options
from verity.cli.trust_options import PATH
from verity.formats.grants import Role
from verity.formats.revoke import Revoke, StreamFloor
from verity.formats.waiver import Waiver
from verity.values.errors import CallerError
from verity.verbs import keyring_change, keyring_versions, sign_bundles, sign_documents


@click.command(
    epilog="Example: verity sign prepare revoke --party user --keyring keyrings"
    " --output revoke.sign"
)
@signing_options.party_option
@click.option(
    "--keyring",
    "directory",
    type=PATH,
    metavar="DIR",
    help="All that the newest version of the party's keyring in DIR revokes, to be signed by its"
    " root keys.",
)
@click.option(
    "--role",
    "role_name",
    metavar="ROLE",
    help="Who signs, where it isn't root: the vendor's os, the user's etc or extension.",
)
@click.option(
    "--serial",
    type=click.IntRange(1, 2**53 - 1),
    metavar="N",
    help="Grows with each list of the party; the highest counts.",
)
@click.option(
    "--revoke-key",
    "keys",
    multiple=True,
    metavar="KEY-ID|FILE.pub",
    help="A key whose signatures no longer count.",
)
@click.option(
    "--digest",
    "digests",
    multiple=True,
    metavar="sha256:HEX",
    help="A file that no longer counts, by its fs-verity digest.",
)
@click.option(
    "--lowest",
    "lowest",
    multiple=True,
    metavar="STREAM:SERIAL",
    help="The lowest serial of a stream that still counts.",
)
@signing_options.issued_option
@signing_options.bundle_option
@output.json_option
def revoke(
    party_name: str,
    directory: Path | None,
    role_name: str | None,
    serial: int | None,
    keys: tuple[str, ...],
    digests: tuple[str, ...],
    lowest: tuple[str, ...],
    issued: int | None,
    bundle: Path,
    as_json: bool,
) -> int:
    """Prepare what a party revokes, for the kernel: the whole list, which replaces the one before.

    With --keyring it is what the keyring says, so that the kernel and everybody else are told the
    same. Without, it is a list of its own, by a role that grants, in a hurry and without root keys.
    """
    party = signing_options.party_of(party_name)
    listed = bool(keys or digests or lowest)
    if directory is not None:
        if listed or serial is not None or role_name is not None or issued is not None:
            raise CallerError(
                "bad-arguments", "--keyring says all of it: only --party and --output beside it"
            )
        newest = keyring_versions.newest(keyring_versions.load(directory, party))
        opened = sign_documents.revocations(sign_documents.revoke_of(newest))
    else:
        if not listed or serial is None:
            raise CallerError(
                "bad-arguments",
                "neither --keyring, nor --serial with --revoke-key, --digest or --lowest, is there",
            )
        opened = sign_documents.revocations(
            Revoke(
                party=party,
                role=Role.ROOT if role_name is None else signing_options.role_of(role_name),
                serial=serial,
                issued=int(time.time()) if issued is None else issued,
                keys=tuple(sorted({bytes.fromhex(_key_id(text)) for text in keys})),
                digests=tuple(sorted({signing_options.digest_of(text) for text in digests})),
                streams=tuple(
                    StreamFloor(stream=stream, lowest=number)
                    for stream, number in sorted(
                        dict(map(signing_options.lowest_of, lowest)).items()
                    )
                ),
            )
        )
    sign_bundles.write(bundle, opened)
    sign_output.show(opened, as_json=as_json)
    return 0


@click.command(
    epilog="Example: verity sign prepare waiver --host '*' --check mode --path /usr/bin/old"
    " --digest sha256:3737aac92ee9bb5b4d6009de400a732410a17fa5472accd6bf7cf6e2f65cb9e5"
    " --reason 'ticket 4711' --days 30 --output waiver.sign"
)
@click.option("--host", required=True, metavar="ID|*", help="The host's id, or * for every host.")
@click.option("--check", required=True, metavar="ID", help="The check, as a finding names it.")
@click.option("--path", required=True, metavar="PATH", help="The file, as seen on the host.")
@click.option("--digest", required=True, metavar="sha256:HEX", help="Its fs-verity digest.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; one line.")
@signing_options.days_option
@signing_options.issued_option
@signing_options.expires_option
@signing_options.bundle_option
@output.json_option
def waiver(
    host: str,
    check: str,
    path: str,
    digest: str,
    reason: str,
    days: int,
    issued: int | None,
    expires: int | None,
    bundle: Path,
    as_json: bool,
) -> int:
    """Prepare a waiver: one finding that the owner of the host lives with, until it expires.

    It counts for this check on this file with these contents, and never changes what the gate does.
    """
    begin, end = signing_options.validity(
        int(time.time()), issued=issued, expires=expires, days=days
    )
    opened = sign_documents.exemption(
        Waiver(
            host=host,
            check=check,
            path=os.fsencode(path),
            digest=signing_options.digest_of(digest),
            reason=reason,
            issued=begin,
            expires=end,
        )
    )
    sign_bundles.write(bundle, opened)
    sign_output.show(opened, as_json=as_json)
    return 0


def _key_id(text: str) -> str:
    if keyring_change.is_key_id(text):
        return text
    return key_opening.public_key(Path(text)).key_id
