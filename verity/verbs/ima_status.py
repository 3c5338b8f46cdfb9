# SPDX-License-Identifier: Apache-2.0
"""ima status: whether IMA appraises on this host, and what that covers. It loads nothing."""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from verity.ports import ima as port
from verity.trust import coverage, coverage_others
from verity.trust.coverage import Cover


class State(StrEnum):
    """What IMA does on this host."""

    UNREADABLE = "unreadable"
    ABSENT = "absent"
    OPEN = "open"
    ENFORCING = "enforcing"
    LENIENT = "lenient"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Status:
    """IMA's state, why, and what it covers."""

    state: State
    detail: str
    covers: tuple[Cover, ...]


def seen(root: Path = Path("/")) -> Status:
    """What can be told without trying anything."""
    loaded = port.loaded(root)
    if loaded is port.Loaded.UNREADABLE:
        why = "/sys/kernel/security/lsm can't be read"
        return Status(state=State.UNREADABLE, detail=why, covers=coverage.unknown(why))
    if loaded is port.Loaded.ABSENT:
        why = "IMA is not active in this kernel"
        return Status(state=State.ABSENT, detail=why, covers=coverage.nothing(why))
    if loaded is port.Loaded.OPEN:
        why = "no policy is loaded"
        return Status(state=State.OPEN, detail=why, covers=coverage.nothing(why))
    why = "a policy was loaded, and the kernel shows it to nobody; `ima status` tries it"
    return Status(state=State.UNKNOWN, detail=why, covers=coverage.unknown(why))


def status() -> Status:
    """The same for the running kernel, and if a policy was loaded, whether it refuses.

    Tried with a script in memory that nobody can have signed, run and mapped; as root only.
    """
    found = seen()
    if found.state is not State.UNKNOWN or os.geteuid() != 0:
        return found
    if port.refuses_unsigned():
        why = "unsigned code was refused to root"
        return Status(state=State.ENFORCING, detail=why, covers=coverage_others.ima())
    why = "a policy was loaded, and unsigned code ran as root all the same"
    return Status(state=State.LENIENT, detail=why, covers=coverage.nothing(why))
