# SPDX-License-Identifier: Apache-2.0
"""verity etc: sign, status, diff, apply, revert."""

# Starting a command costs what it imports: what one verb alone needs is imported in it.

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from verity.cli import etc_options, output, signing_options
from verity.cli.etc_output import print_applied, print_difference, print_others, print_signed
from verity.cli.params import PATH
from verity.cli.trust_options import judged, key_options, trusted_set
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


def _trusted(keys: tuple[Path, ...], threshold: int) -> "TrustedSet":
    """The keys of the owner's role etc: those named, or of this host's keyrings, also for --root: a
    tree that is looked at doesn't say whom to trust."""
    return trusted_set(keys, threshold, role=Role.ETC)


@etc.command(epilog="Example: verity etc sign --key etc.pem --stream etc-host1 --serial auto")
@signing_options.signing_option
@signing_options.threshold_option
@signing_options.stream_option
@signing_options.serial_option
@etc_options.home_option
@signing_options.days_option
@signing_options.issued_option
@signing_options.expires_option
@etc_options.place_options
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
@output.json_option
def status(
    keys: tuple[Path, ...],
    threshold: int,
    root: Path,
    store: Path | None,
    vendor: Path | None,
    classes: bool,
    as_json: bool,
) -> int:
    """Say what differs from the signed /etc; exit status 1 if anything does."""
    from verity.verbs import etc_intent, etc_status
    from verity.verbs.etc_intent import Host

    host = Host.at(root, store)
    intent = etc_intent.current(host, _trusted(keys, threshold))
    seen = etc_status.look(host, intent, vendor)
    now = int(time.time())
    report = judged(etc_status.status(host, intent, seen, now=now), now)
    if classes:
        print_others(seen, as_json=as_json)
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
    for gap in seen.found.gaps:
        output.message(f"{output.shown(gap.path)}: {output.one_line(gap.why)}")
    if shown:
        return 1
    return 3 if seen.found.gaps else 0


@etc.command(epilog="Example: verity etc apply --key etc.pem.pub 3")
@key_options
@etc_options.place_options
@_dry_option
@click.option("--resume", is_flag=True, help="End what was interrupted, and no more.")
@output.json_option
@click.argument("serial", metavar="[SERIAL]", required=False, type=click.IntRange(1, 2**53 - 1))
def apply(
    keys: tuple[Path, ...],
    threshold: int,
    root: Path,
    store: Path | None,
    dry_run: bool,
    resume: bool,
    as_json: bool,
    serial: int | None,
) -> int:
    """Bring /etc to what was signed: the intent, or the given serial, which becomes it.

    What an earlier intent had and this one hasn't is removed. What nobody signed, and what changes
    by itself, is left.
    """
    from verity.verbs import etc_apply
    from verity.verbs.etc_intent import Host

    host, trusted = Host.at(root, store), _trusted(keys, threshold)
    if resume:
        if serial is not None or dry_run:
            raise CallerError("bad-arguments", "--resume: with neither SERIAL nor --dry-run")
        ended = etc_apply.resume(host, trusted)
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
def revert(
    keys: tuple[Path, ...],
    threshold: int,
    root: Path,
    store: Path | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Bring /etc back to the signed serial before the one that is the intent."""
    from verity.verbs import etc_apply
    from verity.verbs.etc_intent import Host

    done = etc_apply.revert(Host.at(root, store), _trusted(keys, threshold), dry_run=dry_run)
    return print_applied(done, dry_run=dry_run, as_json=as_json)
