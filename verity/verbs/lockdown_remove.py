# SPDX-License-Identifier: Apache-2.0
"""lockdown remove: what `lockdown init` has made is taken away again, the boot bundle first.

Without the bundle no later boot loads a gate, whatever is still there: so a power cut leaves a host
that is off, and the same command takes the rest away. Refused while the gate is sealed: whoever
could take the seal away with it would not need an unlock. Drop-ins of the owner's own stay, and so
does fs-verity on files, which can't be switched off.

So does each initramfs, which nobody but its own program can make: one that was made under a seal
enters no root without a gate, and is named, for its owner to make anew before the reboot.
"""

from dataclasses import dataclass
from pathlib import Path

from verity.ports import places
from verity.ports.installation import Installed
from verity.values.errors import ContentError, HostError
from verity.verbs import gate_view, initramfs_trust


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Whether a gate that observes is loaded until the next boot; each initramfs that would not
    enter the root then, or can't be read, so that nobody knows."""

    gate_loaded: bool
    sealed: tuple[Path, ...]


def what(root: Path) -> list[str]:
    """The paths that would go."""
    found = _installed(root).found
    paths = {str(places.BUNDLE), *found.files, *found.links, "var/lib/verity"}
    return [f"/{path}" for path in sorted(paths)]


def remove(root: Path) -> Removed:
    """Take it away."""
    installed = _installed(root)
    status = gate_view.status() if root.resolve() == Path("/") else None
    if status is not None and status.state.value not in ("observe", "loading"):
        raise ContentError(
            "gate-sealed",
            f"the gate: it is {status.state.value}, and nothing is removed under a seal",
            hint="`verity lockdown observe --key` signs that the next boot observes; then remove",
        )
    sealed = sealed_initramfs(root)
    installed.take_away()
    return Removed(gate_loaded=status is not None, sealed=sealed)


def sealed_initramfs(root: Path) -> tuple[Path, ...]:
    """Those that are to be made anew."""
    read = initramfs_trust.read(root)
    return tuple(one.path for one in read if one.sealed or one.unread is not None)


def _installed(root: Path) -> Installed:
    found = Installed.read(root)
    if found is None:
        raise HostError(
            "not-ready",
            f"{root}: `verity lockdown init` has made nothing here",
            hint="what was put there by hand is taken away by hand",
        )
    return found
