# SPDX-License-Identifier: Apache-2.0
"""policy check: what in the drop-ins of a host can't be meant so.

It reads drop-ins, names of files, and the first bytes of programs; it decides no trust, and it
changes nothing. A line that comes with the program is for many hosts, so it may name what this one
doesn't have; a drop-in of the host's own may not.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from verity.formats import policy_gate
from verity.formats.etc_rules import FileClass, matcher
from verity.formats.policy import (
    Guard,
    Interpreter,
    InterpreterKind,
    Line,
    ModeLine,
    lower,
)
from verity.ports.scripts import Scripts, resolved
from verity.trust.policy import VerifiedPolicy
from verity.values.findings import Finding, Link, NotEvaluated, Report
from verity.verbs import policy_agree, policy_read
from verity.verbs.policy_read import Source


def check(root: Path, source: Source, signed: VerifiedPolicy | None, *, now: int) -> Report:
    """Every finding, in this order.

    1. Lines that never count: replaced or covered by a later one of the same place.
    2. Paths that don't exist.
    3. Paths behind a link, where the gate sees another one.
    4. Lines that the gate can't be told.
    5. Paths of /etc of which the policy and `etc sign` say different things.
    6. Interpreters that no script names.
    7. Drop-ins that are shadowed or masked, unless the signed policy was made so.
    8. What unsigned lines would loosen, and a signed policy that has expired.
    """
    findings = [*_unreachable(source), *_missing(root, source), *_behind_links(root, source)]
    findings += [
        _finding(
            "not-for-the-gate",
            line,
            f"the gate has no patterns such as {line.path}, so it asks there what it would"
            " without it",
            remedy="name the paths, or end the pattern with its only *",
        )
        for line in policy_gate.table(policy_read.as_one(source)).left_out
    ]
    told = policy_read.as_one(source) if signed is None else signed.policy
    disagreeing, gaps, notes = policy_agree.check(root, told)
    findings += disagreeing
    scripts = Scripts.below(root)
    findings += _without_need(source, scripts)
    accepted = signed is not None and policy_read.is_source_of(source, signed.policy)
    for one in source.shadowed:
        what = "masked" if one.masked else "replaced as a whole"
        text = f"{one.origin} is {what} by {one.by}"
        if accepted:
            notes.append(f"{text}, as the signed policy has it")
            continue
        findings.append(
            Finding(
                check="masked" if one.masked else "shadowed",
                link=Link.STATEMENT,
                object=one.by,
                problem=text,
                remedy="another name adds to it; if meant, sign it: `verity policy compile`",
            )
        )
    if signed is not None:
        findings += _against_signed(source, signed, now)
        if not accepted:
            notes.append("the drop-ins say something else than the signed policy, which counts")
    return Report(
        counts={"lines": len(source.lines), "scripts": scripts.number},
        findings=tuple(findings),
        not_evaluated=(
            *gaps,
            *(
                NotEvaluated(
                    check="interpreters",
                    object=os.fsdecode(path),
                    why=f"it can't be read ({why})",
                    path=path,
                )
                for path, why in scripts.unread
            ),
        ),
        notes=tuple(notes),
    )


def _file(line: Line) -> str:
    return line.origin.partition(" ")[0]


def _layer(line: Line) -> str:
    """Where the drop-in lies: overriding what comes from elsewhere is what drop-ins are for."""
    return os.path.dirname(_file(line))


def _unreachable(source: Source) -> Iterator[Finding]:
    at = {(type(line), line.key): line for line in source.lines}
    for line in source.replaced:
        by = at[type(line), line.key]
        elsewhere = getattr(line, "profile", None) is not getattr(by, "profile", None)
        if _layer(line) == _layer(by) and not elsewhere:
            yield _finding(
                "unreachable", line, f"{by.origin} says the same thing anew", remedy="remove one"
            )
    guards = [line for line in source.lines if isinstance(line, Guard)]
    for number, line in enumerate(guards):
        for later in guards[number + 1 :]:
            if _layer(line) == _layer(later) and matcher(later.path).match(os.fsencode(line.path)):
                yield _finding(
                    "unreachable",
                    line,
                    f"{line.path} is covered by {later.path} of {later.origin}, which comes later",
                    remedy="move the wider one to a drop-in with an earlier name",
                )
                break


def _missing(root: Path, source: Source) -> Iterator[Finding]:
    for line in source.lines:
        if _layer(line) == policy_read.BUILT_IN or not isinstance(line, (Guard, Interpreter)):
            continue
        if isinstance(line, Guard) and line.file_class is FileClass.IGNORED:
            continue
        if not _exists(root, line.path):
            yield _finding(
                "missing",
                line,
                f"nothing has the name {line.path}",
                remedy="correct the path, or remove it",
            )


def _behind_links(root: Path, source: Source) -> Iterator[Finding]:
    """What is opened there has another path: it must be guarded under that one."""
    policy = policy_read.as_one(source)
    for line in policy.of(Guard):
        if line.file_class is not FileClass.SIGNED:
            continue
        place = _place(root, line.path)
        guard = policy.guard(os.fsencode(place))
        if place != line.path and (guard is None or guard.file_class is not FileClass.SIGNED):
            yield _finding(
                "behind-a-link",
                line,
                f"{line.path} is {place} here, by a link, and the gate asks by that path",
                remedy=f"guard {place} as well",
            )


def _place(root: Path, path: str) -> str:
    """Where files of a guarded path really are: a link that is guarded itself isn't followed."""
    whole = resolved(root, path)
    if whole != path and os.path.isdir(root / whole.lstrip("/")):
        return whole
    parts = path.split("/")[:-1]
    plain = itertools.takewhile(lambda one: "*" not in one and "?" not in one, parts)
    folder = "/".join(plain)
    return resolved(root, folder).rstrip("/") + path[len(folder) :]


def _exists(root: Path, path: str) -> bool:
    relative = path.lstrip("/")
    if "*" not in relative and "?" not in relative:
        return os.path.lexists(root / relative)
    return any(True for _ in root.glob(relative.replace("[", "[[]")))


def _without_need(source: Source, scripts: Scripts) -> Iterator[Finding]:
    for line in source.lines:
        if not isinstance(line, Interpreter) or line.kind is not InterpreterKind.INTERPRETER:
            continue
        if scripts.has(line.path) and not scripts.need(matcher(line.path)):
            yield _finding(
                "interpreter-without-need",
                line,
                f"{line.path} is there, and no script's #! names it",
                remedy="remove it: privileged subjects then can't start it at all",
            )


def _against_signed(source: Source, signed: VerifiedPolicy, now: int) -> Iterator[Finding]:
    for line, before in policy_read.loosened(signed.policy, source):
        what = f"mode {lower(line.mode)}" if isinstance(line, ModeLine) else "it"
        yield _finding(
            "unsigned-looser",
            line,
            f"{what} is looser than what is signed ({before.origin}), so it counts for nothing",
            remedy="sign it: `verity policy compile`; or remove it",
        )
    if signed.expired(now):
        yield Finding(
            check="expired",
            link=Link.STATEMENT,
            object="the signed policy",
            problem=f"serial {signed.policy.serial} has expired; it still counts here",
            remedy="`verity policy compile` with a higher serial",
        )


def _finding(check: str, line: Line, problem: str, *, remedy: str) -> Finding:
    return Finding(
        check=check, link=Link.STATEMENT, object=line.origin, problem=problem, remedy=remedy
    )
