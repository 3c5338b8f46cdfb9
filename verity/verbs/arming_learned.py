# SPDX-License-Identifier: Apache-2.0
"""The arming proof by experience: what the gate denied in the last boots, or would have.

References say what a host should do; a boot under ``observe`` says what it did. Each kind of denial
of the boots that are looked at is open, unless

1. the loader provoked it, or asked so of an interpreter from before the seal, or the signed policy
   only observes it;
2. it is of a file of code that is there no more, or is granted for that act and has fs-verity now;
3. it is of configuration that is granted as it is now.

The record is written by the reader of denials (``verity-denials.service``). A boot without one
teaches nothing, and that is said.
"""

from verity.formats.denial_state import Kind
from verity.formats.dump import printable
from verity.formats.gate_status import Act, Denial, Reason
from verity.formats.grants import Code, ConfigKind
from verity.formats.kernel_policy import ActSet, KernelPolicy
from verity.ports import boots, canary, tree
from verity.ports.osfile import closing
from verity.ports.rooted import Rooted
from verity.ports.tree import Contents
from verity.values.arming import Part
from verity.values.errors import VerityError
from verity.values.findings import Finding, Link, NotEvaluated
from verity.verbs import denial_words
from verity.verbs.audit_host import AuditedHost

CANARY = canary.NAME.encode()
_LOADER = b"verity-load"
_ACTS = {
    Reason.USER_NAMESPACE: ActSet.USER_NAMESPACES,
    Reason.TRACED: ActSet.PTRACE,
    Reason.BPF_PROGRAM: ActSet.BPF_PROGRAMS,
    Reason.TRACING: ActSet.TRACING,
    Reason.DEVICE: ActSet.BLOCK_DEVICES,
}
_USES = {
    Act.EXEC: Code.EXEC | Code.SCRIPT,
    Act.MAP: Code.EXEC | Code.LIBRARY,
    Act.MODULE: Code.MODULE,
}
_CONFIG = {Reason.CONFIG_UNSIGNED, Reason.CONFIG_LINK}
_OF_FILES = {
    *(Reason.NO_DIGEST, Reason.OTHER_DIGEST, Reason.NOT_GRANTED, Reason.STALE, Reason.REVOKED),
    Reason.WRONG_USE,
}


def examine(host: AuditedHost, policy: KernelPolicy, most: int) -> Part:
    """What is open of the last ``most`` boots."""
    folder = host.root / boots.FOLDER
    findings: dict[tuple[object, ...], Finding] = {}
    gaps: list[NotEvaluated] = []
    looked = 0
    with Rooted(host.root) as opened:
        for path, state in boots.read(folder, most):
            if isinstance(state, VerityError):
                gap = NotEvaluated(
                    check="boot-record",
                    object=str(path),
                    why=state.message.removeprefix(f"{path}: "),
                    hint="remove it, and boot once more under observe",
                )
                gaps.append(gap)
                continue
            looked += 1
            for kind in state.kinds.values():
                if not (_was_asked(kind) or _is_settled(kind.last, host, policy, opened)):
                    key = (kind.last.reason, kind.last.path, kind.last.digest, kind.last.comm)
                    findings.setdefault(key, _finding(kind.last, kind.held + 1, looked))
    notes: tuple[str, ...] = ()
    if not looked:
        notes = (
            "no boot under observe is on record: what a whole boot and a day's work would be denied"
            " is not known (enable verity-denials.service, and boot once)",
        )
    return Part(
        findings=tuple(findings.values()),
        gaps=tuple(gaps),
        notes=notes,
        counts={"boots on record": looked},
    )


def _was_asked(kind: Kind) -> bool:
    """1. The seal's question, alone of its kind. Who runs the interpreter decides: where one
    of them may not go on, nothing was sealed."""
    last = kind.last
    question = (last.comm, last.act, last.reason) == (_LOADER, Act.MAP, Reason.INTERPRETER)
    return question and not kind.held


def _is_settled(denial: Denial, host: AuditedHost, policy: KernelPolicy, opened: Rooted) -> bool:
    # 1. Not counted at all.
    if CANARY in denial.comm or (denial.path is not None and CANARY in denial.path):
        return True
    act = _ACTS.get(denial.reason, ActSet(0))
    if denial.reason in policy.observed or act & policy.observed_acts:
        return True
    path = denial.path
    if path is None or not path.startswith(b"/"):
        return False
    # 2. Code.
    if denial.reason in _OF_FILES and denial.act in _USES:
        now = _now(opened, path)
        if now is None:
            return True
        return now.by_kernel and bool(host.code.get(now.digest, Code(0)) & _USES[denial.act])
    # 3. Configuration.
    return denial.reason in _CONFIG and _is_granted(host, opened, path)


def _is_granted(host: AuditedHost, opened: Rooted, path: bytes) -> bool:
    granted = [one for blob in host.grants for one in blob.config if one.path == path]
    try:
        target = opened.link(path)
    except VerityError:
        return False
    if target is not None:
        return any(one.kind is ConfigKind.SYMLINK and one.target == target for one in granted)
    now = _now(opened, path)
    return now is not None and any(
        one.kind is ConfigKind.FILE and one.digest == now.digest for one in granted
    )


def _now(opened: Rooted, path: bytes) -> Contents | None:
    """What is there now; None if there is no such file, or it can't be read."""
    try:
        located = opened.find(path)
        if located is None or not located.is_file:
            return None
        with closing(opened.open(located)) as fd:
            return tree.measured(fd, path)
    except (OSError, VerityError):
        return None


def _finding(denial: Denial, times: int, boot: int) -> Finding:
    what = printable(denial.path) if denial.path is not None else printable(denial.comm)
    said = "was denied" if denial.denied else "would have been denied"
    return Finding(
        check=f"learned-{denial.reason.value}",
        link=Link.VERDICT,
        object=what or "a nameless program",
        path=denial.path if denial.path is not None and denial.path.startswith(b"/") else None,
        problem=f"{denial.act.value} {said} {_times(times)} in {_boot(boot)}, to uid {denial.uid},"
        f" process {denial.pid}, which calls itself {printable(denial.comm)}",
        expected=denial_words.rule(denial),
        found=denial.reason.value
        + ("" if denial.digest is None else f", digest sha256:{denial.digest.hex()}"),
        remedy="sign it, or take out what does it; then boot once more under observe",
    )


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _boot(number: int) -> str:
    return "the last boot" if number == 1 else f"the last boot but {number - 1}"
