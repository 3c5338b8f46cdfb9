# SPDX-License-Identifier: Apache-2.0
"""The questions of the area running. None is asked here."""

from verity.formats.escaped import printable
from verity.values.audit import Area, Check, Severity

_SEVERITY = {
    "running-seen": (Severity.HIGH, "every process could be looked at"),
    "running-unsigned": (Severity.CRITICAL, "what privileged processes execute is signed"),
    "running-unprotected": (
        Severity.MEDIUM,
        "fs-verity keeps what privileged processes execute as it was signed",
    ),
    "running-wrong-use": (
        Severity.HIGH,
        "what privileged processes execute is granted as a program or a library",
    ),
    "running-deleted": (
        Severity.HIGH,
        "what privileged processes execute is still there under a name",
    ),
    "running-memory-file": (
        Severity.CRITICAL,
        "no privileged process executes a file that is in memory only",
    ),
    "running-anonymous": (
        Severity.CRITICAL,
        "privileged processes have executable memory without a file only where jit is granted",
    ),
    "running-writable": (
        Severity.CRITICAL,
        "no privileged process can write what it executes",
    ),
    "running-altered": (
        Severity.CRITICAL,
        "the code in the memory of privileged processes is that of the files",
    ),
    "running-traced": (Severity.HIGH, "no privileged process is in the hand of a debugger"),
    "running-before-seal": (
        Severity.MEDIUM,
        "no just-in-time compiler that is privileged is older than the seal, and no interpreter but"
        " for a granted script",
    ),
    "running-module": (Severity.CRITICAL, "every loaded kernel module is signed"),
    "running-module-taint": (
        Severity.HIGH,
        "no kernel module was forced in, or has no signature of its own",
    ),
    "running-module-hidden": (
        Severity.CRITICAL,
        "the kernel's two lists of modules name the same ones",
    ),
    "running-taint": (
        Severity.MEDIUM,
        "this boot had no forced, unsigned or live-patching module that has gone since",
    ),
    "running-bpf-override": (
        Severity.CRITICAL,
        "no BPF program but the gate's can change what the kernel answers",
    ),
    "running-bpf": (
        Severity.HIGH,
        "BPF programs that watch the kernel or judge in it belong to signed programs",
    ),
    "running-probes": (Severity.HIGH, "no kernel function and no program has a probe in it"),
    "running-helper": (
        Severity.CRITICAL,
        "the programs that the kernel starts by itself are signed",
    ),
    "running-binfmt": (
        Severity.HIGH,
        "the interpreters that binfmt_misc starts are signed",
    ),
}
CHECKS = tuple(
    Check(id=name, area=Area.RUNNING, severity=severity, title=title)
    for name, (severity, title) in _SEVERITY.items()
)

OF_PROCESSES = (
    "running-seen",
    "running-unsigned",
    "running-unprotected",
    "running-wrong-use",
    "running-deleted",
    "running-memory-file",
    "running-anonymous",
    "running-writable",
    "running-altered",
    "running-traced",
    "running-before-seal",
)
OF_MODULES = ("running-module", "running-module-taint", "running-module-hidden", "running-taint")


def of_processes(processes: list[tuple[int, bytes]], most: int = 5) -> str:
    """Numbers and names of processes: the first few, and how many more."""
    shown = [f"{pid} ({printable(name)})" for pid, name in processes[:most]]
    more = len(processes) - most
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
