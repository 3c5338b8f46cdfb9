# SPDX-License-Identifier: Apache-2.0
"""Area etc of an audit: /etc three ways, the vendor's default, what is signed, what is there.

Asks what `verity etc status` asks, and says more of it: whether the intent is signed and current,
which class each file has, and how bad each difference is. A host that never signed its /etc is
asked nothing here; one that did, and whose intent is gone, has a finding.

What it does not do: look into files that change by themselves (that is the area written), and
change anything.
"""

import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from verity.formats import policy_gate
from verity.formats.etc_rules import FileClass
from verity.formats.gate_status import Reason
from verity.formats.grants import Role
from verity.formats.kernel_guarded import GuardedClass
from verity.formats.kernel_policy import Mode
from verity.ports import places
from verity.ports.floors import FLOORS
from verity.ports.folder import Folder
from verity.trust.trusted import TrustedSet
from verity.values.audit import Area, AreaResult, Check, Covered, Severity
from verity.values.errors import ContentError, HostError, VerityError
from verity.values.findings import Finding, Link, NotEvaluated
from verity.verbs import audit_owner, etc_intent, etc_protect, etc_status, serial_floors, signed
from verity.verbs.audit_host import AuditedHost
from verity.verbs.etc_compare import Change, Difference
from verity.verbs.etc_intent import Host, Intent
from verity.verbs.etc_status import Seen
from verity.verbs.serial_floors import HostState


def _check(name: str, severity: Severity, title: str) -> Check:
    return Check(id=f"etc-{name}", area=Area.ETC, severity=severity, title=title)


INTENT = _check("intent", Severity.CRITICAL, "what /etc should be is signed by its owner")
FLOOR = _check("floor", Severity.HIGH, "the signed /etc was not rolled back")
TIME = _check("time", Severity.LOW, "the signature over /etc is neither expired nor of the future")
PENDING = _check("pending", Severity.HIGH, "no change of /etc has begun and not ended")
CONTENT = _check("content", Severity.CRITICAL, "files of /etc hold what was signed")
ADDED = _check("added", Severity.CRITICAL, "/etc holds no file that should be signed and isn't")
MISSING = _check("missing", Severity.HIGH, "what was signed in /etc is there")
WRITABLE = _check("writable", Severity.HIGH, "nobody but who was signed for can write to /etc")
METADATA = _check("metadata", Severity.MEDIUM, "files of /etc have the signed mode, owner, xattrs")
LOOSE = _check("loose", Severity.HIGH, "files that change by themselves let no others in")
VERITY = _check("verity", Severity.HIGH, "files that a gate asks for have fs-verity")

CHECKS = (
    INTENT,
    FLOOR,
    TIME,
    PENDING,
    CONTENT,
    ADDED,
    MISSING,
    WRITABLE,
    METADATA,
    LOOSE,
    VERITY,
)

_SIGN = "`verity etc sign --stream NAME --serial auto` signs it as it is (docs/guides/etc.md)"
_FILES = (CONTENT, ADDED, MISSING, WRITABLE, METADATA, LOOSE, VERITY)


def examine(host: AuditedHost) -> AreaResult:
    """Ask all of it.

    1. The host has a signed /etc, or never had one.
    2. The intent verifies by the owner's keys.
    3. Its serial, its time, and that no apply is pending.
    4. Each file.
    """
    # 1. A signed /etc.
    there: Host | None = None
    try:
        there = Host.at(host.root, None)
        if not there.state.serials():
            return _never_signed(host)
    except VerityError as error:
        return _stopped(error, str(host.root if there is None else there.state.path))
    # 2. The intent.
    try:
        trusted = audit_owner.etc_keys(host)
        intent = host.etc_intent
    except VerityError as error:
        return _stopped(audit_owner.sure(host, error), str(there.state.path))
    # 3. Serial and time.
    findings, gaps, notes = _of_intent(host, there, intent, trusted)
    # 4. Files.
    try:
        seen = etc_status.look(there, intent, None)
        findings += _of_files(there, intent, seen)
    except VerityError as error:
        gaps += [_gap(check, error, "/etc") for check in _FILES]
        return _result(findings, gaps, notes)
    gaps += [replace(etc_status.not_evaluated(gap), check=CONTENT.id) for gap in seen.found.gaps]
    return replace(
        _result(findings, gaps, notes), counts=_counts(intent, seen), coverage=_coverage(seen)
    )


def _result(
    findings: list[Finding], gaps: list[NotEvaluated], notes: tuple[str, ...]
) -> AreaResult:
    return AreaResult(
        area=Area.ETC, findings=tuple(findings), not_evaluated=tuple(gaps), notes=notes
    )


def _never_signed(host: AuditedHost) -> AreaResult:
    """Not applicable, unless a floor, a grant or the policy tells that there was a signed /etc."""
    traces = [f"grants of the stream {one.stream}" for one in host.grants if one.role is Role.ETC]
    if _asks_for_etc(host):
        traces.append("a policy that seals, and denies what isn't signed in /etc")
    try:
        with Folder.opened(host.root, FLOORS) as folder:
            begin = "user.etc."
            names = (name for name in sorted(folder.names()) if name.startswith(begin))
            traces += [f"a floor of the stream {name.removeprefix(begin)}" for name in names]
    except HostError as error:
        if error.code != "not-found":
            return _stopped(error, str(host.root / FLOORS))
    if traces:
        gone = Finding(
            check=INTENT.id,
            link=Link.STATEMENT,
            object=str(host.root / places.STATE),
            problem="this host had a signed /etc, and what was signed is gone",
            expected=f"what is signed, since there is {', '.join(traces)}",
            found="nothing signed",
            remedy=f"restore {places.STATE} and {places.STORE} from a backup; or {_SIGN}",
        )
        return _result([gone], [], ())
    why = f"/etc was never signed on this host; {_SIGN}"
    return AreaResult(area=Area.ETC, not_applicable={check.id: why for check in CHECKS})


def _asks_for_etc(host: AuditedHost) -> bool:
    """Whether the gate of this host's policy would refuse a /etc that nobody signed."""
    if host.policy is None:
        return False
    told = policy_gate.project(host.policy.policy)
    return (
        told.mode is Mode.SEALED
        and Reason.CONFIG_UNSIGNED not in told.observed
        and any(
            one.file_class is GuardedClass.SIGNED and one.path.startswith(b"/etc/")
            for one in told.guarded
        )
    )


def _stopped(error: VerityError, label: str) -> AreaResult:
    """Without an intent nothing else can be asked: a finding if it is bad or its name is gone."""
    rest = HostError("no-intent", "there is no verified intent to compare with", hint=error.hint)
    gaps = [_gap(check, rest, "/etc") for check in CHECKS if check is not INTENT]
    if isinstance(error, ContentError) or error.code == "no-intent":
        finding = Finding(
            check=INTENT.id,
            link=signed.LINK_OF.get(error.code, Link.STATEMENT),
            object=label,
            problem=error.message,
            expected="an intent that the owner's role etc signed, whole",
            found=error.code,
            remedy=error.hint or _SIGN,
        )
        return _result([finding], gaps, ())
    return _result([], [_gap(INTENT, error, label), *gaps], ())


def _of_intent(
    host: AuditedHost, there: Host, intent: Intent, trusted: TrustedSet
) -> tuple[list[Finding], list[NotEvaluated], tuple[str, ...]]:
    """Serial, time, and what has begun and not ended."""
    findings: list[Finding] = []
    gaps: list[NotEvaluated] = []
    notes = [
        f"/etc: signed by {', '.join(intent.signers)}, stream {intent.stream} serial"
        f" {intent.serial}",
        *intent.manifest.source.skipped,
    ]
    source, now = intent.manifest.source, host.now
    try:
        now = etc_intent.reference_time(there, trusted, now, clock=host.clock)
        state = HostState.at(host.root)
        judged = serial_floors.judge(state, source, trusted, now=now, clock=host.clock)
        now = judged.time
        findings += [_as(FLOOR, one, expected="no serial below a floor") for one in judged.findings]
        gaps += [replace(one, check=FLOOR.id) for one in judged.not_evaluated]
        notes += judged.notes
    except VerityError as error:
        gaps.append(_gap(FLOOR, error, f"stream {intent.stream}"))
    times = (*signed.expiry(source, now, "/etc"), *signed.ahead(source, host.clock, "/etc"))
    remedy = "`verity etc sign` signs it anew; what is there stays in force"
    findings += [replace(one, check=TIME.id, remedy=remedy) for one in times]
    try:
        findings += [replace(one, check=PENDING.id) for one in etc_status.pending(there)]
    except ContentError as error:
        damaged = Finding(
            check=PENDING.id,
            link=Link.FILE,
            object=str(there.state.path),
            problem=error.message,
            remedy=error.hint or "",
        )
        findings.append(_as(PENDING, damaged, expected="no journal, or one that can be read"))
    except HostError as error:
        gaps.append(_gap(PENDING, error, str(there.state.path)))
    return findings, gaps, tuple(notes)


def _of_files(there: Host, intent: Intent, seen: Seen) -> Iterator[Finding]:
    for one in seen.differences:
        yield replace(etc_status.difference(one, intent), check=_judged(one).id)
    for finding in etc_status.loose(seen.found, intent):
        yield replace(finding, check=LOOSE.id)
    for finding in etc_protect.findings(there.root, intent, seen.found):
        yield replace(finding, check=VERITY.id)


def _judged(one: Difference) -> Check:
    """Which check a difference fails: the gravest."""
    if one.change is Change.ADDED:
        return ADDED
    if one.signed is None or one.now is None:
        return MISSING
    if {"content", "type", "target", "device"} & set(one.what):
        return CONTENT
    others = stat.S_IWGRP | stat.S_IWOTH
    more = one.now.mode & ~one.signed.mode & others
    acl = b"system.posix_acl_access"
    acls = [dict(entry.xattrs).get(acl) for entry in (one.signed, one.now)]
    if more or one.now.uid != one.signed.uid or acls[0] != acls[1]:
        return WRITABLE
    if one.now.gid != one.signed.gid and one.now.mode & stat.S_IWGRP:
        return WRITABLE
    return METADATA


def _counts(intent: Intent, seen: Seen) -> dict[str, int]:
    classes = Counter(other.rule.file_class for other in seen.found.others.values())
    ours = {} if seen.from_vendor is None else {"unlike the vendor's": len(seen.from_vendor)}
    return {
        "signed": len(intent.entries),
        **ours,
        **{one.value: classes[one] for one in FileClass if one is not FileClass.SIGNED},
    }


def _coverage(seen: Seen) -> dict[Covered, int]:
    """How it is known what each regular file holds."""
    found = Counter(
        Covered.HASHED if path in seen.found.unprotected else Covered.MEASURED
        for path, entry in seen.found.entries.items()
        if entry.is_regular
    )
    for other in seen.found.others.values():
        if other.entry.is_regular:
            ignored = other.rule.file_class is FileClass.IGNORED
            found[Covered.IGNORED if ignored else Covered.METADATA] += 1
    found[Covered.UNVERIFIABLE] += len(seen.found.gaps)
    return {how: number for how, number in found.items() if number}


def _as(check: Check, finding: Finding, *, expected: str) -> Finding:
    """A finding of another verb's as one of ours, with what it leaves open filled in."""
    return replace(
        finding,
        check=check.id,
        expected=finding.expected or expected,
        found=finding.found or finding.problem,
        remedy=finding.remedy or _SIGN,
    )


def _gap(check: Check, error: VerityError, label: str) -> NotEvaluated:
    return NotEvaluated(check=check.id, object=label, why=error.message, hint=error.hint or "")
