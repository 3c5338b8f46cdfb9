# SPDX-License-Identifier: Apache-2.0
"""The arming proof on code: what would run as privileged from power-on to login, as the gate would
judge it by the boot bundle that is on the disk.

It follows the same references as the audit's area code (docs/reach.md), and asks more of each file:

1. it is granted for its use by the bundle, and not only by a commit;
2. it is started as the gate allows: an interpreter by the ``#!`` of a granted script, say;
3. it has fs-verity, where this is the host that will be sealed: without it the gate has no digest;
4. a program that raises privileges is granted exactly that.

What the signed policy lets pass with a log line is counted and holds nothing up; an interpreter
that something may start by itself, and needn't, is a note. What is not
followed on purpose is a note, what could not be read is a gap.
"""

from verity.formats.dump import printable
from verity.formats.gate_status import Reason
from verity.formats.grants import Code
from verity.formats.kernel_policy import KernelPolicy
from verity.ports.rooted import Rooted
from verity.values.arming import Part
from verity.values.findings import Finding, Link, NotEvaluated, one_each
from verity.verbs import reach, reach_elevated, reach_judge, reach_sources
from verity.verbs.audit_host import AuditedHost
from verity.verbs.reach_elevated import Elevated
from verity.verbs.reach_judge import Judged, Signed
from verity.verbs.reach_values import Gap, Reached, Seen, Use

_STATED = {
    Use.STARTED: "would be started",
    Use.INTERPRETER: "would be started as the interpreter of a script",
    Use.LIBRARY: "would be loaded as a library",
    Use.MODULE: "would be loaded into the kernel",
    Use.FIRMWARE: "would be loaded as firmware",
    Use.READ: "would be read as code",
    Use.MERGED: "would be laid over the system's own files",
}
_SIGN = "sign it (`verity extension sign`, or with the system), or take it out of {who}"
_EITHER = "give it to root as a script of its own that names it in its #!, or take it out of {who}"


def examine(host: AuditedHost, policy: KernelPolicy) -> Part:
    """Judge everything that is reached; ``host.grants`` are those of the bundle alone."""
    with Rooted(host.root) as tree:
        seen = Seen(tree=tree, groups=frozenset(b"%d" % gid for gid in policy.groups))
        host.progress("following references", 0, 0)
        found = reach.follow(seen, reach_sources.references(seen))
        signed = Signed.of(host)
        findings: list[Finding] = []
        notes: list[str] = []
        observed = files = 0
        for number, judged in enumerate(reach_judge.judge(seen, found.reached, signed), 1):
            host.progress("judging reached files", number, len(found.reached))
            if isinstance(judged, Gap):
                continue
            files += 1
            reason = _reason(judged, live=host.live)
            if reason in policy.observed:
                observed += 1
            elif reason is Reason.INTERPRETER and judged.reached.optional:
                notes.append(_refused_if(judged))
            elif reason is not Reason.ALLOW:
                findings.append(_denied(judged, reason))
        findings += [_missing(one) for one in found.reached if _is_missing(one)]
        elevated = list(reach_elevated.programs(seen, signed))
        if Reason.NOT_ELEVATED not in policy.observed:
            findings += [_elevation(one) for one in elevated if not one.covered]
        return Part(
            findings=tuple(one_each(findings)),
            gaps=tuple(
                NotEvaluated(
                    check="unreadable", object=printable(gap.path), why=gap.why, hint=gap.hint
                )
                for gap in seen.gaps.values()
            ),
            notes=(*notes, *(f"not followed: {limit}" for limit in seen.limits)),
            counts={"files reached": files, "only observed": observed},
        )


def _reason(judged: Judged, *, live: bool) -> Reason:
    """What the gate would say of it, and of what has no fs-verity where that counts."""
    if judged.reason is not Reason.ALLOW:
        return judged.reason
    if live and not judged.by_kernel and judged.reached.use is not Use.READ:
        return Reason.NO_DIGEST
    return Reason.ALLOW


def _refused_if(judged: Judged) -> str:
    """What is signed, and that nothing waits for: it only must not surprise anybody."""
    path = printable(judged.reached.path)
    return (
        f"{path} is an interpreter, and is refused if it is ever started so: {judged.reached.chain}"
    )


def _denied(judged: Judged, reason: Reason) -> Finding:
    reached = judged.reached
    who = printable(reached.by[-1].who)
    remedy = _SIGN.format(who=who)
    if reason is Reason.NO_DIGEST:
        remedy = f"`verity enable {printable(reached.path)}`"
    elif reason is Reason.INTERPRETER:
        remedy = _EITHER.format(who=who)
    return Finding(
        check=reason.value,
        link=Link.DIGEST if reason is Reason.NO_DIGEST else Link.GRANTS,
        object=printable(reached.path),
        path=reached.path,
        problem=f"{_STATED[reached.use]}, and a sealed gate refuses it: {reached.chain}",
        expected=_expected(reached.use),
        found=f"digest sha256:{judged.contents.digest.hex()}, granted as {_named(judged.granted)}"
        + ("" if judged.by_kernel else ", without fs-verity"),
        remedy=remedy,
    )


def _expected(use: Use) -> str:
    code = use.code
    if use is Use.MERGED:
        return "signed contents at this path, or at the one that it gets"
    if code is None:
        return "a digest that is granted, or signed at this path"
    return f"a digest granted as {_named(code, ' or ')}, with fs-verity"


def _named(code: Code, between: str = " and ") -> str:
    return between.join(flag.name.lower() for flag in Code if flag in code and flag.name) or (
        "nothing"
    )


def _is_missing(reached: Reached) -> bool:
    return reached.located is None and not reached.optional and reached.use is not Use.CONFIGURATION


def _missing(reached: Reached) -> Finding:
    return Finding(
        check="missing",
        link=Link.FILE,
        object=printable(reached.name),
        path=reached.name if reached.name.startswith(b"/") else None,
        problem=f"{_STATED[reached.use]}, and isn't there: {reached.chain}",
        expected="a regular file",
        found="no such file",
        remedy=f"install it, or take it out of {printable(reached.by[-1].who)}",
    )


def _elevation(elevated: Elevated) -> Finding:
    entry = elevated.entry
    return Finding(
        check=Reason.NOT_ELEVATED.value,
        link=Link.GRANTS,
        object=printable(entry.path),
        path=entry.path,
        problem="it raises privileges, and a sealed gate refuses it",
        expected="an elevation that is granted for its digest",
        found=f"mode {entry.mode & 0o7777:o}, uid {entry.uid}, gid {entry.gid},"
        f" digest sha256:{elevated.contents.digest.hex()}",
        remedy="take the bits and capabilities off (chmod u-s,g-s; setcap -r), or have it signed"
        " with the system",
    )
