# SPDX-License-Identifier: Apache-2.0
"""verity sign prepare etc: the signed /etc for several signers."""

import time
from pathlib import Path

import click

from verity.cli import etc_options, output, signing_options
from verity.cli.etc_output import print_left_out
from verity.cli.trust_options import PATH
from verity.verbs import etc_sign, sign_bundles, sign_summary
from verity.verbs.etc_intent import Host
from verity.verbs.sign_prepare import Spot


@click.command(
    epilog="Example: verity sign prepare etc --stream etc-host1 --serial auto --output etc.sign"
)
@signing_options.stream_option
@signing_options.serial_option
@etc_options.home_option
@signing_options.days_option
@signing_options.issued_option
@signing_options.expires_option
@etc_options.place_options
@click.option(
    "-o",
    "--output",
    "bundle",
    type=PATH,
    required=True,
    metavar="BUNDLE",
    help="Where to; nothing is overwritten.",
)
@output.json_option
def etc(
    stream: str,
    serial: int | None,
    homes: tuple[str, ...],
    days: int,
    issued: int | None,
    expires: int | None,
    root: Path,
    store: Path | None,
    bundle: Path,
    as_json: bool,
) -> int:
    """Prepare /etc as it is, on the host itself; its contents go to the store there.

    With --serial auto two that are prepared at a time have the same serial, and the one that is
    attached first counts.
    """
    begin, end = signing_options.validity(
        int(time.time()), issued=issued, expires=expires, days=days
    )
    spot = Spot(stream=stream, serial=serial, issued=begin, expires=end)
    prepared = etc_sign.prepare(spot, Host.at(root, store), homes)
    sign_bundles.write(bundle, prepared.opened)
    if as_json:
        output.record("bundle", sign_summary.as_record(prepared.opened))
        return 0
    for word, text in sign_summary.lines(prepared.opened):
        output.line(f"{word:9} {output.one_line(text)}")
    print_left_out(prepared)
    return 0
