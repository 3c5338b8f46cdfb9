# SPDX-License-Identifier: Apache-2.0
"""Code in the kernel: modules, BPF programs, probes. Part of the area running.

- A module is judged by the file that the host has for it, of modules.dep, and by what the kernel
  says of the loaded one. That both are the same can't be asked: the kernel keeps no digest of it.
- A BPF program that could change what the kernel answers is a finding whoever has it. One that
  watches or judges must be held by a process whose program is signed; what handles packets and
  cgroups is counted only.
- Probes have no owner: any is a finding.
"""

from collections.abc import Mapping
from pathlib import Path

from verity.formats import procfs
from verity.formats.escaped import printable
from verity.formats.gate_status import GateStatus
from verity.formats.grants import Code
from verity.formats.procfs import Module
from verity.ports import bpf_programs, kernel_files
from verity.ports.bpf_programs import Program
from verity.ports.osfile import closing
from verity.values.errors import VerityError
from verity.values.findings import Link
from verity.verbs.audit_running_checks import of_processes
from verity.verbs.audit_running_code import Judge, State
from verity.verbs.audit_running_processes import Looked
from verity.verbs.audit_said import Said

_ODD = {"F": "forced in", "E": "without a signature of its own", "K": "a live patch"}
# Bits of kernel.tainted, and the letter of a loaded module that explains them.
_TAINTS = {1: "F", 3: "R", 13: "E", 15: "K"}
_TAINT_WORDS = _ODD | {"R": "forced out"}
_TRACEFS = ("sys/kernel/tracing", "sys/kernel/debug/tracing")
_SHOWN = 5


def modules(root: Path, judge: Judge, said: Said) -> None:
    """Those that are loaded, those that one list hides, and what the kernel remembers of others."""
    data = kernel_files.read(root, "proc/modules")
    if data is None:
        for check in ("running-module", "running-module-taint", "running-module-hidden"):
            said.not_applicable[check] = "this kernel takes no modules"
    else:
        loaded = procfs.parse_modules(data)
        said.counts["modules"] = len(loaded)
        _hidden(root, loaded, said)
        _judge_modules(root, loaded, judge, said)
        _tainted(root, loaded, said)


def _hidden(root: Path, loaded: tuple[Module, ...], said: Said) -> None:
    """One that is loaded or goes meanwhile is in one of the lists for a moment."""
    other = _in_sysfs(root)
    if other is None:
        said.lacks("running-module-hidden", "/sys/module", "it isn't there", "mount sysfs at /sys")
        return
    again = {
        one.name for one in procfs.parse_modules(kernel_files.read(root, "proc/modules") or b"")
    }
    first = {one.name for one in loaded}
    for name in sorted((other - first - again) | ((first & again) - other)):
        where = "/sys/module" if name in other else "/proc/modules"
        said.finds(
            "running-module-hidden",
            f"module {printable(name.encode())}",
            "a module hides from one of the kernel's lists",
            expected="in /proc/modules and in /sys/module",
            found=f"in {where} alone",
            remedy="treat this host as compromised: boot it from media that you trust",
        )


def _in_sysfs(root: Path) -> set[str] | None:
    """The loadable ones: what is built in has no state."""
    names = kernel_files.names(root, "sys/module")
    if names is None:
        return None
    return {name for name in names if (root / "sys/module" / name / "initstate").exists()}


def _judge_modules(root: Path, loaded: tuple[Module, ...], judge: Judge, said: Said) -> None:
    release = kernel_files.text(root, "proc/sys/kernel/osrelease") or "unknown"
    folder = f"lib/modules/{release.replace('/', '_')}"
    files: Mapping[str, str] = {}
    if judge.granted:
        index = f"/{folder}/modules.dep".encode()
        try:
            files = procfs.parse_dependencies(
                kernel_files.read(root, f"{folder}/modules.dep") or b""
            )
        except VerityError as error:
            said.lacks("running-module", printable(index), error.message, error.hint)
            return
    for module in loaded:
        what = f"module {printable(module.name.encode())}"
        wrong = ""
        path = f"/{folder}/{files[module.name]}".encode() if module.name in files else b""
        if judge.granted:
            try:
                wrong = _module_wrong(root, path, judge, said, what)
            except VerityError as error:
                said.lacks("running-module", what, error.message, error.hint)
                continue
        odd = [text for letter, text in _ODD.items() if letter in module.taints]
        if wrong:
            said.finds(
                "running-module",
                what,
                "code in the kernel that nobody signed",
                expected="a file of modules.dep whose digest is granted as a module",
                found=", ".join([wrong, *odd]),
                remedy="find out who loaded it, remove its file, and reboot",
                link=Link.DIGEST,
                path=path or None,
            )
        elif odd:
            said.finds(
                "running-module-taint",
                what,
                "the kernel took it and would not vouch for it",
                expected="signed by a key that the kernel knows, and not forced",
                found=", ".join(odd),
                remedy="find out who loaded it, and reboot",
            )


def _module_wrong(root: Path, path: bytes, judge: Judge, said: Said, what: str) -> str:
    """What is wrong with its file; empty if nothing is, or nothing but fs-verity is missing."""
    if not path:
        return "no file of modules.dep has this name"
    fd = kernel_files.open_program(root, path)
    if fd is None:
        return f"its file {printable(path)} is gone"
    with closing(fd):
        judged = judge.file(fd, label=printable(path))
    if not judged.flags & Code.MODULE:
        return f"{printable(path)}: {judged.found}"
    if judged.state is State.UNPROTECTED:
        unprotected(said, what, path, judged.found)
    return ""


def unprotected(said: Said, what: str, path: bytes, found: str) -> None:
    """Signed contents that anybody who may write the file can change."""
    said.finds(
        "running-unprotected",
        what,
        "the contents are signed, and whoever may write the file can change them",
        expected="fs-verity, and the digest by the kernel",
        found=f"{printable(path)}: {found}",
        remedy="`verity objects enable` or `verity enable`",
        link=Link.DIGEST,
        path=path,
    )


def _tainted(root: Path, loaded: tuple[Module, ...], said: Said) -> None:
    """What the loaded modules explain has been said with them."""
    found = kernel_files.text(root, "proc/sys/kernel/tainted")
    if found is None or not found.isdigit():
        said.lacks("running-taint", "kernel.tainted", "it can't be read")
        return
    explained = "".join(module.taints for module in loaded)
    gone = [
        _TAINT_WORDS[letter]
        for bit, letter in _TAINTS.items()
        if int(found) >> bit & 1 and letter not in explained
    ]
    if gone:
        said.finds(
            "running-taint",
            "kernel.tainted",
            "a module was in the kernel that is gone now, with whatever it left there",
            expected="no such module since the boot",
            found=f"{found}: one was {', one was '.join(gone)}",
            remedy="reboot; the kernel's log may name it",
        )


def programs(gate: GateStatus | None, judge: Judge, looked: Looked, said: Said) -> None:
    """BPF programs. The gate's are not asked for: its answer would be a denial."""
    if gate is not None and not gate.own_programs:
        for check in ("running-bpf", "running-bpf-override"):
            said.lacks(check, "BPF programs", "the gate doesn't say which are its own")
        return
    own = (gate.own_programs, gate.own_links) if gate else (frozenset[int](), frozenset[int]())
    try:
        found = bpf_programs.programs(*own)
    except VerityError as error:
        for check in ("running-bpf", "running-bpf-override"):
            if error.code == "no-bpf":
                said.not_applicable[check] = "this kernel has no BPF programs"
            else:
                said.lacks(check, "BPF programs", error.message, error.hint)
        return
    said.counts["BPF programs"] = len(found)
    if gate is not None and gate.foreign_programs:
        said.finds(
            "running-bpf-override",
            "the gate's count",
            "programs can turn what the gate refuses into a permission",
            expected="none",
            found=f"{gate.foreign_programs}, when the gate was sealed",
            remedy="reboot; find out what loads them before the gate",
        )
    for program in found:
        holders = looked.holders.get(program.id, [])
        if program.overrides:
            _bad_program("running-bpf-override", program, holders, said)
        elif program.type == "other" or all(
            pid in looked.signed for pid, _ in holders or [(0, b"")]
        ):
            continue
        elif not holders and not looked.complete:
            said.lacks(
                "running-bpf",
                f"BPF program {program.id}",
                "not every process could be looked at, so who holds it isn't known",
                "run it as root, on the host itself",
            )
        elif judge.granted:
            _bad_program("running-bpf", program, holders, said)
        else:
            said.lacks(
                "running-bpf", f"BPF program {program.id}", "there are no grants to compare with"
            )


def _bad_program(
    check: str, program: Program, holders: list[tuple[int, bytes]], said: Said
) -> None:
    by = f"held by process {of_processes(holders)}" if holders else "held by no privileged process"
    said.finds(
        check,
        f"BPF program {program.id} ({printable(program.name)})",
        "a program in the kernel that nobody signed",
        expected="none, or held by processes whose programs are signed",
        found=f"type {program.type}, loaded by uid {program.creator}, {by}",
        remedy="`bpftool prog show` tells more; end its holder or remove its pin, and reboot",
    )


def probes(root: Path, said: Said) -> None:
    """What tracefs has. A probe by a perf event is none of these: of its BPF program ``programs``
    tells, and without one it only counts and samples."""
    for name, what in (("kprobe_events", "the kernel"), ("uprobe_events", "programs")):
        data = _tracefs(root, name)
        if data is None:
            if kernel_files.names(root, _TRACEFS[0]) is None:
                said.not_applicable["running-probes"] = "this kernel has no tracing"
            else:
                hint = "mount -t tracefs tracefs /sys/kernel/tracing, and run it as root"
                said.lacks("running-probes", f"probes in {what}", "tracefs can't be read", hint)
            return
        events = [line for line in data.split(b"\n") if line]
        if events:
            shown = ", ".join(printable(event) for event in events[:_SHOWN])
            said.finds(
                "running-probes",
                f"probes in {what}",
                "whoever set them sees, and with BPF changes, what is probed",
                expected="none",
                found=f"{len(events)}: {shown}",
                remedy=f"`echo >/sys/kernel/tracing/{name}` removes those that nobody uses",
            )


def _tracefs(root: Path, name: str) -> bytes | None:
    for folder in _TRACEFS:
        try:
            data = kernel_files.read(root, f"{folder}/{name}")
        except VerityError:
            continue
        if data is not None:
            return data
    return None
