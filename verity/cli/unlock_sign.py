# SPDX-License-Identifier: Apache-2.0
"""verity unlock sign: grant what a challenge asks for, on the operator's machine."""

import os
import sys
from pathlib import Path

import click

from verity.cli import key_opening, output, signing_options, unlock_options
from verity.cli.params import PATH
from verity.formats import challenge as challenges
from verity.formats import inventory as inventories
from verity.formats import records, typed_token, unlock_request
from verity.formats.gate_unlocks import SCOPES
from verity.formats.inventory import KnownHost
from verity.formats.pasted import Pasted, kind_of
from verity.formats.sign_bundle import encode as encode_bundle
from verity.formats.sign_payloads import Opened
from verity.formats.unlock_request import Request
from verity.ports.osfile import read_file, write_new_file
from verity.ports.token_ids import new_token_id
from verity.values.errors import CallerError, ContentError, HostError
from verity.verbs import sign_add, sign_bundles, unlock_sign
from verity.verbs.unlock_sign import Terms


@click.command(
    epilog="Example: verity unlock sign --challenge challenge --inventory hosts.toml"
    " --output rescue.unlock unlock-ann.pem"
)
@click.option("--challenge", type=PATH, metavar="FILE|-", help="What the host printed, as it came.")
@click.option(
    "--bundle", type=PATH, metavar="BUNDLE", help="Or: what the signer before you sent on."
)
@click.option(
    "--inventory", type=PATH, metavar="FILE", help="Your own list of hosts: ids and names, TOML."
)
@click.option(
    "--insecure-unknown-host",
    is_flag=True,
    help="Sign for a host that the inventory doesn't have, or without one.",
)
@click.option("--scope", type=unlock_options.scope_choice, help="Open this, whatever is asked for.")
@click.option("--operand", metavar=unlock_options.OPERAND_METAVAR, help=unlock_options.OPERAND_HELP)
@click.option("--for", "duration", metavar="TIME", help="For so long, whatever is asked for.")
@click.option("--reason", metavar="TEXT", help="Your own reason, in the place of the host's.")
@click.option(
    "--within",
    default="1h",
    show_default=True,
    metavar="TIME",
    help="How long after the challenge it can be applied.",
)
@click.option(
    "--owners",
    type=click.IntRange(1, 8),
    help="So many people sign it.  [default: as the inventory says, else 1]",
)
@click.option("--typed", is_flag=True, help="Print it to be read out and typed, too.")
@unlock_options.qr_option
@click.option("--yes", is_flag=True, help="Sign what is shown without being asked.")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="FILE",
    help="The token, or while signatures are missing the bundle; nothing is overwritten.",
)
@key_opening.signing_options
@output.json_option
@click.argument("key_uris", metavar="KEY...", nargs=-1, required=True)
def sign(
    challenge: Path | None,
    bundle: Path | None,
    inventory: Path | None,
    insecure_unknown_host: bool,
    scope: str | None,
    operand: str | None,
    duration: str | None,
    reason: str | None,
    within: str,
    owners: int | None,
    typed: bool,
    qr: bool,
    yes: bool,
    target: Path,
    as_json: bool,
    key_uris: tuple[str, ...],
) -> int:
    """Grant what a challenge asks for: show it in plain words, ask, sign.

    The host's name comes from your own inventory; what the host says of itself, its reason too, is
    a claim: ask who called you. While people are missing, OUTPUT is a bundle for the next one, who
    signs with --bundle; the last one gets the token. It opens one boot of one host.
    """
    _check_arguments(challenge, bundle, inventory, insecure_unknown_host, yes)
    if os.path.lexists(target):  # before a key is asked to sign, or a person what to sign
        raise HostError(
            "exists",
            f"{target}: exists already and is not overwritten",
            hint="choose another name",
        )
    terms = _terms(scope, operand, duration, reason, within)
    if challenge is not None:
        asked: Request | None = unlock_sign.granted(_request(challenge), terms)
    else:
        asked = None
    opened = _opened(asked, bundle, terms)
    host = _known(opened, inventory, insecure_unknown_host)
    keys = signing_options.signers(key_uris)
    for key in keys:
        sign_add.check_addable(opened, key.public)
    for word, text in unlock_sign.words(opened, host, asked, terms):
        show = output.message if as_json else output.line
        show(f"{word:9} {output.one_line(text)}".rstrip())
    if not yes and not click.confirm(f"Open {host.name} like this?", err=True):
        output.message("nothing was signed")
        return 1
    opened = sign_add.add_all(opened, keys)
    return _write(opened, owners or host.owners, target, typed=typed, qr=qr, as_json=as_json)


def _check_arguments(
    challenge: Path | None, bundle: Path | None, inventory: Path | None, unknown: bool, yes: bool
) -> None:
    if (challenge is None) == (bundle is None):
        raise CallerError("bad-arguments", "either --challenge or --bundle, and not both")
    if inventory is None and not unknown:
        raise CallerError(
            "bad-arguments",
            "no --inventory: nothing of yours says which host this is",
            hint="a TOML file with [hosts.ID] and name = ...; or --insecure-unknown-host",
        )
    if not yes and (str(challenge) == "-" or not sys.stdin.isatty()):
        raise CallerError(
            "not-confirmed",
            "there is no terminal to ask on whether to sign it",
            hint="name the challenge's file, or sign it with --yes once you have read it",
        )


def _terms(
    scope: str | None, operand: str | None, duration: str | None, reason: str | None, within: str
) -> Terms:
    if scope is None and operand is not None:
        raise CallerError("bad-arguments", "--operand without --scope: say both, or neither")
    found = None if scope is None else SCOPES[scope]
    return Terms(
        scope=found,
        operand=b"" if found is None else unlock_options.operand_of(found, operand),
        duration_s=None if duration is None else unlock_options.seconds_of("--for", duration),
        reason=reason,
        within_s=unlock_options.within_of(within),
    )


def _request(path: Path) -> Request:
    data = unlock_options.read(path, max_size=challenges.MAX_SIZE)
    found = kind_of(data)
    if found is not Pasted.CHALLENGE:
        raise ContentError(
            "no-challenge",
            f"{path}: this is {found}, and no challenge",
            hint="the host prints one: `verity unlock challenge`, or `verity-unlock` in a rescue"
            " shell",
        )
    try:
        return unlock_request.parse(data)
    except ContentError as error:
        raise ContentError(error.code, f"{path}: {error.message}", hint=error.hint) from error


def _opened(asked: Request | None, bundle: Path | None, terms: Terms) -> Opened:
    if asked is not None:
        return unlock_sign.prepare(asked, terms, new_token_id())
    if terms != Terms(within_s=terms.within_s):
        raise CallerError(
            "bad-arguments",
            "--scope, --for and --reason change what is signed: not of a bundle that others signed",
        )
    opened = sign_bundles.load(bundle or Path()).opened
    unlock_sign.token_of(opened)
    return opened


def _known(opened: Opened, path: Path | None, insecure_unknown: bool) -> KnownHost:
    listed = {}
    if path is not None:
        try:
            listed = dict(inventories.parse(read_file(path, max_size=inventories.MAX_SIZE)))
        except ContentError as error:
            raise ContentError(error.code, f"{path}: {error.message}", hint=error.hint) from error
    token = unlock_sign.token_of(opened)
    host = unlock_sign.known(listed, token.host_id, insecure_unknown=insecure_unknown)
    if host.is_unknown:
        output.message("warning: --insecure-unknown-host: nothing of yours says whose host this is")
    return host


def _write(
    opened: Opened, owners: int, target: Path, *, typed: bool, qr: bool, as_json: bool
) -> int:
    token = unlock_sign.token_of(opened)
    signed = len(opened.bundle.signatures)
    data = unlock_sign.finish(opened, owners)
    write_new_file(target, encode_bundle(opened.bundle) if data is None else data, mode=0o644)
    fields = {"token": token.token_id.hex(), "signed": signed, "owners": owners}
    name = output.shown(os.fsencode(target))
    if data is None:
        if as_json:
            output.record("half-signed", fields)
        else:
            output.line(f"{'signed':9} by {signed} of {owners}; it is no token yet")
            output.line(f"{'next':9} verity unlock sign --bundle {name} ... by another person")
        return 0
    (fragment,) = records.split(data, label=str(target))
    groups = unlock_sign.groups(fragment)
    if as_json:
        output.record("token", {**fields, "typed": list(groups)})
    else:
        output.line(f"{'token':9} {name}, signed by {signed}; on the host:")
        output.line(f"{'next':9} verity unlock apply {name}")
    if typed and not as_json:
        output.line(typed_token.page(groups).rstrip("\n"))
    if qr:
        unlock_options.show_qr(typed_token.one_line(groups))
    return 0
