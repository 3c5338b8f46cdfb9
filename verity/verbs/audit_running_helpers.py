# SPDX-License-Identifier: Apache-2.0
"""The programs that the kernel starts by itself, as root: part of the area running.

For crashes, modules, devices, keys, the end of a control group, switching off, and foreign kinds of
programs. Where one is named and isn't there, nothing is started: that is no finding.

1. A setting is read as the kernel does. core_pattern and poweroff_cmd have arguments, of the others
   the whole text is the path, blanks and all; one that isn't absolute begins at the root.
2. What the kernel fills in itself, a place holder or the directory of who runs something, nobody
   could have signed.
3. An interpreter that binfmt_misc holds open since it was registered (flag F) can't be looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
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
    "sys/kernel/uevent_helper": "/sys/kernel/uevent_helper",
}
_BUILT_IN = {b"/sbin/request-key": "for keys", b"/sbin/bridge-stp": "for bridges"}


@dataclass(frozen=True, kw_only=True)
class _Started:
    """A program by the setting that names it. ``filled_in``: the kernel makes a part of the path
    from who crashes or runs something."""

    what: str
    path: bytes
    filled_in: bool = False


def examine(root: Path, judge: Judge, said: Said) -> None:
    """All of them."""
    number = 0
    for one in _programs(root, said):
        number += _judge(root, "running-helper", one, judge, said)
    said.counts["helpers"] = number
    _interpreters(root, judge, said)


def _programs(root: Path, said: Said) -> Iterator[_Started]:
    """Those that are named; nothing where a setting is empty."""
    pattern = _setting(root, "proc/sys/kernel/core_pattern", said)
    for word in pattern[1:].split()[:1] if pattern.startswith(b"|") else ():
        yield _Started(what="kernel.core_pattern", path=word, filled_in=b"%" in word)
    for word in _setting(root, "proc/sys/kernel/poweroff_cmd", said).split()[:1]:
        yield _Started(what="kernel.poweroff_cmd", path=word)
    for place, name in _SETTINGS.items():
        if path := _setting(root, place, said):
            yield _Started(what=name, path=path)
    for path, name in _BUILT_IN.items():
        yield _Started(what=f"the kernel's program {name}", path=path)
    mounts = procfs.parse_mounts(kernel_files.read(root, "proc/self/mountinfo") or b"")
    for mount in mounts:
        if mount.type == b"cgroup":
            place = mount.point.decode("utf-8", "surrogateescape").lstrip("/") + "/release_agent"
            if path := _setting(root, place, said):
                yield _Started(what=f"release_agent of {printable(mount.point)}", path=path)


def _setting(root: Path, place: str, said: Said) -> bytes:
    try:
        return (kernel_files.read(root, place) or b"").removesuffix(b"\n")
    except VerityError as error:
        said.lacks("running-helper", f"/{printable(place.encode())}", error.message, error.hint)
        return b""


def _judge(root: Path, check: str, one: _Started, judge: Judge, said: Said) -> int:
    """1 if there is such a program, and a finding if it isn't signed as one."""
    what, path = one.what, one.path
    if one.filled_in:
        _unsigned(check, one, "which program that is, is known only when it is started", said)
        return 1
    try:
        fd = kernel_files.open_program(root, b"/" + path.lstrip(b"/"))
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
        _unsigned(check, one, judged.found, said)
    elif judged.state is State.UNPROTECTED:
        unprotected(said, what, path, judged.found)
    return 1


def _unsigned(check: str, one: _Started, found: str, said: Said) -> None:
    said.finds(
        check,
        one.what,
        "the kernel starts, as root, what nobody signed as a program",
        expected="a digest that is granted exec or script",
        found=f"{printable(one.path)}: {found}",
        remedy="set it back to what the vendor ships, and find out who changed it",
        link=Link.DIGEST,
        path=one.path if one.path.startswith(b"/") else None,
    )


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
        state, *lines = data.split(b"\n")
        if state != b"enabled":
            continue
        what = f"binfmt_misc {printable(name.encode('utf-8', 'surrogateescape'))}"
        for line in lines:
            key, _, value = line.partition(b" ")
            if key == b"interpreter":
                one = _Started(what=what, path=value, filled_in=not value.startswith(b"/"))
                _judge(root, "running-binfmt", one, judge, said)
            elif key == b"flags:" and b"F" in value:
                # 3.
                why = "the kernel holds it open since it was registered, whatever is at its path"
                said.lacks("running-binfmt", what, why, "register it without the flag F")
