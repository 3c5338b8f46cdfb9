# SPDX-License-Identifier: Apache-2.0
"""verity keyring revoke: the next version, after what it would end was said."""

import re
import time
from pathlib import Path

import click

from verity.cli import (
    keyring_change,
    keyring_ends,
    keyring_options,
    output,
    signing_options,
)
from verity.formats.keyring import Keyring
from verity.values.errors import CallerError
from verity.verbs import keyring_change as change
from verity.verbs import keyring_make

_LOWEST = re.compile(r"(?P<stream>[a-z0-9._-]{1,63}):(?P<serial>[0-9]{1,16})")


@click.command(
    epilog="Example: verity keyring revoke --party vendor --lowest debian-trixie:42 --key ann.pem"
    " --key bob.pem keyrings"
)
@keyring_change.options
@click.option(
    "--revoke-key",
    "revoked_keys",
    multiple=True,
    metavar="KEY-ID|FILE.pub",
    help="A key whose signatures no longer count, whatever they are over.",
)
@click.option(
    "--digest",
    "digests",
    multiple=True,
    metavar="sha256:HEX",
    help="Content that no longer counts: a file by its fs-verity digest, or a signed document.",
)
@click.option(
    "--lowest",
    "lowest",
    multiple=True,
    metavar="STREAM:SERIAL",
    help="The lowest serial of a stream that still counts.",
)
@keyring_ends.options
def revoke(
    party_name: str,
    days: int,
    key_uris: tuple[str, ...],
    as_json: bool,
    directory: Path,
    revoked_keys: tuple[str, ...],
    digests: tuple[str, ...],
    lowest: tuple[str, ...],
    against: tuple[Path, ...],
    root: Path,
    yes: bool,
) -> int:
    """Make the next version, which revokes keys, digests or serials beside those before.

    It says first what of this host, or of what --check-against names, would no longer be accepted,
    and asks if that is anything. A revoked key loses its role; put another one in its place with
    `keyring rotate --revoke`.
    """
    if not revoked_keys and not digests and not lowest:
        raise CallerError("bad-arguments", "none of --revoke-key, --digest and --lowest is there")
    values = [signing_options.digest_of(text) for text in digests]
    floors = dict(map(signing_options.lowest_of, lowest))
    times = keyring_options.times_of(int(time.time()), days)

    def edit(before: Keyring) -> Keyring:
        ids = [
            text if change.is_key_id(text) else keyring_options.key_id_of(before, text)
            for text in revoked_keys
        ]
        for key_id in ids:
            if key_id in before.revoked.keys:
                output.message(f"note: key {key_id} is revoked already")
            elif key_id not in {key.key_id for key in before.keys}:
                output.message(
                    f"note: key {key_id} is not in this keyring: compare it, a mistyped id revokes"
                    " nobody"
                )
        return change.revoke(before, keys=ids, digests=values, lowest=floors, times=times)

    before = keyring_make.newest(directory, signing_options.party_of(party_name))
    after = edit(before)
    if not keyring_ends.agreed(before, after, against, root, yes=yes, as_json=as_json):
        output.message("nothing was revoked")
        return 1

    return keyring_change.publish_shown(
        party_name, key_uris, directory, before, after, as_json=as_json
    )
