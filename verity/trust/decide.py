# SPDX-License-Identifier: Apache-2.0
"""The decision: facts in, a reason out; pure and total.

The same table as policy/gate/decide.h, which the kernel runs; tests/vectors/decisions.toml goes
through both, and a test compares them over every combination of facts. It gathers no facts and
knows no digests: what is granted is one of the facts.

Rules:
- what is not known to be granted is refused: an unknown act, a fact out of range;
- subjects that are not privileged are asked nothing but whether they try to raise privileges, to
  give code to the kernel, to write below a file system, or to touch the gate itself;
- the order of the tests is part of the table: the first one that refuses is the reason.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from verity.formats.gate_status import Act, Reason, State
from verity.formats.grants import Code


class DigestState(IntEnum):
    """What is known of the object's fs-verity digest."""

    NO_FILE = 0  # anonymous memory
    NONE = 1  # no fs-verity
    OTHER = 2  # not SHA-256: not a digest that grants name
    STALE = 3  # enabled under the gate, and old pages may still be cached
    KNOWN = 4  # ``granted`` is what the tables have for it, perhaps nothing


class Prot(IntFlag):
    """What is wanted of memory, as in mmap(2)."""

    WRITE = 2
    EXEC = 4


class Mapped(IntFlag):
    """What memory is, for ``Act.PROTECT``."""

    VERIFIED = 1  # its file was mapped executable before, and was granted
    DIRTY = 2  # it has private pages, which may differ from the file


@dataclass(frozen=True, kw_only=True)
class Facts:
    """``struct verity_facts``. Plain numbers: a fact that is out of range is decided, too."""

    act: int
    state: int = State.SEALED.number
    # The subject; for ELEVATE with what it would have afterwards, and for MAP and PROTECT also one
    # that gave it up and may share the memory with who didn't. For TRACE who is reached into.
    privileged: int = 0
    digest: int = DigestState.NO_FILE
    granted: int = 0  # ``Code`` flags of the object
    prot: int = 0  # wanted: ``Prot``
    mapped: int = 0  # ``Mapped``
    jit: int = 0  # the subject's program is granted anonymous executable memory
    raises: int = 0  # ELEVATE: more than before, in the initial user namespace
    covered: int = 0  # ELEVATE: one granted elevation has all of it
    chained: int = 0  # EXEC, ELEVATE: started for another file, which was granted
    traced: int = 0  # ELEVATE: another task has the subject in hand
    revoked: int = 0  # a revocation names the digest, or took a grant of it away


_ACTS = {act.number: act for act in Act}
_SELF_PROTECTION = {
    Act.OBJECT: Reason.GATE_OBJECT,
    Act.PIN: Reason.GATE_PIN,
    Act.KEY: Reason.GATE_KEY,
    Act.PROGRAM: Reason.FOREIGN_PROGRAM,
    Act.FTRACE: Reason.FTRACE,
}
# What a file must be granted as; a kernel to start next never is.
_KERNEL_TAKES = {Act.MODULE: int(Code.MODULE), Act.KEXEC: 0}
_QUIET = {state.number for state in (State.OFF, State.LOADING, State.OBSERVE)}
_FROM_LOAD_ON = frozenset(_SELF_PROTECTION.values()) - {Reason.GATE_PIN}
# Plain numbers, as the facts are: IntFlag would make a member for each value it meets.
_RUNS = int(Code.EXEC | Code.SCRIPT)
_MAPS = int(Code.EXEC | Code.LIBRARY)
_WRITE, _EXEC = int(Prot.WRITE), int(Prot.EXEC)
_VERIFIED, _DIRTY = int(Mapped.VERIFIED), int(Mapped.DIRTY)


def decide(facts: Facts) -> Reason:
    """The reason against it, or ``Reason.ALLOW``."""
    act = _ACTS.get(facts.act)
    if act is None:
        return Reason.UNDECIDED
    if act in _SELF_PROTECTION:
        return _SELF_PROTECTION[act]
    if act in _KERNEL_TAKES:
        if facts.digest == DigestState.NO_FILE:
            return Reason.ANONYMOUS
        return _of_digest(facts, _KERNEL_TAKES[act])
    if act is Act.TRACE:
        return Reason.TRACED if facts.privileged else Reason.ALLOW
    if act is Act.DEVICE:
        return Reason.DEVICE
    if act is Act.ELEVATE and facts.raises and not facts.covered:
        return Reason.REVOKED if facts.revoked else Reason.NOT_ELEVATED
    if act in (Act.EXEC, Act.ELEVATE):
        return _of_exec(facts, act) if facts.privileged else Reason.ALLOW
    if not facts.prot & _EXEC or not facts.privileged:
        return Reason.ALLOW
    if facts.digest == DigestState.NO_FILE:
        return Reason.ALLOW if facts.jit else Reason.ANONYMOUS
    if facts.prot & _WRITE:
        return Reason.WRITABLE
    if act is Act.MAP:
        return _of_digest(facts, _MAPS)
    if facts.mapped & _DIRTY:
        return Reason.DIRTY
    return Reason.ALLOW if facts.mapped & _VERIFIED else Reason.UNVERIFIED


def enforced(state: int, reason: Reason) -> bool:
    """Whether the reason denies in this state, or is only logged.

    The gate's objects, keys, foreign programs and ftrace are guarded from load on: whoever could
    reach them before the seal would decide what is sealed. Its pins are not: before the seal,
    removing them is how the owner switches the gate off.
    """
    if reason.allow:
        return False
    if reason in _FROM_LOAD_ON:
        return state != State.OFF.number
    # A state that isn't known is no reason to let anything through.
    return state not in _QUIET


def _of_exec(facts: Facts, act: Act) -> Reason:
    if act is Act.ELEVATE and facts.traced:
        return Reason.TRACED
    reason = _of_digest(facts, _RUNS)
    if reason.allow and facts.granted & Code.INTERPRETER and not facts.chained:
        return Reason.INTERPRETER
    return reason


def _of_digest(facts: Facts, use: int) -> Reason:
    if facts.digest in _UNUSABLE:
        return _UNUSABLE[DigestState(facts.digest)]
    if facts.digest != DigestState.KNOWN:
        return Reason.UNDECIDED
    if not facts.granted:
        return Reason.REVOKED if facts.revoked else Reason.NOT_GRANTED
    return Reason.ALLOW if facts.granted & use else Reason.WRONG_USE


_UNUSABLE = {
    DigestState.NONE: Reason.NO_DIGEST,
    DigestState.OTHER: Reason.OTHER_DIGEST,
    DigestState.STALE: Reason.STALE,
}
