# SPDX-License-Identifier: Apache-2.0
"""verity policy: compile."""

import re
import time
from pathlib import Path

import click

from verity.cli import output, signing_options
from verity.formats import kernel_policy
from verity.formats.grants import is_stream_name
from verity.formats.kernel_policy import KernelPolicy, Mode, Stream
from verity.values.errors import CallerError
from verity.verbs.policy_compile import compile_policy

_STREAM = re.compile(r"(?P<name>[^=]+)=(?P<party>vendor|user):(?P<role>[a-z]+)")
_GROUPS = (6, 42)  # disk and shadow, in every Debian


@click.group()
def policy() -> None:
    """Say what the gate enforces, and whose grants it takes."""


@policy.command(
    name="compile",
    epilog="Example: verity policy compile --mode sealed --serial 1"
    " --stream debian-trixie=vendor:os --stream tools=user:extension --key policy.pem host.policy",
)
@click.option(
    "--mode",
    "mode_name",
    type=click.Choice([mode.name.lower() for mode in Mode]),
    required=True,
    help="observe: log only; trial: enforce for one boot; sealed: enforce.",
)
@click.option(
    "--serial", required=True, type=click.IntRange(1, 2**53 - 1), help="Grows with each policy."
)
@click.option(
    "--stream",
    "streams",
    multiple=True,
    required=True,
    metavar="NAME=PARTY:ROLE",
    help="A stream of grants, and who signs it: vendor:os, user:etc or user:extension.",
)
@click.option(
    "--group",
    "groups",
    multiple=True,
    type=click.IntRange(0, kernel_policy.MAX_GID),
    default=_GROUPS,
    show_default=True,
    metavar="GID",
    help="A group whose members count as privileged, in place of the default.",
)
@signing_options.days_option
@signing_options.signing_option
@output.json_option
@signing_options.target_argument
def compile_policy_command(
    mode_name: str,
    serial: int,
    streams: tuple[str, ...],
    groups: tuple[int, ...],
    days: int,
    key_uris: tuple[str, ...],
    as_json: bool,
    target: Path,
) -> int:
    """Write the policy for the gate, signed by the user's role policy.

    Who counts as privileged: uid 0, any capability but CAP_WAKE_ALARM, and members of the groups.
    Groups are numbers, because names mean other groups on other hosts: 6 is disk and 42 shadow in
    every Debian. The group docker has no fixed number and is not among them: add its number on a
    host that has it. Nothing is overwritten.
    """
    now = int(time.time())
    made = KernelPolicy(
        mode=Mode[mode_name.upper()],
        serial=serial,
        issued=now,
        expires=now + days * signing_options.DAY,
        privileged_caps=kernel_policy.PRIVILEGED_CAPS,
        groups=tuple(sorted(set(groups))),
        streams=_streams(streams),
    )
    sha256 = compile_policy(made, signing_options.signers(key_uris), target)
    if as_json:
        output.record(
            "policy",
            {
                "sha256": sha256,
                "mode": mode_name,
                "serial": serial,
                "groups": list(made.groups),
                "privileged_caps": f"{made.privileged_caps:016x}",
                "streams": [
                    {"name": s.name, "party": s.party.name.lower(), "role": s.role.name.lower()}
                    for s in made.streams
                ],
                "signatures": len(key_uris),
            },
        )
        return 0
    output.line(f"policy    sha256:{sha256}, signed by {len(key_uris)} keys")
    output.line(f"mode      {mode_name}, serial {serial}, for {days} days")
    output.line(f"groups    {', '.join(map(str, made.groups))}")
    for stream in made.streams:
        granted = f"{stream.party.name}:{stream.role.name}".lower()
        output.line(f"stream    {stream.name}={granted}")
    return 0


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
