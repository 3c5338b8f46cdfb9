# SPDX-License-Identifier: Apache-2.0
"""verity extension: sign."""

import time
from pathlib import Path

import click

from verity.cli import output, policy_options, signing_options
from verity.cli.params import PATH
from verity.verbs import extension_sign
from verity.verbs.sign_prepare import Spot


@click.group()
def extension() -> None:
    """Sign code that the owner of a host adds."""


@extension.command(
    epilog="Example: verity extension sign --key ext.pem --stream tools --serial 1 --tree tools"
    " tools.signed"
)
@signing_options.signing_option
@signing_options.threshold_option
@signing_options.stream_option
@signing_options.serial_option
@signing_options.state_option
@click.option("--tree", type=PATH, required=True, metavar="DIR", help="What to sign.")
@policy_options.signing_option
@signing_options.days_option
@signing_options.issued_option
@signing_options.expires_option
@output.json_option
@signing_options.target_argument
def sign(
    key_uris: tuple[str, ...],
    threshold: int,
    stream: str,
    serial: int | None,
    state: Path | None,
    tree: Path,
    policy: Path | None,
    days: int,
    issued: int | None,
    expires: int | None,
    as_json: bool,
    target: Path,
) -> int:
    """Sign a directory tree as an extension: OUT/manifest, OUT/statement.json and OUT/grants.

    Its programs, libraries and scripts are granted. A kernel module, or a program that is set-uid,
    set-gid or has file capabilities, refuses the whole: only the vendor's role os grants such.
    So does what --policy lists as interpreter or jit, with DIR as /: an extension can't grant that.
    OUT is a new directory; OUT/grants is what `lockdown bundle` takes. All keys sign.
    """
    begin, end = signing_options.validity(
        int(time.time()), issued=issued, expires=expires, days=days
    )
    spot = Spot(stream=stream, serial=serial, issued=begin, expires=end)
    done = extension_sign.sign(
        spot,
        tree,
        signing_options.signers(key_uris),
        target,
        state=state,
        threshold=threshold,
        listed=policy_options.asked_of(policy_options.read(policy)).listed,
    )
    if as_json:
        output.record("signed", {name: getattr(done, name) for name in done.__dataclass_fields__})
        return 0
    output.line(f"signed    {done.files} files by {signing_options.by_keys(done.key_ids)}")
    lasts = signing_options.lasts(expires, days)
    output.line(f"as        stream {stream} serial {done.serial}, {lasts}")
    output.line(f"manifest  sha256:{done.manifest_sha256}")
    output.line(f"grants    sha256:{done.grants_sha256} ({done.code} code)")
    return 0
