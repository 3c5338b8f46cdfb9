# SPDX-License-Identifier: Apache-2.0
"""What the loader writes down of a trial before it seals, bytes -> value (docs/formats.md).

verity-trial 1
serial N
boot UUID
"""

import re
from dataclasses import dataclass

from verity.values.errors import ContentError

MAX_SIZE = 4096
_FORM = re.compile(rb"verity-trial 1\nserial ([1-9][0-9]{0,15})\nboot ([0-9a-f-]{1,40}|unknown)\n")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """That the policy of this serial enforced in this boot, or was about to."""

    serial: int
    boot: str


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
