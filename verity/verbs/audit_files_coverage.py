# SPDX-License-Identifier: Apache-2.0
"""How an audit knows each file of a tree that was held against its manifest, as counts."""

from typing import TYPE_CHECKING

from verity.formats.grants import ConfigKind
from verity.ports.signed_tree import State
from verity.values.audit import Covered
from verity.values.errors import VerityError

if TYPE_CHECKING:
    from verity.verbs.audit_files import Compared
    from verity.verbs.audit_host import AuditedHost


def coverage(host: "AuditedHost", found: "Compared") -> dict[Covered, int]:
    """How each file is known. Enforced is what this kernel's gate, sealed, has a grant of."""
    files = links = 0
    if host.live and _sealed():
        entries = {(one.path, one.kind) for blob in host.grants for one in blob.config}
        files = found.states.count(State.GRANTED) + sum(
            kind is ConfigKind.FILE and found.state_of(path) is State.BY_KERNEL
            for path, kind in entries
        )
        links = sum(
            kind is ConfigKind.SYMLINK and found.state_of(path) is State.AS_SIGNED
            for path, kind in entries
        )
    unsigned = found.unsigned.by_kernel + found.unsigned.hashed + found.unsigned.metadata
    return {
        Covered.ENFORCED: files + links,
        Covered.MEASURED: found.signed.by_kernel - files,
        Covered.HASHED: found.signed.hashed,
        Covered.METADATA: found.signed.metadata - links,
        Covered.UNVERIFIABLE: found.unread + unsigned,
        Covered.IGNORED: found.passed,
    }


def _sealed() -> bool:
    """Whether a gate of the running kernel enforces."""
    # Here: a tree that lies somewhere has no gate.
    from verity.formats import gate_status
    from verity.verbs import gate_view

    try:
        status = gate_view.status()
    except VerityError:
        return False
    return status is not None and status.state is gate_status.State.SEALED
