# SPDX-License-Identifier: Apache-2.0
"""Accepting a commit: its statement becomes the floor of its stream, and nothing older is good.

For an OS that is said after a boot of it was confirmed. Who confirms is not decided here: today
`verity-accept.service` behind boot-complete.target, or a person; `lockdown confirm` will call this
as well. What is held here is that it was this commit that was booted, where the host knows.
"""

from collections.abc import Sequence
from pathlib import Path

from verity.ports import booted
from verity.trust.trusted import TrustedSet
from verity.trust.verified import VerifiedStatement
from verity.values.errors import ContentError, HostError
from verity.verbs import serial_floors
from verity.verbs.serial_floors import HostState


def booted_commit(root: Path) -> str:
    """The commit that a host has booted. HostError (``not-booted``) if that isn't OSTree's."""
    found = booted.commit(root)
    if found is None:
        raise HostError(
            "not-booted",
            f"{root / booted.CMDLINE}: no ostree=, so this host has booted no commit",
            hint="name the commit in the place of --booted",
        )
    return found


def check_booted(root: Path, commit: str) -> None:
    """Refuse a commit that isn't the one that the host has booted (``not-booted``).

    A host that OSTree hasn't booted, and an offline tree, can't know: who asks answers for it.
    """
    running = booted.commit(root)
    if running not in (None, commit):
        raise ContentError(
            "not-booted",
            f"commit {commit}: this host has booted {running}, and accepts nothing else",
            hint="boot it; accept it when that went well",
        )


def accept(
    state: HostState,
    root: Path,
    commit: str,
    envelopes: Sequence[bytes],
    source: VerifiedStatement,
    trusted: TrustedSet,
) -> Path | None:
    """Raise the floor to a commit of which everything was verified.

    1. It is the one that was booted.
    2. The rest is ``serial_floors.accept``: the file of the floor, None if it was there.
    """
    # 1. Booted.
    check_booted(root, commit)
    # 2. Raise.
    return serial_floors.accept(state, envelopes, source, trusted)
