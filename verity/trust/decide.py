# SPDX-License-Identifier: Apache-2.0
"""The decision: facts in, a reason out; pure and total.

The same table as policy/gate/decide.h, which the kernel runs; tests/vectors/decisions.toml goes
through both, and a test compares them over every combination of facts. It gathers no facts and
knows no digests: what is granted is one of the facts.

Rules:
- what is not known to be granted is refused: an unknown act, a fact out of range;
- subjects that are not privileged are asked nothing but whether they try to raise privileges, to
  give code to the kernel, to write below a file system, to take away what must stay, or to touch
  the gate itself;
- the order of the tests is part of the table: the first one that refuses is the reason, but one
  that is only observed, or lifted by an unlock, hides none that denies;
- an unlock changes no reason: it lifts some, and which it may lift is in ``lifted`` alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from verity.formats.gate_status import Act, Reason, State
from verity.formats.grants import Code
from verity.formats.kernel_guarded import GuardedClass


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


class Unlocked(IntFlag):
    """What live tokens have to do with an act: 1 << the scope of a token that is about this object,
    this subject or everything."""

    DIGEST = 2
    PATH_PREFIX = 4
    CONFIG_PATH = 8
    SESSION = 16
    OBSERVE_ONLY = 32
    OFF = 64
    OVER = 128  # the subject is of a session whose token is over


@dataclass(frozen=True, kw_only=True)
class Facts:
    """``struct verity_facts``. Plain numbers: a fact that is out of range is decided, too."""

    act: int
    state: int = State.SEALED.number
    # The subject; for ELEVATE with what it would have afterwards, and for MAP and PROTECT also one
    # that gave it up and may share the memory with who didn't. For TRACE who is reached into; for
    # TRACING also who isn't, where more is traced than what is theirs.
    privileged: int = 0
    digest: int = DigestState.NO_FILE
    granted: int = 0  # ``Code`` flags of the object
    prot: int = 0  # wanted: ``Prot``
    mapped: int = 0  # ``Mapped``
    jit: int = 0  # the subject's program is granted anonymous executable memory
    raises: int = 0  # ELEVATE: more than before, in the initial user namespace
    covered: int = 0  # ELEVATE: one granted elevation has all of it
    chained: int = 0  # EXEC, ELEVATE: started for another, granted file; MAP: its own program
    traced: int = 0  # ELEVATE: another task has the subject in hand
    revoked: int = 0  # a revocation names the digest, or took a grant of it away
    observed: int = 0  # reasons that are logged and don't deny, a bit each
    guarded: int = 0  # CONFIG, LINK, MOUNT: ``GuardedClass`` of the place; 0: none
    placed: int = 0  # likewise: grants put this here; MOUNT: it is mounted over itself
    # REMOVE: ``guarded`` is signed where the policy requires what is there, and ``placed`` that
    # grants put it there, and put nothing there that takes its place.
    unlocked: int = 0  # ``Unlocked``
    trust: int = 0  # the place is one of the trust files, or could not be found out


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
# Refused whatever else is known; the policy may say that it is only observed.
_ALWAYS = {
    Act.DEVICE: Reason.DEVICE,
    Act.USER_NAMESPACE: Reason.USER_NAMESPACE,
    Act.BPF_PROGRAM: Reason.BPF_PROGRAM,
    Act.BOOT: Reason.BOOT_CHAIN,
}
# Refused where somebody privileged is concerned.
_IF_PRIVILEGED = {Act.TRACE: Reason.TRACED, Act.TRACING: Reason.TRACING}
# Why what is in a guarded place may not be there.
_NOT_PLACED = {
    Act.CONFIG: Reason.CONFIG_UNSIGNED,
    Act.LINK: Reason.CONFIG_LINK,
    Act.MOUNT: Reason.CONFIG_MOUNT,
}
# A class that nobody knows counts as signed.
_LOOSE = {0, *(one.value for one in GuardedClass if one is not GuardedClass.SIGNED)}
_QUIET = {state.number for state in (State.OFF, State.LOADING, State.OBSERVE)}
_FROM_LOAD_ON = frozenset(_SELF_PROTECTION.values()) - {Reason.GATE_PIN}
# Plain numbers, as the facts are: IntFlag would make a member for each value it meets.
_RUNS = int(Code.EXEC | Code.SCRIPT)
_MAPS = int(Code.EXEC | Code.LIBRARY)
_WRITE, _EXEC = int(Prot.WRITE), int(Prot.EXEC)
_VERIFIED, _DIRTY = int(Mapped.VERIFIED), int(Mapped.DIRTY)


# What a digest that is granted as a program, a script and a library would not be refused for.
_LIFTED_DIGEST = {Reason.NOT_GRANTED, Reason.WRONG_USE}
_LIFTED_FILE = _LIFTED_DIGEST | {Reason.NO_DIGEST, Reason.OTHER_DIGEST, Reason.STALE}
_LIFTED_CONFIG = {Reason.CONFIG_UNSIGNED, Reason.CONFIG_LINK}
_LIFTED_SESSION = (
    _LIFTED_FILE
    | _LIFTED_CONFIG
    | {Reason.ANONYMOUS, Reason.WRITABLE, Reason.DIRTY, Reason.UNVERIFIED, Reason.INTERPRETER}
)
# All but what protects the gate and its trust files, what is revoked, and not knowing.
_LIFTED_HOST = set(Reason) - {
    Reason.ALLOW,
    *_SELF_PROTECTION.values(),
    Reason.REVOKED,
    Reason.DEVICE,
    Reason.UNDECIDED,
    Reason.SESSION_OVER,
    Reason.BOOT_CHAIN,
}
_ENDED = {act.number for act in (Act.EXEC, Act.ELEVATE, Act.MAP, Act.PROTECT, Act.CONFIG, Act.LINK)}


def lifted(facts: Facts) -> set[Reason]:
    """The reasons that don't count for this act because of an unlock.

    None for what becomes part of the kernel, which could change the gate itself, and none at a
    place of the trust files.
    """
    found: set[Reason] = set()
    if not facts.unlocked or facts.trust or facts.act in (Act.MODULE.number, Act.KEXEC.number):
        return found
    if facts.unlocked & (Unlocked.OBSERVE_ONLY | Unlocked.OFF):
        found |= _LIFTED_HOST
    if facts.unlocked & Unlocked.SESSION:
        found |= _LIFTED_SESSION
    if facts.unlocked & Unlocked.DIGEST:
        found |= _LIFTED_DIGEST
    if facts.unlocked & Unlocked.PATH_PREFIX:
        found |= _LIFTED_FILE
    if facts.unlocked & Unlocked.CONFIG_PATH:
        found |= _LIFTED_CONFIG
    return found


def decide(facts: Facts) -> Reason:
    """The reason against it, or ``Reason.ALLOW``."""
    found = _against(facts)
    first = next(found, Reason.ALLOW)
    if not lets(facts, first):
        return first
    # One that doesn't deny hides none that does.
    return next((one for one in found if not lets(facts, one)), first)


def lets(facts: Facts, reason: Reason) -> bool:
    """Whether the reason doesn't deny here: the policy only observes it, or an unlock lifts it."""
    return observes(facts, reason) or reason in lifted(facts)


def observes(facts: Facts, reason: Reason) -> bool:
    """Whether the reason is logged only, by the facts: ``Facts.observed``."""
    return bool(facts.observed >> reason.number & 1)


def denies(facts: Facts, reason: Reason) -> bool:
    """Whether this decision denies."""
    return enforced(facts.state, reason) and not lets(facts, reason)


def unlocks(facts: Facts, reason: Reason) -> bool:
    """Whether it would deny, were it not for an unlock."""
    denies_else = enforced(facts.state, reason) and not observes(facts, reason)
    return denies_else and reason in lifted(facts)


def _against(facts: Facts) -> Iterator[Reason]:
    """Each reason against it, in the order in which they count."""
    act = _ACTS.get(facts.act)
    if facts.unlocked & Unlocked.OVER and facts.act in _ENDED:
        yield Reason.SESSION_OVER
    elif act is None:
        yield Reason.UNDECIDED
    elif act in _SELF_PROTECTION:
        yield _SELF_PROTECTION[act]
    elif act in _KERNEL_TAKES:
        if facts.digest == DigestState.NO_FILE:
            yield Reason.ANONYMOUS
        else:
            yield from _of_digest(facts, _KERNEL_TAKES[act])
    elif act in _ALWAYS:
        yield _ALWAYS[act]
    elif act in _IF_PRIVILEGED:
        if facts.privileged:
            yield _IF_PRIVILEGED[act]
    elif act in _NOT_PLACED:
        yield from _of_place(facts, act)
    elif act is Act.REMOVE:
        yield from _of_removal(facts)
    elif act in (Act.EXEC, Act.ELEVATE):
        yield from _of_start(facts, act)
    elif facts.prot & _EXEC and facts.privileged:
        yield from _of_memory(facts, act)


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


def _of_start(facts: Facts, act: Act) -> Iterator[Reason]:
    if act is Act.ELEVATE and facts.raises and not facts.covered:
        yield Reason.REVOKED if facts.revoked else Reason.NOT_ELEVATED
    if not facts.privileged:
        return
    if act is Act.ELEVATE and facts.traced:
        yield Reason.TRACED
    yield from _of_digest(facts, _RUNS)
    if facts.granted & Code.INTERPRETER and not facts.chained:
        yield Reason.INTERPRETER


def _of_memory(facts: Facts, act: Act) -> Iterator[Reason]:
    if facts.digest == DigestState.NO_FILE:
        if not facts.jit:
            yield Reason.ANONYMOUS
        return
    if facts.prot & _WRITE:
        yield Reason.WRITABLE
    if act is Act.MAP:
        yield from _of_digest(facts, _MAPS)
        # The dynamic linker would start it as a library.
        if facts.granted & Code.INTERPRETER and not facts.chained:
            yield Reason.INTERPRETER
        return
    if facts.mapped & _DIRTY:
        yield Reason.DIRTY
    if not facts.mapped & _VERIFIED:
        yield Reason.UNVERIFIED


def _of_place(facts: Facts, act: Act) -> Iterator[Reason]:
    """A path is granted to contents: what else is known of a digest is no reason of its own."""
    if not facts.privileged or facts.guarded in _LOOSE:
        return
    known = True
    if act is Act.CONFIG:
        if facts.digest not in _MEASURED:
            yield Reason.UNDECIDED
            return
        known = facts.digest == DigestState.KNOWN
    if not (facts.placed and known):
        revoked = facts.revoked and act is not Act.MOUNT
        yield Reason.REVOKED if revoked else _NOT_PLACED[act]


def _of_removal(facts: Facts) -> Iterator[Reason]:
    """Whoever may take the name away by the file's permissions is asked."""
    if facts.guarded in _LOOSE:
        return
    if facts.digest > DigestState.KNOWN:
        yield Reason.UNDECIDED
    elif facts.placed:
        yield Reason.CONFIG_REMOVED


def _of_digest(facts: Facts, use: int) -> Iterator[Reason]:
    if facts.digest in _UNUSABLE:
        yield _UNUSABLE[DigestState(facts.digest)]
    elif facts.digest != DigestState.KNOWN:
        yield Reason.UNDECIDED
    elif not facts.granted:
        yield Reason.REVOKED if facts.revoked else Reason.NOT_GRANTED
    elif not facts.granted & use:
        yield Reason.WRONG_USE


_UNUSABLE = {
    DigestState.NONE: Reason.NO_DIGEST,
    DigestState.OTHER: Reason.OTHER_DIGEST,
    DigestState.STALE: Reason.STALE,
}
_MEASURED = {state.value for state in DigestState if state is not DigestState.NO_FILE}
