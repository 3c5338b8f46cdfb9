# SPDX-License-Identifier: Apache-2.0
"""The arming proof's preconditions: what has to be so before a seal is worth trying.

1. The kernel has what the gate needs, and something loads and seals the gate at boot, and says
   that the boot came up.
2. The boot bundle verifies from the host's pins, nothing in it has expired, and the installed
   policy verifies. That both are one isn't asked: a cut trial leaves the installed one ahead.
3. The loader and the gate that the boot uses are this installation's, and signed.
4. There is room for what a boot writes down before it seals.
5. Somebody can unlock: a scope may be unlocked, enough owners have keys of the role unlock, and the
   gate gets the host's id, which a token must name.

Without 2 nothing else of the proof can be asked.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from verity.formats import kernel_keys
from verity.formats.grants import Code, Party, Role
from verity.formats.kernel_policy import KernelPolicy
from verity.formats.records import RecordKind
from verity.formats.statement import format_time
from verity.ports import gate_object, places, tree
from verity.ports.osfile import closing, read_file, translate_oserror
from verity.values.arming import Part
from verity.values.errors import ContentError, HostError, VerityError
from verity.values.findings import Finding, Link, NotEvaluated
from verity.verbs import gate_abilities, initramfs_trust
from verity.verbs.ability import Ability, Answer
from verity.verbs.audit_host import AuditedHost

LOADER = Path("usr/lib/verity/verity-load")
OBJECT = Path("usr/lib/verity/gate.bpf.o")
_NO_GATE = "no boot starts it, so no gate is loaded and sealed"
UNITS = {
    "verity-gate.service": _NO_GATE,
    "verity-seal.service": _NO_GATE,
    "verity-confirm.service": "no boot starts it, so no trial is known to have come up",
}
_PROVISIONED = {
    f"usr/lib/systemd/system/{name}.service" for name in ("cloud-init", "cloud-init-main")
}
"""Who has one of these is sealed by verity-seal-late.service, as its conditions have it."""
STATE = Path("var/lib/verity")
ROOM = 16 << 20
"""Bytes that have to be free where a boot keeps its state."""
SOON_S = 30 * 86400
_MOST_OBJECT = 64 << 20
_MOST_ID = 4096
_ID = re.compile(rb"[0-9a-f]{64}\n")
_MAKE_ID = "`verity lockdown init` makes it"
_WANTS = ("sysinit.target.wants", "multi-user.target.wants", "basic.target.wants")
_NOT_NEEDED = {"gate", "assurance level", "kernel lockdown"}


def abilities(host: AuditedHost) -> Part:
    """1. What the kernel has, where this is the running host."""
    if not host.live:
        return Part(notes=("a tree, and not the running host: its kernel wasn't asked",))
    asked = [one for one in gate_abilities.examine(host.root) if one.name not in _NOT_NEEDED]
    return Part(
        findings=tuple(_lacks(one) for one in asked if one.answer is Answer.NO),
        gaps=tuple(
            NotEvaluated(check="host", object=one.name, why=one.detail, hint=one.hint)
            for one in asked
            if one.answer is Answer.UNKNOWN
        ),
    )


def _lacks(one: Ability) -> Finding:
    return Finding(
        check="host",
        link=Link.VERDICT,
        object=one.name,
        problem=f"the gate needs it, and this host hasn't got it: {one.detail}",
        expected="there",
        found="not there",
        remedy=one.hint,
    )


def bundle(host: AuditedHost) -> Part:
    """2. The documents of the next boot."""
    label = f"/{places.BUNDLE}"
    error = host.refused.get("bundle")
    if isinstance(error, HostError):
        return Part(gaps=(_gap(label, error),))
    if error is not None:
        return Part(findings=(_bad(label, error),))
    if host.bundle is None:
        return Part(findings=(_bad(label, HostError("no-bundle", "there is none")),))
    findings = []
    notes = []
    for part in host.bundle.parts:
        named = f"{label}: {part.kind.name.lower()} {part.stream}".rstrip()
        if part.expires is not None and host.now >= part.expires:
            when = format_time(part.expires)
            findings.append(_bad(named, ContentError("expired", f"it expired at {when}")))
        elif part.expires is not None and host.now + SOON_S >= part.expires:
            notes.append(f"{named} expires at {format_time(part.expires)}: have it signed anew")
    problem = host.refused.get("policy")
    if problem is not None:
        findings.append(_bad(f"/{places.POLICY}", problem))
    return Part(findings=tuple(findings), notes=tuple(notes))


def _bad(label: str, error: VerityError) -> Finding:
    return Finding(
        check=error.code,
        link=Link.SIGNATURE,
        object=label,
        problem=f"the gate would not be loaded with it: {error.message.removeprefix(f'{label}: ')}",
        expected="documents that verify from the host's pins",
        remedy=error.hint or "`verity lockdown init` makes it, `verity lockdown bundle` anew",
    )


def own_files(host: AuditedHost) -> Part:
    """1 and 3. What the boot loads the gate with, and what starts it."""
    findings: list[Finding] = []
    gaps: list[NotEvaluated] = []
    late = any(os.path.lexists(host.root / path) for path in _PROVISIONED)
    for name, problem in UNITS.items():
        unit = "verity-seal-late.service" if late and "seal" in name else name
        folders = [host.root / "etc/systemd/system" / folder for folder in _WANTS]
        if not any(os.path.lexists(folder / unit) for folder in folders):
            findings.append(
                Finding(
                    check="not-enabled",
                    link=Link.VERDICT,
                    object=unit,
                    problem=problem,
                    expected="enabled",
                    found="not enabled",
                    remedy=f"systemctl enable {unit}",
                )
            )
    for place, found in ((LOADER, gate_object.find_loader()), (OBJECT, gate_object.find())):
        label = f"/{place}"
        try:
            with closing(os.open(host.root / place, os.O_RDONLY | os.O_CLOEXEC)) as fd:
                digest = tree.measured(fd, os.fsencode(label)).digest
        except OSError as error:
            gaps.append(_gap(label, translate_oserror(error, label)))
            continue
        if place == LOADER and not host.code.get(digest, Code(0)) & Code.EXEC:
            findings.append(_own(label, "nobody signed it as a program"))
        ours = None if isinstance(found, gate_object.Missing) else found.path
        if host.live and ours is not None and not _same(host.root / place, ours):
            findings.append(_own(label, f"it is another one than {ours}"))
    return Part(findings=tuple(findings), gaps=tuple(gaps))


def _same(one: Path, other: Path) -> bool:
    return read_file(one, max_size=_MOST_OBJECT) == read_file(other, max_size=_MOST_OBJECT)


def _own(label: str, why: str) -> Finding:
    return Finding(
        check="own-files",
        link=Link.FILE,
        object=label,
        problem=f"every boot relies on it: {why}",
        expected="what this version of verity brings, signed",
        found="something else",
        remedy="install verity again, and have it signed with the system",
    )


def room(host: AuditedHost) -> Part:
    """4. Where a trial is written down before it seals."""
    place = host.root / STATE
    try:
        found = os.statvfs(place)
    except OSError as error:
        return Part(gaps=(_gap(f"/{STATE}", translate_oserror(error, f"/{STATE}")),))
    free = found.f_bavail * found.f_frsize
    if free >= ROOM and (found.f_favail > 0 or found.f_files == 0):
        return Part()
    return Part(
        findings=(
            Finding(
                check="no-room",
                link=Link.VERDICT,
                object=f"/{STATE}",
                problem="a boot that can't write down its trial doesn't seal, and no unlock could"
                " be written into the ledger",
                expected=f"{ROOM >> 20} MiB and free inodes",
                found=f"{free >> 10} KiB, {found.f_favail} inodes",
                remedy="free some space",
            ),
        )
    )


def unlock(host: AuditedHost, policy: KernelPolicy) -> Part:
    """5. Whether there is a way back in that needs no reboot."""
    findings = (*_unlock_findings(host, policy), *_host_id_findings(host))
    return Part(findings=findings)


def _unlock_findings(host: AuditedHost, policy: KernelPolicy) -> Iterator[Finding]:
    if not policy.unlock:
        yield _no_way("the policy", "no scope may be unlocked", "add [[unlock]] lines to it")
    for item in () if host.bundle is None else host.bundle.labelled:
        if item.fragment.kind is not RecordKind.KEYS:
            continue
        keys = kernel_keys.parse_keys(item.fragment.blob)
        if keys.party is not Party.USER:
            continue
        owners = {one.owner for one in keys.keys if one.role is Role.UNLOCK}
        need = keys.thresholds.get(Role.UNLOCK, 0)
        most = max((limit.owners for limit in policy.unlock), default=0)
        if not need or len(owners) < max(need, 1):
            yield _no_way(
                "the user's keys",
                f"{len(owners)} owners have keys of the role unlock, {max(need, 1)} must sign",
                "`verity keyring add-key` adds one",
            )
        elif len(owners) < most:
            yield _no_way(
                "the policy",
                f"a scope wants {most} owners, and {len(owners)} have keys of the role unlock",
                "`verity keyring add-key` adds one, or lower the number in [[unlock]]",
            )


def _host_id_findings(host: AuditedHost) -> Iterator[Finding]:
    """Without an id the gate takes no token; with one that is none the loader loads no gate."""
    label = f"/{places.HOST_ID}"
    try:
        data = read_file(host.root / places.HOST_ID, max_size=_MOST_ID)
    except HostError as error:
        yield _no_way(label, error.message.rpartition(": ")[2], _MAKE_ID)
    else:
        if not _ID.fullmatch(data) or not data.strip(b"0\n"):
            yield _no_way(label, "it isn't 64 lower-case hex digits and a line feed", _MAKE_ID)
    for carried in initramfs_trust.read(host.root):
        if carried.pins and not carried.host_id:
            why = "it loads the gate (level B1), and has no id of the host"
            yield _no_way(str(carried.path), why, "make the initramfs anew behind `lockdown init`")


def _no_way(what: str, why: str, remedy: str) -> Finding:
    return Finding(
        check="no-unlock",
        link=Link.KEY,
        object=what,
        problem=f"{why}: once sealed, nobody could let anything in but by a reboot",
        expected="enough owners with keys of the role unlock, a scope that may be unlocked, and the"
        " host's id",
        remedy=remedy,
    )


def _gap(label: str, error: VerityError) -> NotEvaluated:
    return NotEvaluated(
        check=error.code,
        object=label,
        why=error.message.removeprefix(f"{label}: "),
        hint=error.hint or "",
    )
