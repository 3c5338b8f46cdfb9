# SPDX-License-Identifier: Apache-2.0
"""The questions of the area posture. None is asked here."""

from verity.values.audit import Area, Check, Severity

_SEVERITY = {
    "posture-gate-status": (Severity.CRITICAL, "what the gate says of itself can be believed"),
    "posture-gate": (Severity.HIGH, "the gate is in the state that the signed policy asks for"),
    "posture-gate-version": (Severity.MEDIUM, "the gate is the one that came with this program"),
    "posture-gate-policy": (Severity.LOW, "the gate has the signed policy of this host"),
    "posture-canary": (Severity.CRITICAL, "the sealed gate refuses what nobody signed"),
    "posture-observed": (
        Severity.MEDIUM,
        "the policy denies unsigned code and configuration, and doesn't only log it",
    ),
    "posture-ftrace": (Severity.CRITICAL, "the kernel calls the gate"),
    "posture-unlock": (Severity.HIGH, "no unlock is live, and there was none in this boot"),
    "posture-unlock-ledger": (
        Severity.HIGH,
        "the ledger of unlocks is whole, and has what the gate has",
    ),
    "posture-unlock-before": (Severity.LOW, "there was no unlock in earlier boots of 30 days"),
    "posture-lockdown": (Severity.HIGH, "a sealed host's kernel is locked down"),
    "posture-secure-boot": (Severity.LOW, "a sealed host was started by Secure Boot"),
    "posture-module-signatures": (
        Severity.MEDIUM,
        "a sealed host's kernel takes signed modules only",
    ),
    "posture-kexec": (Severity.HIGH, "no other kernel lies ready on a sealed host"),
    "posture-ima": (Severity.MEDIUM, "a policy of IMA that was loaded refuses unsigned code"),
    "posture-command-line": (
        Severity.HIGH,
        "the kernel's command line starts the host's own system, and switches no protection off",
    ),
    "posture-hardening": (
        Severity.LOW,
        "the kernel's command line and settings leave common protections on",
    ),
    "posture-swap": (Severity.LOW, "the memory of a sealed host goes to no disk in the clear"),
    "posture-mount-over": (
        Severity.HIGH,
        "nothing is mounted over configuration that the policy guards as signed",
    ),
    "posture-mount-options": (
        Severity.LOW,
        "places that everybody writes to take no set-id programs and no devices",
    ),
    "posture-other-files": (
        Severity.HIGH,
        "other file systems that can be written hold no program that raises privileges",
    ),
}
CHECKS = tuple(
    Check(id=name, area=Area.POSTURE, severity=severity, title=title)
    for name, (severity, title) in _SEVERITY.items()
)
OF_GATE = (
    "posture-gate",
    "posture-gate-version",
    "posture-gate-policy",
    "posture-canary",
    "posture-observed",
    "posture-ftrace",
)
"""What can't be asked where the gate's word can't be had."""
OF_UNLOCKS = ("posture-unlock", "posture-unlock-ledger", "posture-unlock-before")
OF_MOUNTS = ("posture-mount-over", "posture-mount-options", "posture-other-files")
