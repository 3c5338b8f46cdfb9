# SPDX-License-Identifier: Apache-2.0
"""What the loader says came of the seal in this boot, bytes -> value (docs/formats.md).

    verity-seal 1
    state STATE
    why WORD
    serial N
    text TEXT
    late PID COMM FILE REASON       if something that ran already kept it from sealing

Fields are escaped as in a manifest. Whoever is root can write this file: what the gate is in is
asked of the gate, and this only says why.
"""

import re
from dataclasses import dataclass

from verity.formats.escaped import unescape
from verity.values.errors import ContentError

MAX_SIZE = 1 << 14
WHY = {
    "asked": "it was loaded to observe",
    "not-yet": "it is loaded, and nobody has sealed it yet in this boot",
    "policy": "the signed policy says observe",
    "trial": "this is the one boot of a trial: the next one observes, unless you confirm",
    "trial-over": "the trial had its one boot, and nobody has confirmed it",
    "trial-unwritten": "a trial that can't be written down isn't begun",
    "late": "something that ran before the seal would be refused",
    "refused": "the seal was refused",
    "sealed": "by the signed policy",
}
_WORD = re.compile(rb"[a-z-]{1,32}")


@dataclass(frozen=True, kw_only=True)
class Late:
    """The first thing that ran already and would be refused."""

    pid: int
    comm: str
    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Said:
    """What came of it: the state, a word of ``WHY``, the policy's serial, and more for people."""

    state: str
    why: str
    serial: int
    text: str
    late: Late | None = None


def parse(data: bytes) -> Said:
    """Read it. Raises ContentError (``bad-seal-report``)."""
    lines = data.split(b"\n")
    try:
        if lines[0] != b"verity-seal 1" or lines[-1]:
            raise ValueError
        fields = dict(line.split(b" ", 1) for line in lines[1:-1])
        words = [fields[key] for key in (b"state", b"why")]
        if not all(_WORD.fullmatch(word) for word in words):
            raise ValueError
        late = None
        if b"late" in fields:
            pid, comm, file, reason = fields[b"late"].split(b" ")
            late = Late(
                pid=int(pid), comm=_text(comm), file=_text(file), reason=reason.decode("ascii")
            )
        return Said(
            state=words[0].decode(),
            why=words[1].decode(),
            serial=int(fields[b"serial"]),
            text="" if fields[b"text"] == b"-" else _text(fields[b"text"]),
            late=late,
        )
    except (ValueError, KeyError, UnicodeDecodeError) as error:
        raise ContentError("bad-seal-report", "the loader's word on the seal is damaged") from error


def _text(field: bytes) -> str:
    found = unescape(field.decode("ascii"))
    if found is None:
        raise ValueError
    return found.decode("utf-8", "replace")
