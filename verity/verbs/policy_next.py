# SPDX-License-Identifier: Apache-2.0
"""The next policy of a host: the one that is signed, with another mode, a higher serial, new times.

Everything else is taken over as its owner signed it; drop-ins that changed since are not. It reads
the document that is installed, and the serials of the bundle and the floor, which may be higher
after an interrupted change.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from verity.formats import kernel_policy
from verity.formats.grants import Role
from verity.formats.kernel_policy import Mode
from verity.formats.policy import ModeLine, Policy
from verity.formats.records import Fragment, RecordKind
from verity.ports import places
from verity.trust.policy import VerifiedPolicy
from verity.values.errors import HostError
from verity.verbs import host_bundle, policy_floor, policy_read
from verity.verbs.keyring_trust import Keyrings
from verity.verbs.serial_floors import HostState


def installed(root: Path, keyrings: Keyrings) -> VerifiedPolicy:
    """The document that the host has, verified by its user's role policy."""
    if not policy_read.is_installed(root):
        raise HostError(
            "no-policy",
            f"{root / places.POLICY}: there is no signed policy",
            hint="`verity lockdown init` makes one",
        )
    return policy_read.load(root / places.POLICY, None, keyrings.trusted(Role.POLICY))


def highest(root: Path, keyrings: Keyrings, parts: Sequence[Fragment], known: int = 0) -> int:
    """The highest serial that this host has seen: of its bundle, its floor, the ``known`` one."""
    serials = [known]
    serials += [
        kernel_policy.parse(one.blob).serial for one in parts if one.kind is RecordKind.POLICY
    ]
    state = HostState.at(root)
    if state is not None:
        looked = policy_floor.look(state, keyrings.trusted(Role.POLICY))
        serials += [floor.serial for floor in looked.floors]
    return max(serials)


def with_mode(
    before: Policy, mode: Mode, *, serial: int, times: tuple[int, int], why: str
) -> Policy:
    """The same policy with this mode."""
    line = ModeLine(mode=mode, reason=why, origin="--mode")
    lines = tuple(one for one in before.lines if not isinstance(one, ModeLine))
    return replace(before, serial=serial, issued=times[0], expires=times[1], lines=(line, *lines))


def parts_of(root: Path) -> tuple[Fragment, ...]:
    """What the bundle of the host holds; HostError without one."""
    found = host_bundle.read(root)
    if not found:
        raise HostError(
            "no-bundle",
            f"{root / places.BUNDLE}: there is none, so there is nothing to change",
            hint="`verity lockdown init` makes a host ready",
        )
    return found
