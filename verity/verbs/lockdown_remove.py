# SPDX-License-Identifier: Apache-2.0
"""lockdown remove: what `lockdown init` has made is taken away again, the boot bundle first.

Without the bundle no later boot loads a gate, whatever is still there: so a power cut leaves a host
that is off, and the same command takes the rest away. Refused while the gate is sealed: whoever
could take the seal away with it would not need an unlock. Drop-ins of the owner's own stay, and so
does fs-verity on files, which can't be switched off.
"""

from pathlib import Path

from verity.ports import places
from verity.ports.installation import Installed
from verity.values.errors import ContentError, HostError
from verity.verbs import gate_view


def what(root: Path) -> list[str]:
    """The paths that would go."""
    found = _installed(root).found
    paths = {str(places.BUNDLE), *found.files, *found.links, "var/lib/verity"}
    return [f"/{path}" for path in sorted(paths)]


def remove(root: Path) -> bool:
    """Take it away; whether a gate that observes is still loaded, until the next boot."""
    installed = _installed(root)
    status = gate_view.status() if root.resolve() == Path("/") else None
    if status is not None and status.state.value not in ("observe", "loading"):
        raise ContentError(
            "gate-sealed",
            f"the gate: it is {status.state.value}, and nothing is removed under a seal",
            hint="`verity lockdown observe --key` signs that the next boot observes; then remove",
        )
    installed.take_away()
    return status is not None


def _installed(root: Path) -> Installed:
    found = Installed.read(root)
    if found is None:
        raise HostError(
            "not-ready",
            f"{root}: `verity lockdown init` has made nothing here",
            hint="what was put there by hand is taken away by hand",
        )
    return found
