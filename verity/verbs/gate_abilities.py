# SPDX-License-Identifier: Apache-2.0
"""What the gate needs from a host, and what it does there: part of ``doctor``.

Read from the kernel's own files below a root; changes nothing. What can't be read is unknown.
"""

import zlib
from pathlib import Path

from verity.formats.gate_status import GateStatus
from verity.ports import gate_files, gate_object
from verity.ports.osfile import read_file
from verity.values.errors import HostError, VerityError
from verity.verbs import gate_view
from verity.verbs.ability import Ability, Answer

# Function: since which kernel, for the hint. The last isn't called: it is how the kernel's verifier
# holds LSM programs to what a hook may return.
KFUNCS = {
    "bpf_get_fsverity_digest": "Linux 6.8 or later has it",
    "bpf_path_d_path": "Linux 6.12 or later has it",
    "bpf_lookup_user_key": "Linux 6.1 or later has it",
    "bpf_verify_pkcs7_signature": "Linux 6.1 or later has it",
    "bpf_lsm_get_retval_range": "Linux 6.12 or later has it",
}
B0 = "B0: holds until reboot; what started before the load was not checked"
B1 = (
    "B1: loaded by the initramfs, and what the machine boots from isn't written while it is sealed;"
    " whoever rewrites that from another system decides about the next boot"
)
_MOST_BTF = 64 << 20
_MOST_CONFIG = 1 << 20
_NO_SECURITYFS = "mount -t securityfs securityfs /sys/kernel/security"


def examine(root: Path) -> list[Ability]:
    """All of them, in the order in which the loader needs them."""
    return [
        bpf_lsm(root),
        *kfuncs(root),
        _ftrace(root),
        _cgroup(root),
        _ecdsa(root),
        gate_part("gate object", gate_object.find()),
        gate_part("gate loader", gate_object.find_loader()),
        _lockdown(root),
        *_gate(root),
    ]


def bpf_lsm(root: Path) -> Ability:
    """Whether BPF programs may be attached to the LSM hooks."""
    text = gate_files.small_text(root / gate_files.LSM)
    if text is None:
        return Ability(
            name="BPF LSM",
            answer=Answer.UNKNOWN,
            detail="/sys/kernel/security/lsm can't be read",
            hint=_NO_SECURITYFS,
        )
    active = "bpf" in text.split(",")
    return Ability(
        name="BPF LSM",
        answer=Answer.YES if active else Answer.NO,
        detail=f"active: {text}",
        hint="" if active else f"boot with lsm={text},bpf",
    )


def kfuncs(root: Path) -> list[Ability]:
    """The kernel functions that the gate calls, by name in the kernel's own types."""
    try:
        types = read_file(root / "sys/kernel/btf/vmlinux", max_size=_MOST_BTF)
    except HostError:
        return [
            Ability(
                name=f"kernel function {name}",
                answer=Answer.NO,
                detail="/sys/kernel/btf/vmlinux can't be read",
                hint="the kernel needs CONFIG_DEBUG_INFO_BTF=y",
            )
            for name in KFUNCS
        ]
    return [
        Ability(
            name=f"kernel function {name}",
            answer=Answer.YES if there else Answer.NO,
            detail="in the kernel's BTF" if there else "not in the kernel's BTF",
            hint="" if there else since,
        )
        for name, since in KFUNCS.items()
        for there in (b"\0%b\0" % name.encode() in types,)
    ]


def gate_part(
    name: str, found: gate_object.GateObject | gate_object.GateLoader | gate_object.Missing
) -> Ability:
    """A part of the gate that this installation has, or why not."""
    if isinstance(found, gate_object.Missing):
        return Ability(name=name, answer=Answer.NO, detail=found.reason, hint=found.hint)
    return Ability(name=name, answer=Answer.YES, detail=str(found.path))


def _ftrace(root: Path) -> Ability:
    # Through ftrace the gate's programs are called: at 0 they are attached and never run.
    text = gate_files.small_text(root / "proc/sys/kernel/ftrace_enabled")
    name = "ftrace"
    if text is None:
        return Ability(
            name=name,
            answer=Answer.UNKNOWN,
            detail="/proc/sys/kernel/ftrace_enabled can't be read",
            hint="the kernel needs CONFIG_DYNAMIC_FTRACE=y",
        )
    on = text == "1"
    return Ability(
        name=name,
        answer=Answer.YES if on else Answer.NO,
        detail="enabled" if on else f"ftrace_enabled is {text}: no gate would be called",
        hint="" if on else "sysctl kernel.ftrace_enabled=1",
    )


def _cgroup(root: Path) -> Ability:
    there = (root / "sys/fs/cgroup/cgroup.controllers").exists()
    return Ability(
        name="cgroup2",
        answer=Answer.YES if there else Answer.NO,
        detail="at /sys/fs/cgroup" if there else "not at /sys/fs/cgroup",
        hint="" if there else "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    )


def _ecdsa(root: Path) -> Ability:
    """Whether the kernel verifies ECDSA: it is listed, or the kernel's configuration has it."""
    name = "ECDSA in the kernel"
    listed = _text(root / "proc/crypto")
    if "ecdsa-nist-p256" in listed:
        return Ability(name=name, answer=Answer.YES, detail="listed in /proc/crypto")
    config = _config(root)
    for value, detail in (("y", "built in"), ("m", "a module, which the first signature loads")):
        if f"\nCONFIG_CRYPTO_ECDSA={value}\n" in config:
            return Ability(name=name, answer=Answer.YES, detail=detail)
    if "\n# CONFIG_CRYPTO_ECDSA is not set\n" in config:
        return Ability(
            name=name,
            answer=Answer.NO,
            detail="this kernel was built without it",
            hint="boot a kernel with CONFIG_CRYPTO_ECDSA; Debian's stock kernels have it",
        )
    return Ability(
        name=name,
        answer=Answer.UNKNOWN,
        detail="not listed in /proc/crypto, and the kernel's configuration can't be read",
        hint="modprobe ecdsa_generic, then ask again",
    )


def _config(root: Path) -> str:
    """The running kernel's configuration, empty if it isn't to be had."""
    release = gate_files.small_text(root / "proc/sys/kernel/osrelease")
    if release and "/" not in release and (text := _text(root / "boot" / f"config-{release}")):
        return f"\n{text}"
    try:
        packed = read_file(root / "proc/config.gz", max_size=_MOST_CONFIG)
        data = zlib.decompressobj(31).decompress(packed, _MOST_CONFIG)
    except (HostError, zlib.error):
        return ""
    return "\n" + data.decode("utf-8", "replace")


def _text(path: Path) -> str:
    try:
        return read_file(path, max_size=_MOST_CONFIG).decode("utf-8", "replace")
    except HostError:
        return ""


def _lockdown(root: Path) -> Ability:
    level = gate_files.kernel_lockdown(root)
    if level is None:
        return Ability(
            name="kernel lockdown",
            answer=Answer.UNKNOWN,
            detail="/sys/kernel/security/lockdown can't be read",
            hint=_NO_SECURITYFS,
        )
    return Ability(
        name="kernel lockdown",
        answer=Answer.NO if level == "none" else Answer.YES,
        detail=level,
        hint="sealing sets it to integrity" if level == "none" else "",
    )


def _gate(root: Path) -> list[Ability]:
    """Whether a gate is loaded, and what that is worth."""
    level = "assurance level"
    try:
        found = gate_view.status(root)
    except VerityError as error:
        unknown = Ability(
            name="gate",
            answer=Answer.UNKNOWN if isinstance(error, HostError) else Answer.NO,
            detail=error.message,
            hint=error.hint or "",
        )
        nothing = "none can be claimed: the gate's state is unknown"
        return [unknown, Ability(name=level, answer=unknown.answer, detail=nothing)]
    if found is None:
        return [
            Ability(
                name="gate",
                answer=Answer.NO,
                detail="not loaded",
                hint="`verity lockdown status` says what is missing",
            ),
            Ability(
                name=level,
                answer=Answer.NO,
                detail="none: no gate is loaded; signatures and fs-verity tell, nothing refuses",
            ),
        ]
    gate = Ability(name="gate", answer=Answer.YES, detail=f"loaded, state {found.state}")
    worth, why = assurance(found.state, gate_files.kernel_lockdown(root))
    answer = Answer.YES if worth else Answer.NO
    detail = claimed(found)[1] if worth else f"none: {why}"
    return [gate, Ability(name=level, answer=answer, detail=detail)]


def assurance(state: str, lockdown: str | None) -> tuple[bool, str]:
    """Whether a level may be claimed, and if not, why; which one says ``claimed``."""
    if state != "sealed":
        return False, f"the gate's state is {state}: refusals are logged, nothing is denied"
    if lockdown is None:
        return False, "sealed, and whether the kernel is locked down can't be read"
    if lockdown == "none":
        return False, "sealed-weak: the kernel isn't locked down, so root can go past the gate"
    return True, ""


def claimed(gate: GateStatus) -> tuple[str, str]:
    """The level of a sealed gate, and what it is worth: the one place where a level is claimed.

    B1 is what the gate says: the root was entered under it, and it keeps what is booted from.
    """
    if gate.initial_root and gate.entered_ms and gate.boot_directories + gate.boot_devices:
        return "B1", B1
    return "B0", B0
