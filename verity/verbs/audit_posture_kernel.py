# SPDX-License-Identifier: Apache-2.0
"""How the kernel was started and is set: part of the area posture.

What only holds a sealed gate up is asked of a sealed host only; elsewhere nothing claims it. What
the command line switches off is a finding anywhere.
"""

from functools import partial
from pathlib import Path

from verity.formats.escaped import printable
from verity.formats.gate_status import GateStatus, State
from verity.ports import gate_files, kernel_files
from verity.verbs import ima_status
from verity.verbs.audit_said import Said

_UNSEALED = "no gate is sealed here, so nothing rests on it"
_EFI = "sys/firmware/efi"
_SECURE_BOOT = f"{_EFI}/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_SHIM = f"{_EFI}/efivars/MokSBStateRT-605dab50-e046-4300-abb6-3dd810dd8b23"
_INITS = frozenset({"/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd"})
_SYSTEMD = "/usr/lib/systemd/systemd"
# Words of the command line that give a shell or switch a protection off: what they do.
_WEAKENS = {
    "rd.break": "a shell in the initramfs",
    "rd.shell": "a shell in the initramfs",
    "systemd.debug-shell": "a root shell on a console",
    "systemd.debug_shell": "a root shell on a console",
    "rd.systemd.debug_shell": "a root shell on a console",
    "break": "a shell in the initramfs",
    "systemd.run": "a command that root runs",
    "systemd.wants": "a unit is started beside the host's own",
    "systemd.setenv": "a variable for everything that is started",
    "systemd.set_credential": "a credential, which may be a unit",
    "systemd.set_credential_binary": "a credential, which may be a unit",
    "systemd.volatile": "another file system in the place of /var or all",
    "systemd.unit": "another target than the host's own",
    "systemd.mask": "a unit is left out",
    "rdinit": "another first program",
    "security": "the security modules are chosen as they were long ago: without BPF",
}
_VALUES = {
    "lockdown": ({"none"}, "kernel lockdown is off"),
    "module.sig_enforce": ({"0", "n", "off", "false"}, "modules need no signature"),
    "ima_appraise": ({"off", "log", "fix"}, "IMA doesn't refuse"),
    "ftrace": ({"off"}, "the gate can't be called"),
}
_SOFTENS = {
    "mitigations": {"off"},
    "apparmor": {"0"},
    "selinux": {"0"},
    "enforcing": {"0"},
    "spectre_v2": {"off"},
    "nokaslr": {""},
    "nosmep": {""},
    "nosmap": {""},
    "nopti": {""},
}
# Settings: what is too open, and what it should be.
_SETTINGS = {
    "kernel/unprivileged_bpf_disabled": ({"0"}, "1 or 2"),
    "kernel/perf_event_paranoid": ({"-1", "0"}, "1 or more"),
    "kernel/randomize_va_space": ({"0", "1"}, "2"),
    "fs/protected_symlinks": ({"0"}, "1"),
    "fs/protected_hardlinks": ({"0"}, "1"),
    "fs/suid_dumpable": ({"1"}, "0 or 2"),
}


def examine(root: Path, gate: GateStatus | None, said: Said) -> None:
    """All of it; one that can't be asked leaves the others as they are."""
    boot = ("posture-command-line", "posture-hardening")
    said.ask(boot, "the kernel's command line", partial(_command_line, root, said))
    said.ask(("posture-hardening",), "the kernel's settings", partial(_settings, root, said))
    said.ask(("posture-ima",), "IMA", partial(_ima, root, gate, said))
    if gate is None or gate.state is not State.SEALED:
        for check in ("lockdown", "secure-boot", "module-signatures", "kexec", "swap"):
            said.not_applicable[f"posture-{check}"] = _UNSEALED
        return
    locked = gate_files.kernel_lockdown(root)
    _lockdown(locked, said)
    said.ask(("posture-secure-boot",), "Secure Boot", partial(_secure_boot, root, said))
    modules = partial(_module_signatures, root, locked, said)
    said.ask(("posture-module-signatures",), "kernel modules", modules)
    said.ask(("posture-kexec",), "kexec", partial(_kexec, root, said))
    said.ask(("posture-swap",), "swap", partial(_swap, root, said))


def _command_line(root: Path, said: Said) -> None:
    text = kernel_files.text(root, "proc/cmdline")
    if text is None:
        for check in ("posture-command-line", "posture-hardening"):
            said.lacks(check, "the kernel's command line", "/proc/cmdline isn't there")
        return
    bad, soft = judged_words(text)
    if bad:
        said.finds(
            "posture-command-line",
            "the kernel's command line",
            "it was told to start something else, or to leave a protection out",
            expected="none of these words",
            found=", ".join(bad),
            remedy="take them out of the boot loader's configuration, and reboot",
        )
    if soft:
        said.finds(
            "posture-hardening",
            "the kernel's command line",
            "it switches common protections off",
            expected="none of these words",
            found=", ".join(soft),
            remedy="take them out of the boot loader's configuration, and reboot",
        )


def judged_words(text: str) -> tuple[list[str], list[str]]:
    """The words of a command line that give a shell or switch the host's protection off, each with
    what it does; and those that switch common protections off."""
    bad, soft = [], []
    for word in text.split():
        name, _, value = word.replace('"', "").partition("=")
        name = name.replace("-", "_") if name.startswith("module.") else name
        if why := _weakens(name, value):
            bad.append(f"{printable(word.encode())} ({why})")
        elif value in _SOFTENS.get(name, set()):
            soft.append(printable(word.encode()))
    return bad, soft


def _weakens(name: str, value: str) -> str:
    """What a word of the command line does to the host; empty if it does no harm."""
    if name == "init":
        return "" if value in _INITS or value == _SYSTEMD else "another first program"
    if name == "lsm":
        return "" if "bpf" in value.split(",") else "BPF programs can't decide"
    if name in _VALUES:
        values, why = _VALUES[name]
        return why if value.lower() in values else ""
    if name.endswith(("debug_shell", "debug-shell", "rd.shell")) and value in ("0", "no", "false"):
        return ""
    if name == "systemd.unit" and value in ("multi-user.target", "graphical.target"):
        return ""
    return _WEAKENS.get(name, "")


def _settings(root: Path, said: Said) -> None:
    """One that this kernel doesn't have is no question."""
    for name, (bad, expected) in _SETTINGS.items():
        found = kernel_files.text(root, f"proc/sys/{name}")
        if found in bad:
            said.finds(
                "posture-hardening",
                name.replace("/", "."),
                "a protection of the kernel is off",
                expected=expected,
                found=found,
                remedy=f"set {name.replace('/', '.')} in /etc/sysctl.d, and have it signed",
            )


def _ima(root: Path, gate: GateStatus | None, said: Said) -> None:
    """Tried only where no gate would be the one that refuses."""
    sealed = gate is not None and gate.state is State.SEALED
    found = ima_status.seen(root)
    if found.state is ima_status.State.UNKNOWN and root == Path("/") and not sealed:
        found = ima_status.status()
    if found.state is ima_status.State.LENIENT:
        said.finds(
            "posture-ima",
            "IMA",
            "a policy was loaded, and unsigned code runs as root all the same",
            expected="refused",
            found=found.detail,
            remedy="`verity lockdown ima status` tells more",
        )
    elif found.state is ima_status.State.UNREADABLE:
        hint = "mount -t securityfs securityfs /sys/kernel/security"
        said.lacks("posture-ima", "IMA", found.detail, hint)
    elif found.state is ima_status.State.UNKNOWN:
        why = "the sealed gate refuses first, so what IMA would do can't be seen"
        if sealed:
            said.not_applicable["posture-ima"] = why
        else:
            said.lacks("posture-ima", "IMA", found.detail, "run it as root")
    elif found.state is not ima_status.State.ENFORCING:
        said.not_applicable["posture-ima"] = found.detail


def _lockdown(locked: str | None, said: Said) -> None:
    if locked is None:
        hint = "mount -t securityfs securityfs /sys/kernel/security"
        said.lacks("posture-lockdown", "kernel lockdown", "it can't be read", hint)
    elif locked == "none":
        said.finds(
            "posture-lockdown",
            "kernel lockdown",
            "root can go past the sealed gate, into the kernel's memory",
            expected="integrity",
            found="none",
            remedy="boot with lockdown=integrity, or with a kernel that has it; sealing sets it",
        )


def _secure_boot(root: Path, said: Said) -> None:
    check = "posture-secure-boot"
    if not (root / _EFI).is_dir():
        said.not_applicable[check] = "this host was not started by UEFI"
        return
    value, shim = kernel_files.read(root, _SECURE_BOOT), kernel_files.read(root, _SHIM)
    if value is None:
        said.lacks(check, "Secure Boot", "its EFI variable isn't there", "mount efivarfs")
        return
    off = "off" if value[4:] != b"\1" else ""
    if not off and shim is not None and shim[4:5] == b"\1":
        off = "on, and the shim verifies nothing"
    if off:
        said.finds(
            check,
            "Secure Boot",
            "whoever writes to /boot decides what is started next",
            expected="on",
            found=off,
            remedy="switch it on in the firmware; level B0 claims nothing beyond the reboot",
        )


def _module_signatures(root: Path, locked: str | None, said: Said) -> None:
    """Lockdown asks for signatures, too."""
    if locked not in (None, "none"):
        return
    found = kernel_files.text(root, "sys/module/module/parameters/sig_enforce")
    if found is None and not (root / "proc/modules").exists():
        said.not_applicable["posture-module-signatures"] = "this kernel takes no modules"
    elif found != "Y":
        said.finds(
            "posture-module-signatures",
            "kernel modules",
            "the gate alone keeps unsigned modules out",
            expected="module.sig_enforce=1, or kernel lockdown",
            found=found or "this kernel can't verify modules",
            remedy="boot with module.sig_enforce=1 or lockdown=integrity",
        )


def _kexec(root: Path, said: Said) -> None:
    for name, what in (("kexec_loaded", "to start next"), ("kexec_crash_loaded", "for crashes")):
        if kernel_files.text(root, f"sys/kernel/{name}") == "1":
            said.finds(
                "posture-kexec",
                f"a kernel {what}",
                "it was loaded before the seal, so nobody knows what is in it",
                expected="none",
                found=f"/sys/kernel/{name} is 1",
                remedy="`kexec -u` or `kexec -p -u` takes it out; disable what loads it",
            )


def _swap(root: Path, said: Said) -> None:
    lines = (kernel_files.text(root, "proc/swaps") or "").splitlines()[1:]
    plain = []
    for line in lines:
        place = line.split()[0]
        device = place.rpartition("/")[2]
        mapped = kernel_files.text(root, f"sys/block/{device}/dm/uuid") or ""
        if not device.startswith("zram") and not mapped.startswith("CRYPT-"):
            plain.append(printable(place.encode()))
    if plain:
        said.finds(
            "posture-swap",
            "swap",
            "memory of privileged processes lies on a disk, where it can be read and changed",
            expected="none, zram, or encrypted",
            found=", ".join(plain),
            remedy="encrypt it in /etc/crypttab, or use zram",
        )
