# SPDX-License-Identifier: Apache-2.0
"""What runs here: privileged processes, code in the kernel, programs that the kernel starts.

It is of one moment and says nothing of the next. A tree that isn't the running host has none of it.
Who is root here can show all of it as they like, unless a gate that was sealed before them held.
"""

from collections.abc import Callable
from functools import partial

from verity.formats.gate_status import GateStatus, State
from verity.formats.policy_gate import project
from verity.ports import gate_files
from verity.ports.proc import Processes
from verity.trust.privileged import Rule
from verity.values.audit import Area, AreaResult, Covered
from verity.values.errors import VerityError
from verity.verbs import (
    audit_running_helpers,
    audit_running_kernel,
    audit_running_processes,
    gate_view,
)
from verity.verbs.audit_host import AuditedHost
from verity.verbs.audit_running_checks import CHECKS as CHECKS
from verity.verbs.audit_running_checks import OF_MODULES, OF_PROCESSES
from verity.verbs.audit_running_code import Judge
from verity.verbs.audit_running_processes import Looked
from verity.verbs.audit_said import Said

_NO_GRANTS = (
    "running-unsigned",
    "running-unprotected",
    "running-wrong-use",
    "running-anonymous",
    "running-writable",
    "running-module",
)


def examine(host: AuditedHost) -> AreaResult:
    """Look at all of it; ``host.grants`` say what is signed."""
    if not host.live:
        why = "a tree that isn't the running host has no processes"
        return AreaResult(area=Area.RUNNING, not_applicable={check.id: why for check in CHECKS})
    said, judge = Said(), Judge(granted=host.code)
    gate = _gate(host, said)
    if not judge.granted:
        for check in _NO_GRANTS:
            said.lacks(
                check,
                "what runs",
                "there are no verified grants to compare with",
                "the area trust says what is missing",
            )
    looked = Looked()
    rule = Rule.of(project(host.policy.policy) if host.policy else None)

    def processes() -> None:
        nonlocal looked
        looked = audit_running_processes.examine(
            Processes(root=host.root),
            judge,
            rule,
            said,
            sealed_ms=_sealed_ms(gate),
            scripts=gate_files.script_tasks(host.root),
        )

    steps: tuple[tuple[tuple[str, ...], str, Callable[[], None]], ...] = (
        (OF_PROCESSES, "processes", processes),
        (
            OF_MODULES,
            "kernel modules",
            partial(audit_running_kernel.modules, host.root, judge, said),
        ),
        (
            ("running-bpf", "running-bpf-override"),
            "BPF programs",
            lambda: audit_running_kernel.programs(gate, judge, looked, said),
        ),
        (("running-probes",), "probes", partial(audit_running_kernel.probes, host.root, said)),
        (
            ("running-helper", "running-binfmt"),
            "helpers",
            partial(audit_running_helpers.examine, host.root, judge, said),
        ),
    )
    for number, (checks, what, question) in enumerate(steps):
        host.progress("what runs", number, len(steps))
        said.ask(checks, what, question)
    host.progress("what runs", len(steps), len(steps))
    return said.result(Area.RUNNING, _coverage(judge, gate))


def _gate(host: AuditedHost, said: Said) -> GateStatus | None:
    """The gate's word, if there is one that can be believed; the area posture says the rest."""
    try:
        gate = gate_view.status(host.root)
    except VerityError as error:
        for check in ("running-before-seal", "running-bpf", "running-bpf-override"):
            said.lacks(check, "the gate", error.message, error.hint)
        return None
    if gate is None or gate.state is not State.SEALED:
        said.not_applicable["running-before-seal"] = "no gate is sealed"
    elif not gate.sealed_ms:
        said.lacks(
            "running-before-seal",
            "the gate",
            "it doesn't say when it was sealed",
            "gate and program are of one version: install them together",
        )
    return gate


def _sealed_ms(gate: GateStatus | None) -> int | None:
    return gate.sealed_ms if gate is not None and gate.state is State.SEALED else None


def _coverage(judge: Judge, gate: GateStatus | None) -> dict[Covered, int]:
    """What the kernel measured it also enforces, where a gate is sealed."""
    found = dict(judge.covered)
    if gate is not None and gate.state is State.SEALED and Covered.MEASURED in found:
        found[Covered.ENFORCED] = found.pop(Covered.MEASURED)
    return found
