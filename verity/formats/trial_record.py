# SPDX-License-Identifier: Apache-2.0
"""What is written down of a trial, bytes -> value (docs/formats.md): by the loader before it seals.

verity-trial 1
serial N
boot UUID

And by verity-confirm, once that boot has come up, the same with another line:

bundle HEX
"""

import re
from dataclasses import dataclass

from verity.values.errors import ContentError

MAX_SIZE = 4096
_FORM = re.compile(rb"verity-trial 1\nserial ([1-9][0-9]{0,15})\nboot ([0-9a-f-]{1,40}|unknown)\n")
_BUNDLE = re.compile(rb"bundle ([0-9a-f]{64})\n")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """That the policy of this serial enforced in this boot, or was about to."""

    serial: int
    boot: str


@dataclass(frozen=True, kw_only=True)
class CameUp:
    """That the boot of a trial came up with the boot bundle of this SHA-256."""

    trial: Trial
    bundle: bytes


def parse_came_up(data: bytes) -> CameUp:
    """Read it. Raises ContentError (``bad-trial``)."""
    at = data.rfind(b"bundle ")
    match = _BUNDLE.fullmatch(data, max(at, 0))
    if match is None:
        raise ContentError(
            "bad-trial",
            "the record that a trial came up is none",
            hint="`verity lockdown trial` and its boot make another one",
        )
    return CameUp(trial=parse(data[:at]), bundle=bytes.fromhex(match[1].decode()))


def parse(data: bytes) -> Trial:
    """Read it. Raises ContentError (``bad-trial``)."""
    match = _FORM.fullmatch(data)
    if match is None:
        raise ContentError(
            "bad-trial",
            "the record of the trial is none: the loader only observes while it is there",
            hint="remove /var/lib/verity/trial to have a trial again",
        )
    return Trial(serial=int(match[1]), boot=match[2].decode().replace("-", ""))
