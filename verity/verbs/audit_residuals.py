# SPDX-License-Identifier: Apache-2.0
"""The ways that stay open by design, as far as they are ways on this host (docs/threat-model.md).

Each is said with why it applies here. Without a sealed gate the first of all is that nothing is
refused. Nothing is judged: none of these is a finding.
"""

from collections import Counter

from verity.formats.grants import Code
from verity.ports import gate_files
from verity.values.audit import Residual
from verity.verbs.audit_host import AuditedHost

_HYPERVISOR = "sys/hypervisor/type"
_DMI = "sys/class/dmi/id/sys_vendor"
_VIRTUAL = ("QEMU", "KVM", "VMware", "innotek", "Xen", "Microsoft Corporation", "Amazon EC2")


def of(host: AuditedHost, level: str) -> tuple[Residual, ...]:
    """Those that apply; ``level`` is the assurance level, empty without one."""
    found = []
    if not level:
        found.append(
            Residual(
                name="nothing-refused",
                why="the tree lies here and doesn't run: who runs it decides what is enforced"
                if not host.live
                else "no gate is sealed here: what nobody signed runs, and is found afterwards",
            )
        )
    counts = Counter(host.code.values())  # of few kinds: flags are slow to compare
    programs = sum(count for flags, count in counts.items() if flags & (Code.EXEC | Code.SCRIPT))
    if programs:
        found.append(
            Residual(
                name="signed-tools",
                why=f"{programs} programs are granted: a signed shell or tool does what its"
                " arguments, its input and its own commands say",
            )
        )
    listed = sum(count for flags, count in counts.items() if flags & Code.INTERPRETER)
    if listed:
        found.append(
            Residual(
                name="interpreters",
                why=f"{listed} interpreters are granted: environment and module search path decide"
                " what else they read, and they open their script once more",
            )
        )
    found += _written(host)
    found += _boot(host, level)
    found.append(Residual(name="denial-of-service", why="root can always switch this machine off"))
    found.append(Residual(name="kernel-bugs", why="all of this rests on the kernel that runs"))
    return tuple(found)


def _written(host: AuditedHost) -> list[Residual]:
    if host.policy is None:
        return []
    # Here: a host without a policy needs none of it.
    from verity.formats.etc_rules import FileClass
    from verity.formats.policy import Guard

    lines = host.policy.policy.of(Guard)
    places = sum(1 for one in lines if one.file_class in (FileClass.MUTABLE, FileClass.PRODUCED))
    if not places:
        return []
    return [
        Residual(
            name="written-by-granted-programs",
            why=f"the policy has {places} places as mutable or produced: who writes there is held"
            " to it, what they write isn't; the area written shows it",
        )
    ]


def _boot(host: AuditedHost, level: str) -> list[Residual]:
    if not host.live:
        return []
    found = []
    if level == "B0":
        found.append(
            Residual(
                name="before-the-gate",
                why="B0: what started before the gate was loaded is only checked here, and whoever"
                " changes the disk or the boot loader decides about the next boot",
            )
        )
    if level == "B1":
        found.append(
            Residual(
                name="boot-chain-offline",
                why="B1: whoever changes the initramfs, its kernel or the boot loader from another"
                " system, or at the console, decides about the next boot",
            )
        )
    found.append(
        Residual(
            name="floors-rolled-back",
            why="below B3 the floors are files of this host: taking them away makes older signed"
            " versions good again",
        )
    )
    vendor = gate_files.small_text(host.root / _DMI) or ""
    virtual = vendor.startswith(_VIRTUAL) or (host.root / _HYPERVISOR).exists()
    if virtual:
        found.append(
            Residual(
                name="memory-snapshots",
                why=f"this is a virtual machine ({vendor or 'by its hypervisor'}): a restored"
                " snapshot brings back all of its state",
            )
        )
    return found
