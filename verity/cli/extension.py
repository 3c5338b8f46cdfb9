# SPDX-License-Identifier: Apache-2.0
"""verity extension: sign."""

import time
from pathlib import Path

import click

from verity.cli import key_opening, output, signing_options
from verity.cli.trust_options import PATH
from verity.verbs import extension_sign


@click.group()
def extension() -> None:
    """Code that the owner of a host adds to it."""


@extension.command(
    epilog="Example: verity extension sign --key ext.pem --stream tools --serial 1 --tree tools"
    " tools.signed"
)
@key_opening.signer_option
@click.option("--stream", required=True, help="Whose sequence this is: a-z 0-9 . _ -")
@click.option(
    "--serial", required=True, type=click.IntRange(1, 2**53 - 1), help="Grows within the stream."
)
@click.option("--tree", type=PATH, required=True, metavar="DIR", help="What to sign.")
@signing_options.days_option
@output.json_option
@signing_options.target_argument
def sign(
    key_uri: str,
    stream: str,
    serial: int,
    tree: Path,
    days: int,
    as_json: bool,
    target: Path,
) -> int:
    """Sign a directory tree as an extension: OUT/manifest, OUT/statement.json and OUT/grants.

    Its programs, libraries and scripts are granted. A kernel module, or a program that is set-uid,
    set-gid or has file capabilities, refuses the whole: only the vendor's role os grants such.
    OUT is a new directory; OUT/grants is what `lockdown bundle` takes.
    """
    now = int(time.time())
    place = extension_sign.place(
        stream=stream, serial=serial, issued=now, expires=now + days * signing_options.DAY
    )
    done = extension_sign.sign(place, tree, key_opening.signer(key_uri), target)
    if as_json:
        output.record("signed", {name: getattr(done, name) for name in done.__dataclass_fields__})
        return 0
    output.line(f"signed    {done.files} files by key {done.key_id}")
    output.line(f"as        stream {stream} serial {serial}, for {days} days")
    output.line(f"manifest  sha256:{done.manifest_sha256}")
    output.line(f"grants    sha256:{done.grants_sha256} ({done.code} code)")
    return 0
