# SPDX-License-Identifier: Apache-2.0
"""verity policy: compile. The other verbs of the group are in ``policy_show``."""

import re
import time
from pathlib import Path

import click

from verity.cli import output, policy_show, signing_options
from verity.formats import kernel_policy
from verity.formats.grants import is_stream_name
from verity.formats.kernel_policy import Mode, Stream
from verity.formats.policy import (
    Group,
    Line,
    ModeLine,
    Policy,
    Profile,
    StreamLine,
    capability_names,
    lower,
)
from verity.values.errors import CallerError
from verity.verbs import policy_read
from verity.verbs.policy_compile import DOCUMENT, compile_policy

_STREAM = re.compile(r"(?P<name>[^=]+)=(?P<party>vendor|user):(?P<role>[a-z]+)")
_GIVEN = "given to `policy compile`"


@click.group()
def policy() -> None:
    """Say what the gate enforces, and whose grants it takes."""


policy.add_command(policy_show.show)
policy.add_command(policy_show.check)


@policy.command(
    name="compile",
    epilog="Example: verity policy compile --mode sealed --serial 1"
    " --stream debian-trixie=vendor:os --stream tools=user:extension --key policy.pem host.policy",
)
@click.option(
    "--mode",
    "mode_name",
    type=click.Choice([mode.name.lower() for mode in Mode]),
    help="observe: log only; trial: enforce for one boot; sealed: enforce."
    "  [default: as the drop-ins say]",
)
@click.option(
    "--serial", required=True, type=click.IntRange(1, 2**53 - 1), help="Grows with each policy."
)
@click.option(
    "--stream",
    "streams",
    multiple=True,
    metavar="NAME=PARTY:ROLE",
    help="A stream of grants, and who signs it: vendor:os, user:etc or user:extension; in place of"
    " those of the drop-ins.",
)
@click.option(
    "--group",
    "groups",
    multiple=True,
    type=click.IntRange(0, kernel_policy.MAX_GID),
    metavar="GID",
    help="A group whose members count as privileged, in place of those of the drop-ins.",
)
@policy_show.root_option
@policy_show.profile_option
@signing_options.issued_option
@signing_options.expires_option
@signing_options.days_option
@signing_options.signing_option
@output.json_option
@signing_options.target_argument
def compile_policy_command(
    mode_name: str | None,
    serial: int,
    streams: tuple[str, ...],
    groups: tuple[int, ...],
    root: Path,
    profile: str | None,
    issued: int | None,
    expires: int | None,
    days: int,
    key_uris: tuple[str, ...],
    as_json: bool,
    target: Path,
) -> int:
    """Write the policy of a host, signed by the user's role policy.

    Its source are the drop-ins: those that come with verity, of usr/lib/verity/policy.d and of
    etc/verity/policy.d below --root; and what is given here. OUT.json is the document, a DSSE
    envelope; OUT is what the gate is told of it, for `lockdown bundle`. A host has them as
    /etc/verity/policy.json and /etc/verity/policy.gate.

    Who counts as privileged: uid 0, any capability but those of the drop-ins, and members of the
    groups. Groups are numbers, because names mean other groups on other hosts: 6 is disk and 42
    shadow in every Debian. The group docker has no fixed number and is not among them: add its
    number on a host that has it. Nothing is overwritten.
    """
    begin, end = signing_options.validity(
        int(time.time()), issued=issued, expires=expires, days=days
    )
    chosen = Profile(profile or Profile.STANDARD)
    found = policy_read.source(root, chosen)
    made = Policy(
        serial=serial,
        issued=begin,
        expires=end,
        profile=chosen,
        lines=_with_options(found.lines, mode_name, _streams(streams), groups),
    )
    if not made.of(StreamLine):
        raise CallerError(
            "bad-arguments",
            "no stream, so nothing could be granted",
            hint="--stream NAME=PARTY:ROLE, or [[stream]] in a drop-in",
        )
    written = compile_policy(made, signing_options.signers(key_uris), target)
    kernel = written.kernel
    if as_json:
        output.record(
            "policy",
            {
                "sha256": written.sha256,
                "document_sha256": written.document_sha256,
                "mode": lower(kernel.mode),
                "profile": chosen.value,
                "serial": serial,
                "groups": list(kernel.groups),
                "privileged_caps": f"{kernel.privileged_caps:016x}",
                "streams": [
                    {"name": s.name, "party": s.party.name.lower(), "role": s.role.name.lower()}
                    for s in kernel.streams
                ],
                "guarded": len(kernel.guarded),
                "observed": sorted(one.value for one in kernel.observed),
                "signatures": len(key_uris),
            },
        )
        return 0
    output.line(f"policy    sha256:{written.sha256}, signed by {len(key_uris)} keys")
    output.line(f"document  sha256:{written.document_sha256}, {target}{DOCUMENT}")
    lasts = signing_options.lasts(expires, days)
    output.line(f"mode      {lower(kernel.mode)}, serial {serial}, {lasts}, profile {chosen}")
    output.line(f"groups    {', '.join(map(str, kernel.groups))}")
    unprivileged = ", ".join(capability_names(~kernel.privileged_caps))
    output.line(f"all but   {unprivileged or 'no capability'}: capabilities that privilege")
    for stream in kernel.streams:
        granted = f"{stream.party.name}:{stream.role.name}".lower()
        output.line(f"stream    {stream.name}={granted}")
    output.line(f"guarded   {len(kernel.guarded)} paths")
    return 0


def _with_options(
    lines: tuple[Line, ...],
    mode_name: str | None,
    streams: tuple[Stream, ...],
    groups: tuple[int, ...],
) -> tuple[Line, ...]:
    """The lines, with those that options replace."""
    given: list[Line] = []
    replaced: list[type[Line]] = []
    if mode_name is not None:
        replaced.append(ModeLine)
        given.append(ModeLine(mode=Mode[mode_name.upper()], reason=_GIVEN, origin="--mode"))
    if streams:
        replaced.append(StreamLine)
        given += [StreamLine(stream=one, reason=_GIVEN, origin="--stream") for one in streams]
    if groups:
        replaced.append(Group)
        numbers = sorted(set(groups))
        given += [Group(gid=one, reason=_GIVEN, origin="--group") for one in numbers]
    return (*(line for line in lines if type(line) not in replaced), *given)


def _streams(texts: tuple[str, ...]) -> tuple[Stream, ...]:
    found: dict[str, Stream] = {}
    for text in texts:
        match = _STREAM.fullmatch(text)
        if match is None or not is_stream_name(match["name"]):
            raise CallerError(
                "bad-arguments",
                f"--stream {text}: not NAME=PARTY:ROLE with a NAME of 1 to 63 of a-z 0-9 . _ -",
            )
        stream = Stream(
            name=match["name"],
            party=signing_options.party_of(match["party"]),
            role=signing_options.role_of(match["role"]),
        )
        if (stream.party, stream.role) not in kernel_policy.GRANTING:
            raise CallerError(
                "bad-arguments",
                f"--stream {text}: expected vendor:os, user:etc or user:extension",
            )
        if stream.name in found:
            raise CallerError("bad-arguments", f"--stream {text}: this stream is there twice")
        found[stream.name] = stream
    if len(found) > kernel_policy.MAX_STREAMS:
        raise CallerError(
            "bad-arguments",
            f"{len(found)} streams, at most {kernel_policy.MAX_STREAMS} are allowed",
        )
    return tuple(sorted(found.values()))
