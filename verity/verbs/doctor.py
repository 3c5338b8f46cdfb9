# SPDX-License-Identifier: Apache-2.0
"""doctor: what this host can do, asked of the host and not guessed from a version number.

It changes nothing but one temporary file, in a directory that the caller names to have fs-verity
tried there. A fact that can't be read is reported as unknown, never as absent.
"""

import contextlib
import platform
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from verity.formats.fsverity import digest_bytes
from verity.ports import gate_object, kernel
from verity.ports.content import open_regular
from verity.ports.osfile import closing
from verity.values.errors import VerityError


class Answer(StrEnum):
    """Whether the host can do it."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Ability:
    """One thing that verity may need from the host."""

    name: str
    answer: Answer
    detail: str
    hint: str = ""
    required: bool = False


def examine(*, root: Path = Path("/"), try_in: Path | None = None) -> list[Ability]:
    """Everything that ``verity doctor`` says. ``try_in`` is a directory to try fs-verity in."""
    abilities = [_kernel(), _verity_known(root)]
    if try_in is not None:
        abilities.append(_verity_works(try_in))
    abilities += [_bpf_lsm(root), _kfunc(root), _gate_object(), _lockdown(root), _secure_boot(root)]
    abilities.append(_level())
    return abilities


def _kernel() -> Ability:
    found = platform.uname()
    return Ability(
        name="kernel", answer=Answer.YES, detail=f"{found.system} {found.release} {found.machine}"
    )


def _read(path: Path) -> str | None:
    """The text of a small kernel file, None if it can't be read."""
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace").strip()
    except OSError:
        return None


def _verity_known(root: Path) -> Ability:
    # /sys/fs/ext4/features/verity exists exactly if ext4 is loaded and CONFIG_FS_VERITY is set.
    features = root / "sys/fs/ext4/features"
    builtin = (root / "proc/sys/fs/verity").is_dir()
    if (features / "verity").exists() or builtin:
        detail = "in this kernel" + (", with built-in signatures" if builtin else "")
        return Ability(name="fs-verity", answer=Answer.YES, detail=detail, required=True)
    if features.is_dir():
        return Ability(
            name="fs-verity",
            answer=Answer.NO,
            detail="this kernel's ext4 has no verity feature",
            hint="boot a kernel with CONFIG_FS_VERITY=y; Debian's stock kernels have it",
            required=True,
        )
    return Ability(
        name="fs-verity",
        answer=Answer.UNKNOWN,
        detail="ext4 isn't loaded, so the kernel doesn't say",
        hint="`verity doctor --try DIR` tries it in a directory",
        required=True,
    )


def _verity_works(directory: Path) -> Ability:
    name = f"fs-verity in {directory}"
    contents = b"verity doctor\n"
    path = None
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".verity-", delete=False) as file:
            path = Path(file.name)
            file.write(contents)
        with closing(open_regular(str(path))) as fd:
            kernel.enable(fd, label=str(path))
            found = kernel.measure(fd, label=str(path))
    except OSError as error:
        return Ability(
            name=name,
            answer=Answer.UNKNOWN,
            detail=(error.strerror or str(error)).lower(),
            hint="name a directory that you may write to",
            required=True,
        )
    except VerityError as error:
        return Ability(
            name=name, answer=Answer.NO, detail=error.message, hint=error.hint or "", required=True
        )
    finally:
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink()
    good = found == digest_bytes(contents)
    return Ability(
        name=name,
        answer=Answer.YES if good else Answer.NO,
        detail=f"enabled, and the kernel's digest is {'ours' if good else f'another: {found}'}",
        required=True,
    )


def _bpf_lsm(root: Path) -> Ability:
    text = _read(root / "sys/kernel/security/lsm")
    if text is None:
        return Ability(
            name="BPF LSM",
            answer=Answer.UNKNOWN,
            detail="/sys/kernel/security/lsm can't be read",
            hint="mount -t securityfs securityfs /sys/kernel/security",
        )
    active = "bpf" in text.split(",")
    return Ability(
        name="BPF LSM",
        answer=Answer.YES if active else Answer.NO,
        detail=f"active: {text}",
        hint="" if active else f"boot with lsm={text},bpf",
    )


def _kfunc(root: Path) -> Ability:
    name = "kfunc bpf_get_fsverity_digest"
    path = root / "sys/kernel/btf/vmlinux"
    try:
        with open(path, "rb") as file:
            there = b"\0bpf_get_fsverity_digest\0" in file.read()
    except OSError:
        return Ability(
            name=name,
            answer=Answer.NO,
            detail="/sys/kernel/btf/vmlinux can't be read",
            hint="the kernel needs CONFIG_DEBUG_INFO_BTF=y",
        )
    return Ability(
        name=name,
        answer=Answer.YES if there else Answer.NO,
        detail="in the kernel's BTF" if there else "not in the kernel's BTF",
        hint="" if there else "Linux 6.8 or later has it",
    )


def _gate_object() -> Ability:
    found = gate_object.find()
    if isinstance(found, gate_object.GateObject):
        return Ability(name="gate object", answer=Answer.YES, detail=str(found.path))
    return Ability(name="gate object", answer=Answer.NO, detail=found.reason, hint=found.hint)


def _lockdown(root: Path) -> Ability:
    text = _read(root / "sys/kernel/security/lockdown")
    if text is None:
        return Ability(
            name="kernel lockdown",
            answer=Answer.UNKNOWN,
            detail="/sys/kernel/security/lockdown can't be read",
            hint="mount -t securityfs securityfs /sys/kernel/security",
        )
    level = text.partition("[")[2].partition("]")[0] or text
    return Ability(
        name="kernel lockdown",
        answer=Answer.NO if level == "none" else Answer.YES,
        detail=level,
        hint="sealing sets it to integrity" if level == "none" else "",
    )


def _secure_boot(root: Path) -> Ability:
    firmware = root / "sys/firmware/efi"
    if not firmware.is_dir():
        return Ability(name="Secure Boot", answer=Answer.NO, detail="not booted by UEFI")
    variable = firmware / "efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    try:
        value = variable.read_bytes()
    except OSError:
        return Ability(
            name="Secure Boot", answer=Answer.UNKNOWN, detail="its EFI variable can't be read"
        )
    on = len(value) == 5 and value[4] == 1
    return Ability(
        name="Secure Boot", answer=Answer.YES if on else Answer.NO, detail="on" if on else "off"
    )


def _level() -> Ability:
    # Nothing loads the gate yet, whatever the host could do: no level may be claimed.
    return Ability(
        name="assurance level",
        answer=Answer.NO,
        detail="none: no gate is loaded; signatures and fs-verity tell, nothing refuses",
    )
