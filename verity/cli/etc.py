# SPDX-License-Identifier: Apache-2.0
"""verity etc: sign, status, diff, apply, revert."""

# Starting a command costs what it imports: what one verb alone needs is imported in it.

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from verity.cli import etc_options, output, signing_options
from verity.cli.etc_output import (
    print_applied,
    print_difference,
    print_forgotten,
    print_loose,
    print_others,
    print_signed,
)
from verity.cli.floor_output import print_accepted, with_floors
from verity.cli.params import PATH
from verity.cli.trust_options import judged, key_options, keyrings, trusted_set
from verity.formats.grants import Role
from verity.values.errors import CallerError, HostError

if TYPE_CHECKING:
    from verity.trust.trusted import TrustedSet


@click.group()
def etc() -> None:
    """Sign /etc, see what changed in it, and bring it back."""


_vendor_option = click.option(
    "--vendor",
    type=PATH,
    metavar="DIR",
    help="The vendor's default.  [default: usr/etc below the root, if there is one]",
)
_dry_option = click.option(
    "--dry-run", is_flag=True, help="Only say what would be done; change nothing."
)
_serial_argument = click.argument(
    "serial", metavar="[SERIAL]", required=False, type=click.IntRange(1, 2**53 - 1)
)


def _trusted(keys: tuple[Path, ...], threshold: int) -> "TrustedSet":
    """The keys of the owner's role etc: those named, or of this host's keyrings, also for --root: a
    tree that is looked at doesn't say whom to trust."""
    try:
        return trusted_set(keys, threshold, role=Role.ETC)
    except HostError as error:
        if error.code != "no-pin":
            raise
        raise HostError(
            "no-pin",
            "no pin of the user, whose keyring says who signs /etc: nobody is trusted",
            hint="--key FILE.pub; or --pin user=sha256:FINGERPRINT with --keyring DIR; or"
            " `verity lockdown pin` puts the pin to /etc/verity/pins/user.pin",
        ) from error


@etc.command(epilog="Example: verity etc sign --key etc.pem --stream etc-host1 --serial auto")
@signing_options.signing_option
@signing_options.threshold_option
@etc_options.signed_options
@output.json_option
def sign(
    key_uris: tuple[str, ...],
    threshold: int,
    stream: str,
    serial: int | None,
    homes: tuple[str, ...],
    days: int,
    issued: int | None,
    expires: int | None,
    root: Path,
    store: Path | None,
    as_json: bool,
) -> int:
    """Sign /etc as it is: from now on that is the intent.

    Files that change by themselves are left out by class (docs/guides/etc.md); the contents of all
    others go to the content store, from which `etc apply` and `etc revert` bring them back. All
    keys sign; `sign prepare etc` is for several people.
    """
    from verity.verbs import etc_sign
    from verity.verbs.etc_intent import Host
    from verity.verbs.sign_prepare import Spot

    begin, end = signing_options.validity(
        int(time.time()), issued=issued, expires=expires, days=days
    )
    spot = Spot(stream=stream, serial=serial, issued=begin, expires=end)
    prepared, proven = etc_sign.sign(
        spot,
        Host.at(root, store),
        homes,
        signing_options.signers(key_uris),
        threshold=threshold,
    )
    print_signed(prepared, proven, lasts=signing_options.lasts(expires, days), as_json=as_json)
    return 0


@etc.command(epilog="Example: verity etc status --key etc.pem.pub")
@key_options
@etc_options.place_options
@_vendor_option
@click.option(
    "--classes", is_flag=True, help="List every file that isn't signed, with the rule and why."
)
@click.option(
    "--accept",
    is_flag=True,
    help="If all is good, let no older serial be good again: neither `apply` nor `revert` goes back"
    " to one.",
)
@click.option(
    "--accept-without-floor",
    is_flag=True,
    help="The same where the floor there was can't be verified or is gone.",
)
@output.json_option
def status(
    keys: tuple[Path, ...],
    threshold: int,
    root: Path,
    store: Path | None,
    vendor: Path | None,
    classes: bool,
    accept: bool,
    accept_without_floor: bool,
    as_json: bool,
) -> int:
    """Say what differs from the signed /etc; exit status 1 if anything does."""
    from verity.verbs import etc_intent, etc_status, serial_floors
    from verity.verbs.etc_intent import Host
    from verity.verbs.serial_floors import HostState

    host, trusted = Host.at(root, store), _trusted(keys, threshold)
    state = HostState.at(root, without_floor=accept_without_floor)
    intent = etc_intent.current(host, trusted)
    seen = etc_status.look(host, intent, vendor)
    now, asked = int(time.time()), keyrings()
    known = etc_intent.reference_time(
        host, trusted, now if asked is None else asked.reference_time(now), clock=now
    )
    compared = serial_floors.judge(state, intent.manifest.source, trusted, now=known, clock=now)
    report = etc_status.status(host, intent, seen, now=compared.time, clock=now)
    report = judged(with_floors(compared, report, as_json=as_json), now)
    if classes:
        print_others(seen, as_json=as_json)
    if state is not None and (accept or accept_without_floor) and not report.exit_status:
        print_accepted(etc_intent.accept(host, state, intent, trusted), as_json=as_json)
    return output.report(report, as_json=as_json, good=lambda: "good: /etc is as signed")


@etc.command(epilog="Example: verity etc diff --key etc.pem.pub --text")
@key_options
@etc_options.place_options
@_vendor_option
@click.option(
    "--from-vendor",
    is_flag=True,
    help="What is signed, against the vendor's default: what the owner made of it.",
)
@click.option("--text", "with_text", is_flag=True, help="Show what changed inside of text files.")
@click.option(
    "--show-secret-files",
    is_flag=True,
    help="With --text, also of files that not everybody may read.",
)
@output.json_option
def diff(
    keys: tuple[Path, ...],
    threshold: int,
    root: Path,
    store: Path | None,
    vendor: Path | None,
    from_vendor: bool,
    with_text: bool,
    show_secret_files: bool,
    as_json: bool,
) -> int:
    """Show each difference: the vendor's default, what is signed and by whom, what is there."""
    from verity.verbs import etc_diff, etc_intent, etc_status
    from verity.verbs.etc_intent import Host

    if show_secret_files and not with_text:
        raise CallerError("bad-arguments", "--show-secret-files: only with --text")
    if from_vendor and with_text:
        raise CallerError("bad-arguments", "--text: not with --from-vendor")
    host = Host.at(root, store)
    intent = etc_intent.current(host, _trusted(keys, threshold))
    seen = etc_status.look(host, intent, vendor)
    shown = seen.from_vendor if from_vendor else seen.differences
    if shown is None:
        raise HostError(
            "no-vendor",
            f"{root}: there is no vendor's default",
            hint="--vendor DIR names it; a plain Debian has none",
        )
    for one in shown:
        text = etc_diff.Text()
        if with_text:
            text = etc_diff.text(host, intent, one, show_secrets=show_secret_files)
        print_difference(one, intent, text, as_json=as_json)
    loose = () if from_vendor else etc_status.loose(seen.found, intent)
    for finding in loose:
        print_loose(finding, as_json=as_json)
    for gap in seen.found.gaps:
        output.message(f"{output.shown(gap.path)}: {output.one_line(gap.why)}")
    if shown or loose:
        return 1
    if not seen.found.gaps:
        other = "the vendor's default" if from_vendor else "/etc"
        output.message(
            f"no difference: {other} is as signed (serial {intent.serial} of {intent.stream})"
        )
    return 3 if seen.found.gaps else 0


@etc.command(epilog="Example: verity etc apply --key etc.pem.pub 3")
@key_options
@etc_options.place_options
@_dry_option
@click.option("--resume", is_flag=True, help="End what was interrupted, and no more.")
@click.option(
    "--abandon", is_flag=True, help="Give up what was interrupted: back to the intent before."
)
@click.option(
    "--abandon-as-is",
    is_flag=True,
    help="Forget what was interrupted and leave /etc as it is, perhaps half changed.",
)
@output.json_option
@_serial_argument
def apply(
    keys: tuple[Path, ...],
    threshold: int,
    root: Path,
    store: Path | None,
    dry_run: bool,
    resume: bool,
    abandon: bool,
    abandon_as_is: bool,
    as_json: bool,
    serial: int | None,
) -> int:
    """Bring /etc to what was signed: the intent, or the given later serial, which becomes it.

    What an earlier intent had and this one hasn't is removed. What nobody signed, and what changes
    by itself, is left.
    """
    from verity.verbs import etc_apply
    from verity.verbs.etc_intent import Host

    host = Host.at(root, store)
    ends = {"--resume": resume, "--abandon": abandon, "--abandon-as-is": abandon_as_is}
    asked = [name for name, is_there in ends.items() if is_there]
    if len(asked) > 1:
        raise CallerError("bad-arguments", f"{' and '.join(asked)}: only one of them")
    if asked and (serial is not None or dry_run):
        raise CallerError("bad-arguments", f"{asked[0]}: with neither SERIAL nor --dry-run")
    if abandon_as_is:
        return print_forgotten(etc_apply.abandon_as_is(host), as_json=as_json)
    trusted = _trusted(keys, threshold)
    if asked:
        ended = (etc_apply.resume if resume else etc_apply.abandon)(host, trusted)
        if ended is None:
            output.message("nothing was interrupted")
            return 0
        return print_applied(ended, dry_run=False, as_json=as_json)
    done = etc_apply.apply(host, trusted, serial, dry_run=dry_run)
    return print_applied(done, dry_run=dry_run, as_json=as_json)


@etc.command(epilog="Example: verity etc revert --key etc.pem.pub")
@key_options
@etc_options.place_options
@_dry_option
@output.json_option
@_serial_argument
def revert(
    keys: tuple[Path, ...],
    threshold: int,
    root: Path,
    store: Path | None,
    dry_run: bool,
    as_json: bool,
    serial: int | None,
) -> int:
    """Bring /etc back to the signed serial before the intent, or to the given older one."""
    from verity.verbs import etc_apply
    from verity.verbs.etc_intent import Host

    host, trusted = Host.at(root, store), _trusted(keys, threshold)
    done = etc_apply.revert(host, trusted, serial, dry_run=dry_run)
    return print_applied(done, dry_run=dry_run, as_json=as_json)
