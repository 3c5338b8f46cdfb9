# SPDX-License-Identifier: Apache-2.0
"""verity sign prepare unlock: a token that answers the challenge of a host."""

from pathlib import Path

import click

from verity.cli import output, sign_output, signing_options, unlock_options
from verity.cli.trust_options import PATH
from verity.formats import challenge as challenges
from verity.formats.challenge import Challenge
from verity.formats.gate_unlocks import SCOPES
from verity.ports.osfile import read_file
from verity.ports.token_ids import new_token_id
from verity.values.errors import CallerError, ContentError
from verity.verbs import sign_bundles, sign_documents


@click.command(
    epilog="Example: verity sign prepare unlock --challenge challenge --scope path-prefix"
    " --operand /opt/rescue --for 30m --reason 'disk of rack 7' --output unlock.sign"
)
@click.option(
    "--challenge",
    type=PATH,
    metavar="FILE",
    help="What the host printed: lines with its boot nonce, id, policy serial and boot"
    " clock. Or say all of these yourself:",
)
@click.option("--boot-nonce", metavar="HEX", help="The host's boot nonce.")
@click.option("--host-id", metavar="HEX", help="The host's id.")
@click.option("--policy-serial", metavar="N", help="The serial of the policy that it has.")
@click.option("--boot-clock", metavar="SECONDS", help="How long it has been running.")
@click.option("--scope", type=unlock_options.scope_choice, required=True, help="What is opened.")
@click.option(
    "--operand",
    metavar=unlock_options.OPERAND_METAVAR,
    help=unlock_options.OPERAND_HELP,
)
@click.option(
    "--for",
    "duration",
    required=True,
    metavar="TIME",
    help="For how long, such as 90s, 15m, 2h; the policy may allow less.",
)
@click.option(
    "--within",
    default="1h",
    show_default=True,
    metavar="TIME",
    help="How long after the challenge it can be applied.",
)
@click.option(
    "--reason", required=True, metavar="TEXT", help="Why; one line, which the signers read."
)
@signing_options.bundle_option
@output.json_option
def unlock(
    challenge: Path | None,
    boot_nonce: str | None,
    host_id: str | None,
    policy_serial: str | None,
    boot_clock: str | None,
    scope: str,
    operand: str | None,
    duration: str,
    within: str,
    reason: str,
    bundle: Path,
    as_json: bool,
) -> int:
    """Prepare an unlock token, for one boot of one host, one thing and a time.

    The host prints a challenge, which is public; no other boot and no other host takes the token.
    """
    given = {
        "boot_nonce": boot_nonce,
        "host_id": host_id,
        "policy_serial": policy_serial,
        "boot_clock_s": boot_clock,
    }
    texts = {name: text for name, text in given.items() if text is not None}
    if len(texts) != (0 if challenge is not None else len(given)):
        raise CallerError(
            "bad-arguments",
            "either --challenge, or all of --boot-nonce, --host-id, --policy-serial, --boot-clock",
        )
    if challenge is None:
        found = challenges.of_texts(texts)
    else:
        found = _challenge(challenge)
    opened = sign_documents.token(
        found,
        token_id=new_token_id(),
        scope=SCOPES[scope],
        operand=unlock_options.operand_of(SCOPES[scope], operand),
        duration_s=unlock_options.seconds_of("--for", duration),
        apply_within_s=unlock_options.within_of(within),
        reason=reason,
    )
    sign_bundles.write(bundle, opened)
    sign_output.show(opened, as_json=as_json)
    return 0


def _challenge(path: Path) -> Challenge:
    try:
        return challenges.parse(read_file(path, max_size=challenges.MAX_SIZE))
    except ContentError as error:
        raise ContentError(error.code, f"{path}: {error.message}", hint=error.hint) from error
