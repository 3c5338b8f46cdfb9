# SPDX-License-Identifier: Apache-2.0
"""verity lockdown trial, confirm: sign the next policy with another mode, for the next boot."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from verity.cli import audit_roots, key_opening, output, signing_options
from verity.cli.lockdown_remove import root_option
from verity.cli.params import PATH
from verity.formats.kernel_policy import Mode
from verity.formats.statement import format_time
from verity.values.errors import ContentError, HostError
from verity.verbs import arming_drill, lockdown_check, lockdown_mode
from verity.verbs.audit_documents import Asked

_keyring = click.option(
    "--keyring",
    type=PATH,
    metavar="DIR",
    help="Newer versions of a keyring than this host has: the next boot gets their keys.",
)


def _options(unproven: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What both verbs take; and in words what isn't proven then."""
    way_on = click.option("--insecure-unproven", "unproven", is_flag=True, help=unproven)

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            *(output.json_option, root_option, way_on, _keyring),
            *(signing_options.days_option, signing_options.signing_option),
        ):
            command = option(command)
        return command

    return with_options


_NEXT = {
    Mode.OBSERVE: "the next boot observes, and denies nothing",
    Mode.TRIAL: "the next boot enforces, and the one after it observes again; if this one hangs,"
    " reset it. If all is well then: `verity lockdown confirm`",
    Mode.SEALED: "from the next boot on the gate is sealed, and no boot falls back to observing",
}


@click.command(
    epilog="Example: verity lockdown trial --key /media/keys/user/private/user-policy.pem"
)
@_options("Don't ask `verity lockdown check` first. A host that isn't ready may not come up.")
def trial(
    key_uris: tuple[str, ...],
    days: int,
    keyring: Path | None,
    unproven: bool,
    root: Path,
    as_json: bool,
) -> int:
    """Sign the next policy serial as a trial: it enforces for exactly one boot.

    The proof of `verity lockdown check` comes first; with anything open nothing is signed. Before
    that boot seals, it writes down that it was begun, so the boot after it observes, whatever came
    of it.
    """
    _proven(root, unproven=unproven)
    return sign(Mode.TRIAL, key_uris, days, root, keyring, as_json=as_json)


@click.command(
    epilog="Example: verity lockdown confirm --key /media/keys/user/private/user-policy.pem"
)
@_options(
    "Don't ask `verity lockdown check` first, nor whether the trial's boot came up with what is"
    " there. A host that isn't ready may not come up.",
)
def confirm(
    key_uris: tuple[str, ...],
    days: int,
    keyring: Path | None,
    unproven: bool,
    root: Path,
    as_json: bool,
) -> int:
    """Sign the next policy serial as sealed, after its trial. In the trial's boot, or after it.

    Refused without a trial of the policy that is installed, whose boot came up with the boot bundle
    that is there. From the next boot on nothing falls back to observing: the way back is an unlock,
    or a policy that you sign with `verity lockdown observe --key`.
    """
    _proven(root, unproven=unproven)
    return sign(Mode.SEALED, key_uris, days, root, keyring, unproven=unproven, as_json=as_json)


def sign(
    mode: Mode,
    key_uris: tuple[str, ...],
    days: int,
    root: Path,
    keyring: Path | None,
    *,
    as_json: bool,
    unproven: bool = False,
) -> int:
    """Sign the next policy with this mode, and say what the next boot does."""
    now = int(time.time())
    made = lockdown_mode.change(
        root,
        mode,
        signing_options.signers(key_uris),
        times=(now, now + days * signing_options.DAY),
        now=now,
        keyring=keyring,
        allow_example_keys=bool(key_opening.access().allow_example_keys),
        unproven=unproven,
    )
    for note in made.notes:
        output.message(f"note: {output.one_line(note)}")
    fields = {
        "serial": made.after.serial,
        "mode": mode.name.lower(),
        "expires": format_time(made.after.expires),
        "bundle": f"sha256:{made.bundle}",
    }
    if as_json:
        output.record("policy", fields)
        return 0
    output.line(
        f"policy    serial {made.after.serial}, mode {mode.name.lower()}, after serial"
        f" {made.before.serial}, mode {made.before.mode.name.lower()}"
    )
    output.line(f"expires   {format_time(made.after.expires)}")
    output.line(f"bundle    sha256:{made.bundle}")
    output.line(f"next      {_NEXT[mode]}")
    return 0


def _proven(root: Path, *, unproven: bool) -> None:
    """Raise if anything is open."""
    if unproven:
        output.message("warning: --insecure-unproven: nobody has proven that this host comes up")
        return
    proof = lockdown_check.check(
        Asked(root=root, roots=audit_roots.roots((), 1)),
        clock=int(time.time()),
        boots=1,
        drills=lambda: arming_drill.practised(root),
    )
    report = proof.report
    hint = "`verity lockdown check` names all of it; --insecure-unproven goes on all the same"
    if report.findings:
        first = report.findings[0]
        raise ContentError(
            "not-proven",
            f"{len(report.findings)} findings stand in the way of a seal, the first of them"
            f" {first.object}: {first.check}",
            hint=hint,
        )
    if report.not_evaluated:
        gap = report.not_evaluated[0]
        raise HostError(
            "not-proven",
            f"{len(report.not_evaluated)} things could not be looked at, the first of them"
            f" {gap.object}: {gap.why}",
            hint=hint,
        )
