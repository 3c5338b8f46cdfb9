# SPDX-License-Identifier: Apache-2.0
"""What `policy compile` and `sign prepare policy` share: options, and the policy that they make."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from verity.cli import policy_show, signing_options
from verity.formats import kernel_policy
from verity.formats.grants import is_stream_name
from verity.formats.kernel_policy import Mode, Stream
from verity.formats.policy import Group, Line, ModeLine, Policy, Profile, StreamLine
from verity.values.errors import CallerError
from verity.verbs import policy_read

_STREAM = re.compile(r"(?P<name>[^=]+)=(?P<party>vendor|user):(?P<role>[a-z]+)")
_GIVEN = "given as an option"
_OPTIONS = (
    click.option(
        "--mode",
        "mode_name",
        type=click.Choice([mode.name.lower() for mode in Mode]),
        help="observe: log only; trial: enforce for one boot; sealed: enforce."
        "  [default: as the drop-ins say]",
    ),
    click.option(
        "--serial",
        required=True,
        type=click.IntRange(1, 2**53 - 1),
        help="Grows with each policy.",
    ),
    click.option(
        "--stream",
        "streams",
        multiple=True,
        metavar="NAME=PARTY:ROLE",
        help="A stream of grants, and who signs it: vendor:os, user:etc or user:extension; in place"
        " of those of the drop-ins.",
    ),
    click.option(
        "--group",
        "groups",
        multiple=True,
        type=click.IntRange(0, kernel_policy.MAX_GID),
        metavar="GID",
        help="A group whose members count as privileged, in place of those of the drop-ins.",
    ),
    policy_show.root_option,
    policy_show.profile_option,
    signing_options.issued_option,
    signing_options.expires_option,
    signing_options.days_option,
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the options say."""

    mode_name: str | None
    serial: int
    streams: tuple[str, ...]
    groups: tuple[int, ...]
    root: Path
    profile: str | None
    issued: int | None
    expires: int | None
    days: int


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options; the command gets their values by name, for ``Asked``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def make(asked: Asked) -> Policy:
    """The policy of the drop-ins below the root, with what options say in place of theirs."""
    begin, end = signing_options.validity(
        int(time.time()), issued=asked.issued, expires=asked.expires, days=asked.days
    )
    chosen = Profile(asked.profile or Profile.STANDARD)
    found = policy_read.source(asked.root, chosen)
    made = Policy(
        serial=asked.serial,
        issued=begin,
        expires=end,
        profile=chosen,
        lines=_with_options(found.lines, asked.mode_name, _streams(asked.streams), asked.groups),
    )
    if not made.of(StreamLine):
        raise CallerError(
            "bad-arguments",
            "no stream, so nothing could be granted",
            hint="--stream NAME=PARTY:ROLE, or [[stream]] in a drop-in",
        )
    return made


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
