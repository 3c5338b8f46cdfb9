# SPDX-License-Identifier: Apache-2.0
"""The gate, as the signed policy wants it, and whether it decides: part of the area posture."""

import os

from verity.formats import gate_status
from verity.formats.gate_status import GateStatus, Reason, State
from verity.formats.kernel_policy import Mode
from verity.ports import canary, kernel_files
from verity.trust.policy import VerifiedPolicy
from verity.values.errors import ContentError, VerityError
from verity.verbs import gate_view
from verity.verbs.audit_host import AuditedHost
from verity.verbs.audit_posture_checks import OF_GATE
from verity.verbs.audit_said import Said

_NO_GATE = "no gate is loaded, and nothing here says that there should be one"
_REBOOT = "reboot; `verity lockdown status` says what is missing"
LETS_THROUGH = frozenset(
    reason
    for reason in Reason
    if 1 <= reason.number <= Reason.NOT_ELEVATED.number
    or Reason.CONFIG_UNSIGNED.number <= reason.number <= Reason.CONFIG_MOUNT.number
)
"""Reasons that, where they are only observed, let code or configuration through that nobody signed.
"""


def examine(host: AuditedHost, said: Said) -> GateStatus | None:
    """All that concerns it; its status, if it can be believed."""
    try:
        gate = gate_view.status(host.root)
    except ContentError as error:
        said.finds(
            "posture-gate-status",
            "the gate",
            error.message,
            expected="a status from a gate that answers, or neither",
            found=error.code,
            remedy=error.hint or _REBOOT,
        )
        _unasked(said, error)
        return None
    except VerityError as error:
        said.lacks("posture-gate-status", "the gate", error.message, error.hint)
        _unasked(said, error)
        return None
    if gate is None:
        _missing(host.policy, said)
        return None
    _state(gate, host.policy, said)
    _ftrace(host, said)
    _canary(gate, said)
    return gate


def _unasked(said: Said, error: VerityError) -> None:
    for check in OF_GATE:
        said.lacks(check, "the gate", error.message, error.hint)


def _missing(policy: VerifiedPolicy | None, said: Said) -> None:
    for check in OF_GATE:
        said.not_applicable[check] = _NO_GATE
    if policy is not None and policy.policy.mode is Mode.SEALED:
        del said.not_applicable["posture-gate"]
        said.finds(
            "posture-gate",
            "the gate",
            "nothing is refused on this host",
            expected=f"sealed, as the signed policy of serial {policy.policy.serial} says",
            found="no gate is loaded",
            remedy=_REBOOT,
        )


def _state(gate: GateStatus, policy: VerifiedPolicy | None, said: Said) -> None:
    wanted = gate.policy_mode is gate_status.Mode.SEALED or (
        policy is not None and policy.policy.mode is Mode.SEALED
    )
    if wanted and gate.state is not State.SEALED:
        said.finds(
            "posture-gate",
            "the gate",
            "refusals are logged, and nothing is denied",
            expected="sealed, as the signed policy says",
            found=gate.state.value,
            remedy=f"`verity lockdown seal`, or {_REBOOT}",
        )
    if gate.version != gate_status.VERSION:
        said.finds(
            "posture-gate-version",
            "the gate",
            "gate and program are not of one version",
            expected=f"version {gate_status.VERSION}",
            found=f"version {gate.version}",
            remedy="install them together, and reboot",
        )
    if policy is None:
        said.not_applicable["posture-gate-policy"] = "no signed policy of this host was verified"
    elif policy.policy.serial != gate.policy_serial:
        said.finds(
            "posture-gate-policy",
            "the gate",
            "it has another policy than this host's signed one",
            expected=f"serial {policy.policy.serial}",
            found=f"serial {gate.policy_serial}",
            remedy="make the boot bundle anew with `verity lockdown bundle`, and reboot",
        )
    through = sorted(reason.value for reason in gate.observes & LETS_THROUGH)
    if gate.state is not State.SEALED:
        said.not_applicable["posture-observed"] = "the gate isn't sealed: it denies nothing"
    elif through:
        said.finds(
            "posture-observed",
            "the policy",
            "what is only observed is let through and logged",
            expected="all of it denied",
            found=f"only observed: {', '.join(through)}",
            remedy="sign a policy that denies it: docs/guides/policy.md",
        )


def _ftrace(host: AuditedHost, said: Said) -> None:
    """The switch that turns every hook of the gate off, and leaves its status as it was."""
    found = kernel_files.text(host.root, "proc/sys/kernel/ftrace_enabled")
    if found is None:
        said.lacks(
            "posture-ftrace",
            "kernel.ftrace_enabled",
            "it isn't there, and the gate is called through it",
        )
    elif found != "1":
        said.finds(
            "posture-ftrace",
            "kernel.ftrace_enabled",
            "the gate's programs are attached, and never called",
            expected="1",
            found=found,
            remedy="reboot, and find out what switches it off",
        )


def _canary(gate: GateStatus, said: Said) -> None:
    """A privileged process tries to start a few bytes that nobody signed."""
    if gate.state is not State.SEALED or Reason.NO_DIGEST in gate.observes:
        said.not_applicable["posture-canary"] = "nothing is denied: the gate isn't sealed for that"
        return
    if os.geteuid() != 0:
        said.lacks(
            "posture-canary",
            "the canary",
            "who isn't privileged is refused nothing",
            "run it as root",
        )
        return
    try:
        refused = canary.refused()
    except VerityError as error:
        said.lacks("posture-canary", "the canary", error.message, error.hint)
        return
    if not refused:
        said.finds(
            "posture-canary",
            "the gate",
            "it is sealed, and refuses nothing",
            expected="a program in memory that nobody signed is refused to root",
            found="the kernel went on to start it",
            remedy="do not rely on this host: reboot it, and find out what switched the gate off",
        )
