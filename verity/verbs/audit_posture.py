# SPDX-License-Identifier: Apache-2.0
"""What stands between this host and code that nobody signed: gate, kernel, command line, mounts.

It asks the running host. One question is a try: the sealed gate must refuse a program in memory,
which is none (``verity.ports.canary``), and counts that as a denial.
"""

from collections.abc import Callable

from verity.formats.gate_status import GateStatus
from verity.values.audit import Area, AreaResult
from verity.verbs import (
    audit_posture_gate,
    audit_posture_kernel,
    audit_posture_mounts,
    audit_posture_unlock,
)
from verity.verbs.audit_host import AuditedHost
from verity.verbs.audit_posture_checks import CHECKS as CHECKS
from verity.verbs.audit_posture_checks import OF_GATE, OF_MOUNTS, OF_UNLOCKS
from verity.verbs.audit_said import Said


def examine(host: AuditedHost) -> AreaResult:
    """Ask all of it."""
    if not host.live:
        why = "a tree that isn't the running host has no gate and no kernel"
        return AreaResult(area=Area.POSTURE, not_applicable={check.id: why for check in CHECKS})
    said = Said()
    gate: GateStatus | None = None

    def ask_gate() -> None:
        nonlocal gate
        gate = audit_posture_gate.examine(host, said)

    steps: tuple[tuple[tuple[str, ...], str, Callable[[], None]], ...] = (
        (("posture-gate-status", *OF_GATE), "the gate", ask_gate),
        (OF_UNLOCKS, "unlocks", lambda: audit_posture_unlock.examine(host, gate, said)),
        ((), "the kernel", lambda: audit_posture_kernel.examine(host.root, gate, said)),
        (OF_MOUNTS, "mounts", lambda: audit_posture_mounts.examine(host, said)),
    )
    for number, (checks, what, question) in enumerate(steps):
        host.progress("posture", number, len(steps))
        said.ask(checks, what, question)
    host.progress("posture", len(steps), len(steps))
    return said.result(Area.POSTURE)
