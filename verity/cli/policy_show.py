# SPDX-License-Identifier: Apache-2.0
"""verity policy: show and check."""

import os
import time
from pathlib import Path

import click

from verity.cli import output, trust_options
from verity.cli.params import PATH
from verity.formats.grants import Role
from verity.formats.policy import Line, Policy, Profile
from verity.formats.policy_document import fields_of
from verity.trust.policy import VerifiedPolicy
from verity.values.errors import CallerError, HostError
from verity.values.findings import NotEvaluated, Report
from verity.verbs import policy_check, policy_read, policy_words

root_option = click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    show_default=True,
    metavar="DIR",
    help="The root of the host whose policy it is.",
)
profile_option = click.option(
    "--profile",
    type=click.Choice([one.value for one in Profile]),
    help="strict: also the lines of the profile strict, such as root's own dotfiles."
    "  [default: the signed policy's, else standard]",
)


@click.command(
    epilog="Example: verity policy show --class /etc/shadow",
)
@click.option(
    "--class",
    "path",
    metavar="PATH",
    help="Only what is asked of this path of the host, and which line says so.",
)
@root_option
@profile_option
@trust_options.key_options
@output.json_option
def show(
    path: str | None,
    root: Path,
    profile: str | None,
    keys: tuple[Path, ...],
    threshold: int,
    as_json: bool,
) -> int:
    """Show the policy that counts, line by line: where each stands, and why.

    A host with a signed policy (/etc/verity/policy.json) has that one, verified; lines of its
    drop-ins that nobody signed are shown only where they ask for more, as `unsigned`. The kernel
    enforces what is signed. Without a signed policy these are the drop-ins as they would be
    compiled.
    """
    wanted = None if path is None else _absolute(path)
    signed = _signed(root, keys, threshold)
    source = policy_read.source(root, _profile(profile, signed))
    unsigned: tuple[Line, ...]
    if signed is None:
        policy = policy_read.as_one(source)
        unsigned = source.lines
    else:
        effective = policy_read.tightened(signed.policy, source)
        policy, unsigned = effective.policy, effective.tightened
        if signed.expired(int(time.time())):
            output.message("note: the signed policy has expired; it still counts here")
        if effective.ignored:
            output.message(
                f"note: {len(effective.ignored)} lines of the drop-ins are not signed and count for"
                " nothing: `verity policy check`"
            )
    if wanted is not None:
        _show_class(wanted, policy, unsigned if signed else (), as_json=as_json)
        return 0
    if as_json:
        if signed is not None:
            output.record("signed", _signed_fields(signed))
        for line in policy.lines:
            output.record("line", _fields(line, unsigned))
        return 0
    if signed is None:
        output.line("not signed: the drop-ins, as `verity policy compile` would take them")
    else:
        said = signed.policy
        output.line(
            f"signed: serial {said.serial}, profile {said.profile}, by {len(signed.signers)}"
            f" owners, sha256:{signed.sha256.hex()}"
        )
    for line in policy.lines:
        output.line(output.one_line(policy_words.text(line)))
        output.line(f"    {output.one_line(line.reason)}")
        output.line(f"    {output.one_line(line.origin)}{_mark(line, unsigned) if signed else ''}")
    return 0


@click.command(
    epilog="Example: verity policy check --root /srv/image",
)
@root_option
@profile_option
@trust_options.key_options
@output.json_option
def check(
    root: Path, profile: str | None, keys: tuple[Path, ...], threshold: int, as_json: bool
) -> int:
    """Find what in the drop-ins can't be meant so.

    Lines that never count, paths that don't exist below --root, patterns that the gate doesn't
    have, interpreters that no script's #! names, drop-ins that are masked or replaced as a whole,
    and unsigned lines that are looser than the signed policy. What comes with verity is for many
    hosts, so a path of it may be missing.
    """
    gaps: list[NotEvaluated] = []
    signed = None
    try:
        signed = _signed(root, keys, threshold)
    except HostError as error:
        gaps.append(
            NotEvaluated(
                check="signed-policy",
                object="the signed policy",
                why=error.message,
                hint=error.hint or "",
            )
        )
    source = policy_read.source(root, _profile(profile, signed))
    found = policy_check.check(root, source, signed, now=int(time.time()))
    report = Report(
        counts=found.counts,
        findings=found.findings,
        not_evaluated=(*gaps, *found.not_evaluated),
        notes=found.notes,
    )
    return output.report(report, as_json=as_json, good=lambda: "nothing to find in the drop-ins")


def _show_class(
    wanted: bytes, policy: Policy, unsigned: tuple[Line, ...], *, as_json: bool
) -> None:
    guard = policy.guard(wanted)
    if as_json:
        fields = {} if guard is None else _fields(guard, unsigned)
        output.record("class", {**output.path_fields(wanted, "asked"), **fields})
    elif guard is None:
        output.line(f"{output.shown(wanted)}  not guarded")
    else:
        output.line(f"{output.shown(wanted)}  {guard.file_class}")
        output.line(f"rule      {output.one_line(policy_words.text(guard))}")
        output.line(f"reason    {output.one_line(guard.reason)}")
        output.line(f"origin    {output.one_line(guard.origin)}{_mark(guard, unsigned)}")


def _signed(root: Path, keys: tuple[Path, ...], threshold: int) -> VerifiedPolicy | None:
    """The installed policy, verified; None if there is none."""
    if not policy_read.is_installed(root):
        return None
    trusted = trust_options.trusted_set(keys, threshold, role=Role.POLICY)
    return policy_read.installed(root, trusted)


def _profile(name: str | None, signed: VerifiedPolicy | None) -> Profile:
    if name is not None:
        return Profile(name)
    return Profile.STANDARD if signed is None else signed.policy.profile


def _absolute(text: str) -> bytes:
    if not text.startswith("/") or os.path.normpath(text) != text:
        raise CallerError(
            "bad-arguments", f"--class {text!r}: expected an absolute path, as seen on the host"
        )
    return os.fsencode(text)


def _mark(line: Line, unsigned: tuple[Line, ...]) -> str:
    return "  (unsigned: it asks for more than what is signed)" if line in unsigned else ""


def _fields(line: Line, unsigned: tuple[Line, ...]) -> dict[str, object]:
    fields = fields_of(line)
    # "type" is the record's own.
    return {"line": fields.pop("type"), **fields, "signed": line not in unsigned}


def _signed_fields(signed: VerifiedPolicy) -> dict[str, object]:
    return {
        "sha256": signed.sha256.hex(),
        "serial": signed.policy.serial,
        "profile": signed.policy.profile.value,
        "signers": sorted(key.key_id for key in signed.signers.values()),
    }
