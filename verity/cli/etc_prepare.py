# SPDX-License-Identifier: Apache-2.0
"""verity sign prepare etc: the signed /etc for several signers."""

import time
from pathlib import Path

import click

from verity.cli import etc_options, output, sign_output, signing_options
from verity.cli.etc_output import print_left_out
from verity.verbs import etc_sign, sign_bundles
from verity.verbs.etc_intent import Host
from verity.verbs.sign_prepare import Spot


@click.command(
    epilog="Example: verity sign prepare etc --stream etc-host1 --serial auto --output etc.sign"
)
@etc_options.signed_options
@signing_options.bundle_option
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
    sign_output.show(prepared.opened, as_json=as_json)
    if not as_json:
        print_left_out(prepared)
    return 0
