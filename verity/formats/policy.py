# SPDX-License-Identifier: Apache-2.0
"""The one policy document, bytes <-> values: what a host enforces, and why each line of it stands.

It is the payload of a DSSE envelope that keys of the user's role policy sign (docs/formats.md,
"Policy document"); the gate gets a blob that follows from it (``verity.formats.policy_gate``).

1. A policy is a list of lines in the order in which they count; of several about one thing only
   the last is kept, so a document has no line that means nothing.
2. Parsing is strict: unknown fields and words are refused, and the bytes are the only ones that the
   values can have.

Who signed it is judged in the trust room, which alone makes a ``VerifiedPolicy``.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from verity.formats import kernel_policy, strictjson
from verity.formats.etc_rules import ALWAYS_SIGNED, FileClass, pattern_of
from verity.formats.gate_status import Reason
from verity.formats.grants import Party, Role
from verity.formats.kernel_policy import ActSet, Mode, Scope, Stream
from verity.formats.statement import format_time, parse_time
from verity.formats.strictjson import Fields, refuse

PAYLOAD_TYPE = "application/vnd.verity.policy.v1+json"
MAX_POLICY = 64 * 2**10
MAX_LINES = 4096
_WHAT = "policy"

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
"""What a reaction may be said to: reasons of the gate, and acts that it has no reason for yet."""


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
class Line:
    """What one line says. ``origin``: drop-in and table, or the option that it comes from."""

    reason: str
    origin: str

    @property
    def key(self) -> Hashable:
        """What it is about: the last line about one thing counts."""
        raise NotImplementedError


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
    """A guarded path or pattern, with all below it. ``most``: the mode bits that it may have."""

    path: str
    file_class: FileClass
    profile: Profile = Profile.STANDARD
    most: int | None = None
    secret: bool = False

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
            if pattern_of(line.path, line.origin).match(path):
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


def encode(policy: Policy) -> bytes:
    """The JSON of a policy. Raises ContentError (``bad-document``) for what none may hold."""
    data = _written(policy)
    if parse(data) != policy:  # the writer is held to the reader's rules
        refuse(_WHAT, "the values do not survive their own encoding")
    return data


def parse(data: bytes) -> Policy:
    """Read a policy. Raises ContentError (``bad-document``, ``bad-policy``).

    1. Fields of known names and types, and nothing else.
    2. Times, serial and patterns are such as a policy may have.
    3. One mode, and no line that a later one replaces.
    4. The bytes are the canonical ones.
    """
    # 1. Fields.
    top = Fields(strictjson.parse(data, what=_WHAT, max_size=MAX_POLICY), what=_WHAT)
    items = top.array("lines")
    if len(items) > MAX_LINES:
        refuse(_WHAT, f"{len(items)} lines, at most {MAX_LINES} are allowed")
    found = Policy(
        serial=top.integer("serial"),
        issued=parse_time(top.text("issued")),
        expires=parse_time(top.text("expires")),
        profile=_word(Profile, top.text("profile"), _WHAT),
        lines=tuple(_line(item, f"{_WHAT}.lines[{n}]") for n, item in enumerate(items)),
    )
    top.end()
    # 2. Values.
    if found.serial < 1:
        refuse(_WHAT, f"the serial {found.serial} is below 1")
    if found.issued >= found.expires:
        refuse(_WHAT, "it does not expire after it was issued")
    # 3. Lines that count.
    if len(found.of(ModeLine)) != 1:
        refuse(_WHAT, f"{len(found.of(ModeLine))} lines say the mode, expected one")
    if count(found.lines, found.profile)[0] != found.lines:
        refuse(_WHAT, "a line is there twice, or of another profile")
    # 4. One spelling.
    if _written(found) != data:
        refuse(_WHAT, "not the canonical JSON: sorted keys, no spaces, UTF-8 without escapes")
    return found


def fields_of(line: Line) -> dict[str, Any]:
    """A line as JSON has it."""
    for name, (kind, write, _) in _KINDS.items():
        if type(line) is kind:
            return {"type": name, **write(line), "reason": line.reason, "origin": line.origin}
    raise TypeError(f"{type(line).__name__} is no line of a policy")


def _written(policy: Policy) -> bytes:
    return strictjson.canonical(
        {
            "serial": policy.serial,
            "issued": format_time(policy.issued),
            "expires": format_time(policy.expires),
            "profile": policy.profile.value,
            "lines": [fields_of(line) for line in policy.lines],
        }
    )


def _line(item: Any, place: str) -> Line:
    fields = Fields(item, what=place)
    name = fields.text("type")
    if name not in _KINDS:
        refuse(place, f"unknown type {name[:40]!r}")
    kind, _, read = _KINDS[name]
    said = {"reason": fields.text("reason"), "origin": fields.text("origin")}
    if not said["reason"].strip():
        refuse(place, "it needs a reason")
    line = kind(**read(fields, place), **said)
    fields.end()
    return line


Word = TypeVar("Word", bound=StrEnum)


def _word(kind: type[Word], text: str, place: str) -> Word:
    if text not in set(kind):
        refuse(place, f"{text[:40]!r} is none of {', '.join(kind)}")
    return kind(text)


def _named(kind: Any, text: str, place: str) -> Any:
    """A member of an IntEnum by its name in lower case."""
    names = {lower(member): member for member in kind}
    if text not in names:
        refuse(place, f"{text[:40]!r} is none of {', '.join(names)}")
    return names[text]


def lower(member: Any) -> str:
    """The name of an enum's member as documents have it."""
    return str(member.name).lower().replace("_", "-")


def _path(fields: Fields, name: str, place: str) -> str:
    text = fields.text(name)
    if not (name == "path" and text.count("/") == 1 and text[1:].isalnum()):
        pattern_of(text, place)
    return text


def _profile(fields: Fields, place: str) -> Profile:
    return _word(Profile, fields.text("profile"), place)


def _write_guard(line: Guard) -> dict[str, Any]:
    found: dict[str, Any] = {
        "path": line.path,
        "class": line.file_class.value,
        "profile": line.profile.value,
        "secret": int(line.secret),
    }
    return found if line.most is None else {**found, "mode": f"{line.most:04o}"}


def _read_guard(fields: Fields, place: str) -> dict[str, Any]:
    secret = fields.integer("secret")
    most = fields.text("mode") if "mode" in fields.names() else None
    if secret not in (0, 1) or (most is not None and not _is_mode(most)):
        refuse(place, "secret is not 0 or 1, or mode is no octal number such as 0640")
    return {
        "path": _path(fields, "path", place),
        "file_class": _word(FileClass, fields.text("class"), place),
        "profile": _profile(fields, place),
        "secret": bool(secret),
        "most": None if most is None else int(most, 8),
    }


def _is_mode(text: str) -> bool:
    return len(text) == 4 and text[0] == "0" and set(text) <= set("01234567")


def _read_reacts(fields: Fields, place: str) -> dict[str, Any]:
    to = fields.text("to")
    if to not in REACTIONS:
        refuse(place, f"{to[:40]!r} is nothing that a reaction is said to")
    return {
        "to": to,
        "reaction": _word(Reaction, fields.text("reaction"), place),
        "profile": _profile(fields, place),
    }


def _read_stream(fields: Fields, place: str) -> dict[str, Any]:
    stream = Stream(
        name=fields.text("name"),
        party=_named(Party, fields.text("party"), place),
        role=_named(Role, fields.text("role"), place),
    )
    return {"stream": stream}


_KINDS: Mapping[
    str,
    tuple[type[Line], Callable[[Any], dict[str, Any]], Callable[[Fields, str], dict[str, Any]]],
] = {
    "mode": (
        ModeLine,
        lambda line: {"mode": lower(line.mode)},
        lambda fields, place: {"mode": _named(Mode, fields.text("mode"), place)},
    ),
    "group": (
        Group,
        lambda line: {"gid": line.gid, "name": line.name},
        lambda fields, _: {"gid": fields.integer("gid"), "name": fields.text("name")},
    ),
    "unprivileged": (
        Unprivileged,
        lambda line: {"capabilities": capability_names(line.capabilities)},
        lambda fields, place: {"capabilities": _capabilities(fields, place)},
    ),
    "guarded": (Guard, _write_guard, _read_guard),
    "link": (
        Link,
        lambda line: {"path": line.path, "to": line.target, "profile": line.profile.value},
        lambda fields, place: {
            "path": _path(fields, "path", place),
            "target": _path(fields, "to", place),
            "profile": _profile(fields, place),
        },
    ),
    "interpreter": (
        Interpreter,
        lambda line: {"path": line.path, "kind": line.kind.value, "profile": line.profile.value},
        lambda fields, place: {
            "path": _path(fields, "path", place),
            "kind": _word(InterpreterKind, fields.text("kind"), place),
            "profile": _profile(fields, place),
        },
    ),
    "reaction": (
        Reacts,
        lambda line: {
            "to": line.to,
            "reaction": line.reaction.value,
            "profile": line.profile.value,
        },
        _read_reacts,
    ),
    "stream": (
        StreamLine,
        lambda line: {
            "name": line.stream.name,
            "party": lower(line.stream.party),
            "role": lower(line.stream.role),
        },
        _read_stream,
    ),
    "unlock": (
        Unlock,
        lambda line: {
            "scope": lower(line.scope),
            "seconds": line.seconds,
            "owners": line.owners,
            "profile": line.profile.value,
        },
        lambda fields, place: {
            "scope": _named(Scope, fields.text("scope"), place),
            "seconds": fields.integer("seconds"),
            "owners": fields.integer("owners"),
            "profile": _profile(fields, place),
        },
    ),
}


def capability_names(bits: int) -> list[str]:
    """The names of capabilities, a bit each."""
    return [name for number, name in enumerate(CAPABILITIES) if bits >> number & 1]


def _capabilities(fields: Fields, place: str) -> int:
    names = fields.array("capabilities")
    if not all(name in CAPABILITIES for name in names):
        refuse(place, "a capability has no name such as wake_alarm")
    return sum(1 << CAPABILITIES.index(name) for name in set(names))
