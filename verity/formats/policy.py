# SPDX-License-Identifier: Apache-2.0
"""What a policy says: lines, each with its reason and where it stands, in the order that counts.

Of several lines about one thing the last one counts (``count``). Lines come from TOML drop-ins
(``verity.formats.policy_source``) or from a signed document (``policy_document``); the gate is told
what follows from them (``policy_gate``). It parses nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from verity.formats import kernel_policy
from verity.formats.etc_rules import ALWAYS_SIGNED, FileClass, matcher
from verity.formats.gate_status import Reason
from verity.formats.kernel_policy import ActSet, Mode, Stream
from verity.formats.unlock import Scope

# capability.h of linux/uapi, in the order of its numbers, without CAP_
CAPABILITIES = tuple(
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable"
    " net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio"
    " sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time"
    " sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog"
    " wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore".split()
)
REACTIONS: Mapping[str, Reason | ActSet] = {
    **{reason.value: reason for reason in kernel_policy.OBSERVABLE},
    **{str(act.name).lower().replace("_", "-"): act for act in ActSet},
}
"""What a reaction may be said to: reasons of the gate, and acts. ``tracing`` is the act."""


class Profile(StrEnum):
    """Which lines count: those without a profile always do."""

    STANDARD = "standard"
    STRICT = "strict"


class Reaction(StrEnum):
    """What the sealed gate does."""

    DENY = "deny"
    OBSERVE = "observe"


class InterpreterKind(StrEnum):
    """How a program that runs other files may be started by privileged subjects."""

    SHELL = "shell"  # at will
    INTERPRETER = "interpreter"  # as the #! of a granted script
    JIT = "jit"  # may have anonymous executable memory


@dataclass(frozen=True, kw_only=True)
class Line(ABC):
    """What one line says. ``origin``: drop-in and table, or the option that it comes from."""

    reason: str
    origin: str

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """What it is about: the last line about one thing counts."""


@dataclass(frozen=True, kw_only=True)
class ModeLine(Line):
    """The mode of the gate."""

    mode: Mode

    @property
    def key(self) -> Hashable:
        return ()


@dataclass(frozen=True, kw_only=True)
class Group(Line):
    """A group whose members are privileged; the name is for people."""

    gid: int
    name: str = ""

    @property
    def key(self) -> Hashable:
        return self.gid


@dataclass(frozen=True, kw_only=True)
class Unprivileged(Line):
    """The capabilities, a bit each, that make nobody privileged; all others do."""

    capabilities: int

    @property
    def key(self) -> Hashable:
        return ()


@dataclass(frozen=True, kw_only=True)
class Guard(Line):
    """A guarded path or pattern, with all below it. ``most``: the mode bits that it may have;
    ``required``: what is signed there must not be taken away."""

    path: str
    file_class: FileClass
    profile: Profile = Profile.STANDARD
    most: int | None = None
    secret: bool = False
    required: bool = False

    @property
    def key(self) -> Hashable:
        return self.path


@dataclass(frozen=True, kw_only=True)
class Link(Line):
    """Symlinks of guarded places that may lead out of them, and where to."""

    path: str
    target: str
    profile: Profile = Profile.STANDARD

    @property
    def key(self) -> Hashable:
        return (self.path, self.target)


@dataclass(frozen=True, kw_only=True)
class Interpreter(Line):
    """A program that runs what other files say."""

    path: str
    kind: InterpreterKind
    profile: Profile = Profile.STANDARD

    @property
    def key(self) -> Hashable:
        return (self.path, self.kind is InterpreterKind.JIT)


@dataclass(frozen=True, kw_only=True)
class Reacts(Line):
    """Whether something is denied or only logged."""

    to: str
    reaction: Reaction
    profile: Profile = Profile.STANDARD

    @property
    def key(self) -> Hashable:
        return self.to


@dataclass(frozen=True, kw_only=True)
class StreamLine(Line):
    """A stream of grants, and who signs it."""

    stream: Stream

    @property
    def key(self) -> Hashable:
        return self.stream.name


@dataclass(frozen=True, kw_only=True)
class Unlock(Line):
    """How long a scope may be unlocked at most (0: never), and by how many owners at least."""

    scope: Scope
    seconds: int
    owners: int = 0
    profile: Profile = Profile.STANDARD

    @property
    def key(self) -> Hashable:
        return self.scope


Kind = TypeVar("Kind", bound=Line)

ALWAYS = Guard(
    path=ALWAYS_SIGNED.decode(),
    file_class=FileClass.SIGNED,
    reason="it says what is exempt and who signs",
    origin="built in",
)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One policy. Times are seconds since 1970."""

    serial: int
    issued: int
    expires: int
    profile: Profile
    lines: tuple[Line, ...]

    def of(self, kind: type[Kind]) -> tuple[Kind, ...]:
        """The lines of one kind, in their order."""
        return tuple(line for line in self.lines if isinstance(line, kind))

    @property
    def mode(self) -> Mode:
        """What the gate does with its verdicts."""
        (line,) = self.of(ModeLine)
        return line.mode

    def guard(self, path: bytes) -> Guard | None:
        """The line that says what is asked of this path; None if it isn't guarded."""
        if path == ALWAYS_SIGNED or path.startswith(ALWAYS_SIGNED + b"/"):
            return ALWAYS
        for line in reversed(self.of(Guard)):
            if matcher(line.path).match(path):
                return line
        return None


def count(lines: Iterable[Line], profile: Profile) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """The lines that count in this profile, and those that a later line about the same replaced."""
    last: dict[tuple[type[Line], Hashable], Line] = {}
    replaced: list[Line] = []
    for line in lines:
        if profile is Profile.STANDARD and getattr(line, "profile", profile) is not profile:
            continue
        before = last.pop((type(line), line.key), None)  # popped: the later place counts
        if before is not None:
            replaced.append(before)
        last[type(line), line.key] = line
    return tuple(last.values()), tuple(replaced)


def lower(member: Any) -> str:
    """The name of an enum's member as documents have it."""
    return str(member.name).lower().replace("_", "-")


def capability_names(bits: int) -> list[str]:
    """The names of capabilities, a bit each."""
    return [name for number, name in enumerate(CAPABILITIES) if bits >> number & 1]
