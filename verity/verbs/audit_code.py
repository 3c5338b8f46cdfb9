# SPDX-License-Identifier: Apache-2.0
"""The audit's area code: what is there and shouldn't be, found by following the real references.

Everything that units, jobs, logins, udev and the kernel start, load or read for somebody privileged
(``reach``), and every program that raises privileges, must be signed for that very use. A finding
names the file, and the shortest way that leads to it.

- What the signed manifest has at a path, and has otherwise, is left to the area files where that is
  asked, too: one cause is one finding.
- What is not there is a low finding where the boot leads to it, and none where a unit says that it
  may be missing, or nothing but a request leads there.
- What can't be read, and what is deliberately not followed on a way that was met, is not evaluated.

Without verified grants nothing of this can be said.
"""

from collections.abc import Iterator
from stat import filemode

from verity.formats.dump import printable
from verity.formats.gate_status import Reason
from verity.formats.grants import Code
from verity.formats.policy import Group
from verity.ports.rooted import Rooted
from verity.values.audit import Area, AreaResult, Check, Covered, Severity
from verity.values.findings import Finding, Link, NotEvaluated, one_each
from verity.verbs import reach, reach_elevated, reach_judge, reach_sources
from verity.verbs.audit_host import AuditedHost
from verity.verbs.audit_overlays import Overlays
from verity.verbs.reach_elevated import Elevated
from verity.verbs.reach_judge import Judged, Signed
from verity.verbs.reach_values import Gap, Reached, Seen, Use

UNSIGNED = Check(
    id="unsigned-reached",
    area=Area.CODE,
    severity=Severity.CRITICAL,
    title="all code that privileged units, jobs, logins and the kernel reach is signed for its use",
)
ELEVATION = Check(
    id="unsigned-elevation",
    area=Area.CODE,
    severity=Severity.CRITICAL,
    title="every program that raises privileges is signed for exactly that",
)
NO_VERITY = Check(
    id="reached-no-verity",
    area=Area.CODE,
    severity=Severity.HIGH,
    title="all code that is reached has fs-verity, so that it stays as it is signed",
)
MISSING = Check(
    id="reached-missing",
    area=Area.CODE,
    severity=Severity.LOW,
    title="what the boot leads to is there",
)
UNREADABLE = Check(
    id="reached-unreadable",
    area=Area.CODE,
    severity=Severity.MEDIUM,
    title="everything on the ways to privileged code could be read",
)
NOT_FOLLOWED = Check(
    id="not-followed",
    area=Area.CODE,
    severity=Severity.MEDIUM,
    title="every way to privileged code could be followed",
)
CHECKS: tuple[Check, ...] = (UNSIGNED, ELEVATION, NO_VERITY, MISSING, UNREADABLE, NOT_FOLLOWED)

_SIGN = "have it signed for this use with the commit or as an extension, or take it out of {who}"
_MERGED = (
    "have it signed where it lies, or where it gets, with the commit or as an extension; or unmerge"
    " and remove it"
)
_STATED = {
    Use.STARTED: "started",
    Use.INTERPRETER: "started as the interpreter of a script",
    Use.LIBRARY: "loaded as a library",
    Use.MODULE: "loaded into the kernel",
    Use.FIRMWARE: "loaded as firmware",
    Use.READ: "read as code",
    Use.MERGED: "laid over the system's own files",
}
# Signed, but started otherwise than the gate allows: for the proof before arming, not a finding.
_GATES_OWN = {Reason.ALLOW, Reason.INTERPRETER}


def examine(host: AuditedHost) -> AreaResult:
    """Follow all references and judge what they reach."""
    if not host.grants:
        return AreaResult(
            area=Area.CODE,
            not_evaluated=tuple(
                NotEvaluated(
                    check=check.id,
                    object="privileged code",
                    why="there are no verified grants: who signed what is not known",
                    hint="the area trust says what is missing of them",
                )
                for check in CHECKS
            ),
        )
    with Rooted(host.root) as tree:
        seen = Seen(tree=tree, groups=_groups(host))
        host.progress("following references", 0, 0)
        found = reach.follow(seen, reach_sources.references(seen))
        signed, overlays = Signed.of(host), Overlays(host.root)
        findings: list[Finding] = []
        coverage = {Covered.MEASURED: 0, Covered.HASHED: 0}
        left: set[bytes] = set()
        paths: set[bytes] = set()
        for number, judged in enumerate(reach_judge.judge(seen, found.reached, signed), 1):
            host.progress("judging reached files", number, len(found.reached))
            if isinstance(judged, Gap):
                continue
            path = judged.reached.path
            if path not in paths:
                paths.add(path)
                coverage[Covered.MEASURED if judged.by_kernel else Covered.HASHED] += 1
            if _is_left_to_files(host, judged):
                left.add(path)
                continue
            findings += _of_judged(host, judged, overlays)
        findings += [_missing(one) for one in found.reached if _is_missing(host, signed, one)]
        elevated = list(reach_elevated.programs(seen, signed))
        findings += [_elevation(one) for one in elevated if not _is_fine(host, one)]
        return AreaResult(
            area=Area.CODE,
            findings=tuple(one_each(findings)),
            not_evaluated=(
                *_gaps(seen),
                *_limits(seen),
                *overlays.gaps(NO_VERITY.id),
                *host.without_var(UNREADABLE.id),
            ),
            counts={
                **seen.counts,
                "reached files": len(paths),
                "programs that raise privileges": len(elevated),
                "left to the area files": len(left),
            },
            coverage=coverage,
        )


def _groups(host: AuditedHost) -> frozenset[bytes]:
    """The groups, by number, that the policy counts as privileged."""
    if host.policy is None:
        return frozenset()
    return frozenset(str(one.gid).encode() for one in host.policy.policy.of(Group))


def _is_left_to_files(host: AuditedHost, judged: Judged) -> bool:
    """Whether the manifest has other contents at this path."""
    entry = judged.in_manifest
    return (
        Area.FILES in host.areas
        and judged.reason is not Reason.ALLOW
        and entry is not None
        and entry.path == judged.reached.path
        and entry.digest != judged.contents.digest
    )


def _of_judged(host: AuditedHost, judged: Judged, overlays: Overlays) -> Iterator[Finding]:
    reached = judged.reached
    who = printable(reached.by[-1].who)
    if judged.reason not in _GATES_OWN:
        yield Finding(
            check=UNSIGNED.id,
            link=Link.GRANTS,
            object=printable(reached.path),
            path=reached.path,
            problem=f"{_unsigned(reached.use)}: {reached.chain}",
            expected=_expected(reached.use),
            found=f"digest sha256:{judged.contents.digest.hex()}, {_granted(judged.granted)}",
            remedy=_MERGED if reached.use is Use.MERGED else _SIGN.format(who=who),
        )
    elif _must_have_verity(host, judged) and not overlays.takes(reached.path):
        yield Finding(
            check=NO_VERITY.id,
            link=Link.DIGEST,
            object=printable(reached.path),
            path=reached.path,
            problem=f"signed and {_STATED[reached.use]}, but without fs-verity it can be changed:"
            f" {reached.chain}",
            expected="fs-verity on",
            found="fs-verity off",
            remedy="`verity enable` turns it on",
        )


def _must_have_verity(host: AuditedHost, judged: Judged) -> bool:
    """What is in no manifest is told here: an extension, say. A tree alone may be a mere copy."""
    return (
        not judged.by_kernel
        and judged.in_manifest is None
        and judged.reached.use is not Use.READ
        and (host.live or host.commit is not None)
    )


def _unsigned(use: Use) -> str:
    if use is Use.MERGED:
        return f"{_STATED[use]}, and nobody signed it for that"
    return f"{_STATED[use]} for somebody privileged, and not signed for that"


def _expected(use: Use) -> str:
    code = use.code
    if use is Use.MERGED:
        return "signed contents at this path, or at the one that it gets"
    if code is None:
        return "a digest that is granted, or signed at this path"
    return f"a digest granted as {' or '.join(_names(code))}"


def _granted(granted: Code) -> str:
    return f"granted as {' and '.join(_names(granted))}" if granted else "granted as nothing"


def _names(code: Code) -> list[str]:
    return [flag.name.lower() for flag in Code if flag in code and flag.name]


def _is_missing(host: AuditedHost, signed: Signed, reached: Reached) -> bool:
    if reached.located is not None or reached.optional or reached.use is Use.CONFIGURATION:
        return False
    entry = signed.compared(reached.path)
    return not (Area.FILES in host.areas and entry is not None and entry.path == reached.path)


def _missing(reached: Reached) -> Finding:
    return Finding(
        check=MISSING.id,
        link=Link.FILE,
        object=printable(reached.name),
        path=reached.name if reached.name.startswith(b"/") else None,
        problem=f"it is to be {_STATED[reached.use]}, and isn't there: {reached.chain}",
        expected="a regular file",
        found="no such file",
        remedy=f"install it, or take it out of {printable(reached.by[-1].who)}",
    )


def _is_fine(host: AuditedHost, elevated: Elevated) -> bool:
    """Whether it is granted; or its mode, owner or contents are a difference to the manifest."""
    entry = elevated.in_manifest
    if elevated.covered:
        return True
    if Area.FILES not in host.areas or entry is None:
        return False
    return entry.path == elevated.entry.path and entry != elevated.entry


def _elevation(elevated: Elevated) -> Finding:
    entry = elevated.entry
    powers = f"{filemode(entry.mode)}, uid {entry.uid}, gid {entry.gid}"
    if elevated.wants.capabilities:
        powers += f", capabilities {elevated.wants.capabilities:#x}"
    return Finding(
        check=ELEVATION.id,
        link=Link.GRANTS,
        object=printable(entry.path),
        path=entry.path,
        problem="a program that raises privileges, and nobody signed that",
        expected="an elevation that is granted for its digest",
        found=f"{powers}, digest sha256:{elevated.contents.digest.hex()}",
        remedy="take the bits and capabilities off (chmod, setcap -r), or have it signed with the"
        " commit",
    )


def _gaps(seen: Seen) -> Iterator[NotEvaluated]:
    for gap in seen.gaps.values():
        yield NotEvaluated(
            check=UNREADABLE.id,
            object=printable(gap.path),
            path=gap.path,
            why=gap.why,
            hint=gap.hint,
        )


def _limits(seen: Seen) -> Iterator[NotEvaluated]:
    for limit in seen.limits:
        subject, _, why = limit.partition(": ")
        yield NotEvaluated(
            check=NOT_FOLLOWED.id,
            object=subject,
            why=why or "it is too much to follow",
            hint="look at what it starts by hand",
        )
