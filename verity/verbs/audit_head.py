# SPDX-License-Identifier: Apache-2.0
"""The head of an audit: who is asked, in which state that host is, and what its answer is worth.

``enforced`` is said of one case only: the gate of the running kernel is sealed, the kernel is
locked down, nothing is seen that goes past the gate (another BPF program that can change answers,
the switch of ftrace, a policy that only observes), and the auditor's own files are signed and have
fs-verity; then nobody without a signing key could have changed what ran here since. In any other
case a host asserts, and whoever is root on it may lie. No level above B1 is claimed, because
nothing here could prove one; B1 is the gate's own word (ADR 53).
"""

import os
from dataclasses import dataclass
from pathlib import Path

from verity import __version__
from verity.formats import dump
from verity.formats.escaped import escape
from verity.ports import gate_files, tool
from verity.ports import host as host_port
from verity.ports.osfile import check_below, read_file
from verity.ports.signed_tree import Lines, lines_of
from verity.values.audit import Head
from verity.values.errors import HostError, VerityError
from verity.verbs import audit_residuals
from verity.verbs.audit_host import AuditedHost

OFFLINE = "offline"
_RELEASES = ("etc/os-release", "usr/lib/os-release")
_TAINTED = "proc/sys/kernel/tainted"
_FTRACE = "proc/sys/kernel/ftrace_enabled"
_MAX_RELEASE = 1 << 16
# Documentation/admin-guide/tainted-kernels.rst: what can have changed the kernel, by bit.
_TAINTS = {
    0: "a proprietary module was loaded",
    1: "a module was loaded by force",
    3: "a module was unloaded by force",
    6: "a program said that it taints the kernel",
    12: "a module from outside of the kernel was loaded",
    13: "an unsigned module was loaded",
    15: "the kernel was patched while it ran",
}


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What ``lockdown status`` says of the running kernel."""

    state: str
    level: str
    passed: tuple[str, ...] = ()
    """What is seen to go past the gate."""


def make(host: AuditedHost) -> Head:
    """Ask the host who it is; what can't be asked is empty or said to be unknown."""
    gate = _gate(host)
    digest, verified = _tool(host)
    roots = host.roots
    return Head(
        host_id=_id(host),
        host_name=_name(host),
        root=str(host.root),
        begun=host.clock,
        boot_id=_boot_id(host),
        kernel=_text(host, "proc/sys/kernel/osrelease"),
        system=_system(host),
        state=gate.state,
        level=gate.level,
        taints=_taints(host, gate),
        tool_version=__version__,
        tool_digest=digest,
        tool_verified=verified,
        enforced=host.live and gate.level != "" and not gate.passed and verified is True,
        roots=() if roots is None else roots.names,
        roots_given=roots is not None and roots.given,
        deep=host.deep,
        residuals=audit_residuals.of(host, gate.level),
    )


def _gate(host: AuditedHost) -> Gate:
    if not host.live:
        return Gate(state=OFFLINE, level="")
    from verity.verbs import lockdown  # here: of a tree no gate is asked
    from verity.verbs.audit_posture_gate import LETS_THROUGH

    found = lockdown.status(host.root)
    sealed = found.level != "none"
    foreign = 0 if found.gate is None else found.gate.foreign_programs
    passed = []
    if foreign:
        passed.append(f"{foreign} BPF programs that can turn answers of hooks round")
    if sealed and found.gate is not None and found.gate.observes & LETS_THROUGH:
        passed.append("the gate's policy only observes what nobody signed")
    if sealed and _text(host, _FTRACE) != "1":
        passed.append("the kernel doesn't call the gate: kernel.ftrace_enabled")
    return Gate(
        # What is sealed by a unit came after whatever had started before.
        state="sealed-late" if sealed and found.level == "B0" else found.state,
        level=found.level if sealed else "",
        passed=tuple(passed),
    )


def _taints(host: AuditedHost, gate: Gate) -> tuple[str, ...]:
    if not host.live:
        return ()
    found = []
    if gate.state == "sealed-weak":
        found.append("sealed-weak: the kernel isn't locked down")
    found += gate.passed
    text = _text(host, _TAINTED)
    if not text.isascii() or not text.isdigit():
        found.append("whether the kernel is tainted can't be read")
        return tuple(found)
    bits = int(text)
    found += [f"kernel: {said}" for bit, said in _TAINTS.items() if bits >> bit & 1]
    return tuple(found)


def _tool(host: AuditedHost) -> tuple[str, bool | None]:
    """The digest of the auditor's own files, and whether what runs here is signed."""
    try:
        found = tool.files()
    except HostError:
        return "", None
    digest = tool.digest(found)
    # Of a tree that lies here the documents are another machine's: they say nothing of this one.
    if not host.live or host.commit is None:
        return digest, None
    if not all(one.by_kernel for one in found):
        return digest, False
    lines = lines_of(host.commit.manifest.data)
    loose = {
        one.digest
        for one in found
        if one.digest not in host.code and not _is_at(lines, one.path, one.digest)
    }
    # A file may be another path's: of a checkout, or by a link.
    return digest, not loose or loose <= dump.digests(host.commit.manifest.data)


def _is_at(lines: Lines, path: str, digest: bytes) -> bool:
    """Whether the manifest has this digest at this path."""
    line = lines.find(escape(os.fsencode(path)))
    return line is not None and lines.entry(line).digest == digest


def _id(host: AuditedHost) -> str:
    try:
        check_below(host.root, host_port.MACHINE_ID)
        return host_port.host_id(host.root)
    except VerityError:
        return ""


def _name(host: AuditedHost) -> str:
    try:
        check_below(host.root, host_port.HOSTNAME)
    except VerityError:
        return "unnamed"
    return host_port.host_name(host.root)


def _boot_id(host: AuditedHost) -> str:
    try:
        return gate_files.boot_id(host.root)
    except VerityError:
        return ""


def _text(host: AuditedHost, name: str) -> str:
    try:
        check_below(host.root, Path(name))
    except VerityError:
        return ""
    return gate_files.small_text(host.root / name) or ""


def _system(host: AuditedHost) -> str:
    """PRETTY_NAME of os-release(5)."""
    for name in _RELEASES:
        try:
            check_below(host.root, Path(name))
            text = read_file(host.root / name, max_size=_MAX_RELEASE).decode("utf-8", "replace")
        except VerityError:
            continue
        for line in text.splitlines():
            key, _, value = line.partition("=")
            if key == "PRETTY_NAME":
                return value.strip().strip("\"'")
    return ""
