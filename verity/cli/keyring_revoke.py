# SPDX-License-Identifier: Apache-2.0
"""verity keyring revoke: the next version, after what it would end was said."""

import re
import sys
import time
from pathlib import Path

import click

from verity.cli import keyring_change, keyring_options, output, signing_options
from verity.cli.params import PATH
from verity.formats.keyring import Keyring
from verity.values.errors import CallerError, HostError
from verity.verbs import keyring_change as change
from verity.verbs import keyring_effect, keyring_make
from verity.verbs.keyring_effect import Looked

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
@click.option(
    "--check-against",
    "against",
    type=PATH,
    multiple=True,
    metavar="FILE|DIR",
    help="A signed statement, a manifest, or what `extension sign` wrote: say whether this ends it."
    "  [default: what the host of --root has]",
)
@click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    metavar="DIR",
    help="The host whose signed /etc, floors and boot bundle are looked at.  [default: /]",
)
@click.option("--yes", is_flag=True, help="Revoke without being asked, whatever it ends.")
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
    if not _agreed(before, after, against, root, yes=yes, as_json=as_json):
        output.message("nothing was revoked")
        return 1

    def shown(found: Keyring) -> Keyring:
        if found != before:
            raise HostError(
                "busy",
                f"{directory / party_name}: somebody made version {found.version} meanwhile",
                hint="look at it, and try again",
            )
        return after

    return keyring_change.publish(party_name, key_uris, directory, shown, as_json=as_json)


def _agreed(
    before: Keyring,
    after: Keyring,
    against: tuple[Path, ...],
    root: Path,
    *,
    yes: bool,
    as_json: bool,
) -> bool:
    """Say what would be accepted no longer, and ask if it is anything."""
    if against:
        looked = Looked(found=tuple(map(keyring_effect.of_path, against)), gaps=())
    else:
        looked = keyring_effect.of_host(root)
    for gap in looked.gaps:
        output.message(f"note: not looked at: {gap}")
    ended = keyring_effect.ended(before, after, looked.found)
    for text in ended:
        output.message(f"ends: {text}")
    if yes or not ended:
        return True
    if as_json or not sys.stdin.isatty():
        raise CallerError(
            "not-confirmed",
            f"{len(ended)} of {len(looked.found)} would no longer be accepted, and "
            + ("--json asks nothing" if as_json else "there is no terminal to ask on"),
            hint="sign anew what is to go on counting, then say --yes",
        )
    return click.confirm("Revoke it all the same?", err=True)
