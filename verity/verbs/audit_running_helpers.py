# SPDX-License-Identifier: Apache-2.0
"""The programs that the kernel starts by itself, as root: part of the area running.

For crashes, modules, devices, keys, the end of a control group, switching off, and foreign kinds of
programs. Where one is named and isn't there, nothing is started: that is noted and no finding.
"""

from collections.abc import Iterator
from pathlib import Path

from verity.formats import procfs
from verity.formats.escaped import printable
from verity.formats.grants import Code
from verity.ports import kernel_files
from verity.ports.osfile import closing
from verity.values.errors import VerityError
from verity.values.findings import Link
from verity.verbs.audit_running_code import Judge, State
from verity.verbs.audit_running_kernel import unprotected
from verity.verbs.audit_said import Said

_STARTED = Code.EXEC | Code.SCRIPT
_BINFMT = "proc/sys/fs/binfmt_misc"
# Where a path is, and what it is called.
_SETTINGS = {
    "proc/sys/kernel/modprobe": "kernel.modprobe",
    "proc/sys/kernel/poweroff_cmd": "kernel.poweroff_cmd",
    "sys/kernel/uevent_helper": "/sys/kernel/uevent_helper",
}
_BUILT_IN = {b"/sbin/request-key": "for keys", b"/sbin/bridge-stp": "for bridges"}


def examine(root: Path, judge: Judge, said: Said) -> None:
    """All of them."""
    number = 0
    for what, command in _commands(root, said):
        number += _judge(root, "running-helper", what, command, judge, said)
    said.counts["helpers"] = number
    _interpreters(root, judge, said)


def _commands(root: Path, said: Said) -> Iterator[tuple[str, bytes]]:
    """What is started, with its name for people; nothing where a setting is empty."""
    pattern = _setting(root, "proc/sys/kernel/core_pattern", said)
    if pattern.startswith(b"|"):
        yield "kernel.core_pattern", pattern[1:]
    for place, name in _SETTINGS.items():
        if command := _setting(root, place, said):
            yield name, command
    for path, name in _BUILT_IN.items():
        yield f"the kernel's program {name}", path
    mounts = procfs.parse_mounts(kernel_files.read(root, "proc/self/mountinfo") or b"")
    for mount in mounts:
        if mount.type == b"cgroup":
            place = mount.point.decode("utf-8", "surrogateescape").lstrip("/") + "/release_agent"
            if command := _setting(root, place, said):
                yield f"release_agent of {printable(mount.point)}", command


def _setting(root: Path, place: str, said: Said) -> bytes:
    try:
        return (kernel_files.read(root, place) or b"").strip()
    except VerityError as error:
        said.lacks("running-helper", f"/{printable(place.encode())}", error.message, error.hint)
        return b""


def _judge(root: Path, check: str, what: str, command: bytes, judge: Judge, said: Said) -> int:
    """1 if there is such a program, and a finding if it isn't signed as one."""
    path = command.split()[0] if command.split() else b""
    try:
        fd = kernel_files.open_program(root, path) if path.startswith(b"/") else None
        if fd is None:
            return 0
        with closing(fd):
            if not judge.granted:
                said.lacks(check, what, "there are no grants to compare with")
                return 1
            judged = judge.file(fd, label=printable(path))
    except VerityError as error:
        said.lacks(check, what, error.message, error.hint)
        return 1
    if not judged.flags & _STARTED:
        said.finds(
            check,
            what,
            "the kernel starts, as root, what nobody signed as a program",
            expected="a digest that is granted exec or script",
            found=f"{printable(command)}: {judged.found}",
            remedy="set it back to what the vendor ships, and find out who changed it",
            link=Link.DIGEST,
            path=path,
        )
    elif judged.state is State.UNPROTECTED:
        unprotected(said, what, path, judged.found)
    return 1


def _interpreters(root: Path, judge: Judge, said: Said) -> None:
    """Of binfmt_misc. Only where the kernel has it: looking at the place would load it."""
    known = kernel_files.text(root, "proc/filesystems") or ""
    if "binfmt_misc" not in known.split():
        said.not_applicable["running-binfmt"] = "binfmt_misc isn't in this kernel now"
        return
    try:
        names = kernel_files.names(root, _BINFMT) or []
        entries = {
            name: kernel_files.read(root, f"{_BINFMT}/{name}") or b""
            for name in names
            if name not in ("register", "status")
        }
    except VerityError as error:
        said.lacks("running-binfmt", "binfmt_misc", error.message, error.hint)
        return
    for name, data in entries.items():
        lines = data.split(b"\n")
        for line in lines:
            if lines[0] == b"enabled" and line.startswith(b"interpreter "):
                what = f"binfmt_misc {printable(name.encode('utf-8', 'surrogateescape'))}"
                _judge(
                    root, "running-binfmt", what, line.removeprefix(b"interpreter "), judge, said
                )
