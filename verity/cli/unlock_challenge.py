# SPDX-License-Identifier: Apache-2.0
"""verity unlock challenge: what this host asks for, as text, file and QR code."""

import os
import time
from pathlib import Path

import click

from verity.cli import output, unlock_options
from verity.formats import unlock_request
from verity.formats.gate_unlocks import SCOPES
from verity.formats.unlock_request import Request
from verity.ports import gate_files
from verity.ports.osfile import write_new_file
from verity.verbs import gate_abilities, unlock_challenge, unlock_host, unlock_policy


@click.command(
    epilog="Example: verity unlock challenge --scope path-prefix --operand /opt/rescue --for 30m"
    " --reason 'disk of rack 7'"
)
@click.option(
    "--scope", type=unlock_options.scope_choice, required=True, help="What is to be opened."
)
@click.option("--operand", metavar=unlock_options.OPERAND_METAVAR, help=unlock_options.OPERAND_HELP)
@click.option(
    "--for",
    "duration",
    required=True,
    metavar="TIME",
    help="For how long, such as 90s, 15m, 2h; the policy may allow less.",
)
@click.option(
    "--reason", required=True, metavar="TEXT", help="Why; one line, which the signers read."
)
@unlock_options.challenge_options
@output.json_option
def challenge(
    scope: str,
    operand: str | None,
    duration: str,
    reason: str,
    root: Path,
    target: Path | None,
    qr: bool,
    as_json: bool,
) -> int:
    """Print what a token for this boot must name, and what is asked for.

    Public state and nothing else: it costs nothing and changes nothing, and may be read out, mailed
    or photographed. Send it to who holds the unlock keys; `verity unlock sign` takes it.
    """
    host = unlock_host.look(root, int(time.time()))
    request = unlock_challenge.make(
        host,
        scope=SCOPES[scope],
        operand=unlock_options.operand_of(SCOPES[scope], operand),
        duration_s=unlock_options.seconds_of("--for", duration),
        reason=reason,
        level=level(host),
    )
    warning = unlock_policy.warning(root, request)
    if warning:
        output.message(f"warning: {warning}")
    give(host, request, target, qr=qr, as_json=as_json)
    return 0


def level(host: unlock_host.UnlockHost) -> str:
    """The assurance level that the host claims."""
    sealed, _ = gate_abilities.assurance(host.gate.state, gate_files.kernel_lockdown(host.root))
    return gate_abilities.claimed(host.gate)[0] if sealed else "none"


def give(
    host: unlock_host.UnlockHost, request: Request, target: Path | None, *, qr: bool, as_json: bool
) -> None:
    """Print a request, and write it where it is asked for; root's is in the ledger, too."""
    if os.geteuid() == 0:
        for note in unlock_challenge.record(host, request):
            output.message(f"note: {note}")
    text = unlock_request.encode(request)
    if target is not None:
        write_new_file(target, text, mode=0o644)
    if as_json:
        output.record("challenge", {"text": text.decode("ascii")})
    else:
        output.line(text.decode("ascii").rstrip("\n"))
    if qr:
        unlock_options.show_qr(text)
