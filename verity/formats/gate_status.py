# SPDX-License-Identifier: Apache-2.0
"""What the gate says about itself: the texts of its two iterators, bytes -> frozen values.

Two texts, of which the kernel makes one line after the other:

* status: ``key value...`` lines. Unknown keys are ignored, known ones are held to their form, and
  none may be missing but those that stand there any number of times: ``observes``, ``stream``,
  ``revoked_stream``, ``revocations``, ``reason`` and ``own``; and ``sealed_ms``.
* denials: a line for each refusal that is kept, in the order of the gate's memory: a ring, then the
  first of each reason. They come out ascending by number, and what is in both places comes out
  once. Names of programs and files are escaped as in a manifest, and come out as the bytes that
  they are. A line that the gate marks as torn was overwritten while it was printed: it is no
  denial, and its number is lost.

Both are facts only if they were read from the running gate. This module can't know that, and it
claims nothing: whoever reads asks the kernel, too (``verity.ports.bpf.present``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from verity.values.errors import ContentError

VERSION = 4
"""VERITY_GATE_VERSION of policy/gate/verity.h: of the gate that comes with this program."""
MAX_STATUS = 256 * 2**10
MAX_DENIALS = 16 * 2**20
MAX_LINE = 32 * 2**10
MAX_KEPT = 4096
RING = 256
"""VERITY_DENIALS_RING: of so many denials in a row the oldest are overwritten."""
MAX_STREAMS = 64
_U64 = 2**64 - 1
_U32 = 2**32 - 1

_NUMBER = re.compile(rb"0|[1-9][0-9]{0,19}")
_ESCAPED = re.compile(rb"(?:[\x21-\x5b\x5d-\x7e]|\\x[0-9a-f]{2})+")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
_STREAM = re.compile(rb"[a-z0-9._-]{1,64}")
_NONE = (b"-", b"")
_TORN = b"torn"
_DIGEST = re.compile(rb"[0-9a-f]{64}")


class _Numbered(StrEnum):
    """Words of the texts, in the order of the numbers that policy/gate/decide.h has for them."""

    @property
    def number(self) -> int:
        """VERITY_* of decide.h."""
        return _NUMBERS[type(self)][self]


class State(_Numbered):
    """The gate's state. The text is never of one that is off."""

    OFF = "off"
    LOADING = "loading"  # programs are attached, nothing is enforced but self-protection
    OBSERVE = "observe"
    SEALED = "sealed"


class Mode(StrEnum):
    """What the signed policy wants."""

    NONE = "none"
    OBSERVE = "observe"
    TRIAL = "trial"
    SEALED = "sealed"


class Reason(_Numbered):
    """Why something is refused, or ``ALLOW``."""

    ALLOW = "allow"
    NO_DIGEST = "no-digest"  # no fs-verity: nobody vouches for its contents
    OTHER_DIGEST = "other-digest"  # a digest of another algorithm
    STALE = "stale"  # digest and cached pages may differ
    NOT_GRANTED = "not-granted"  # no signed grants name this digest
    WRONG_USE = "wrong-use"  # granted, but not for this
    ANONYMOUS = "anonymous"  # executable memory without a file
    WRITABLE = "writable"  # writable and executable at once
    DIRTY = "dirty"  # private pages, which may have been written, made executable
    UNVERIFIED = "unverified"  # made executable later, and never verified as code
    NOT_ELEVATED = "not-elevated"  # raises privileges without a grant that covers it
    GATE_OBJECT = "gate-object"
    GATE_PIN = "gate-pin"
    GATE_KEY = "gate-key"
    FOREIGN_PROGRAM = "foreign-program"
    FTRACE = "ftrace"
    REVOKED = "revoked"  # not granted any more: digest, serial or signing key is revoked
    TRACED = "traced"  # a privileged task would be in another one's hand
    DEVICE = "device"  # writing below what is mounted or otherwise in use
    INTERPRETER = "interpreter"  # runs what it is told, and no granted script started it
    UNDECIDED = "undecided"  # the gate could not find out: no memory, or a fact out of range
    CONFIG_UNSIGNED = "config-unsigned"  # not granted at this guarded path, with these contents
    CONFIG_LINK = "config-link"  # nor this symlink, with this target
    CONFIG_MOUNT = "config-mount"  # mounted over guarded configuration, or what leads there
    USER_NAMESPACE = "user-namespace"  # in one, much more of the kernel can be reached
    TRACING = "tracing"  # reads what privileged programs and the kernel keep to themselves
    BPF_PROGRAM = "bpf-program"  # a program in the kernel, of whatever kind
    CONFIG_REMOVED = "config-removed"  # what grants put there, and the policy requires

    @property
    def allow(self) -> bool:
        """Whether there is nothing against it."""
        return self is Reason.ALLOW


class Act(_Numbered):
    """What is attempted."""

    EXEC = "exec"  # a file is started: program, script or interpreter
    ELEVATE = "elevate"  # execve ends with more than the subject had
    MAP = "map"  # memory is mapped
    PROTECT = "protect"  # memory that is mapped becomes executable
    OBJECT = "object"  # a map, program or link of the gate is reached for
    PIN = "pin"  # a pin of the gate, or a mount that holds it, is changed
    KEY = "key"  # a key or keyring of the gate
    PROGRAM = "program"  # a BPF program is loaded that could change what hooks return
    FTRACE = "ftrace"  # ftrace, through which the gate is called, is switched off
    MODULE = "module"  # the kernel takes a module or firmware
    KEXEC = "kexec"  # a kernel to start next is loaded
    TRACE = "trace"  # a task's memory or files are reached into
    DEVICE = "device"  # a block device that is in use is opened for writing
    CONFIG = "config"  # a file is opened for reading, where configuration may be
    LINK = "link"  # a symlink is followed or read, likewise
    MOUNT = "mount"  # something is mounted, likewise
    USER_NAMESPACE = "user-namespace"  # one is made
    TRACING = "tracing"  # the kernel or a program is traced: kprobes, perf, ftrace
    BPF_PROGRAM = "bpf-program"  # any other BPF program is loaded
    REMOVE = "remove"  # a name is taken away, or what it means is replaced


_NUMBERS: Mapping[type[_Numbered], Mapping[_Numbered, int]] = {
    kind: {item: number for number, item in enumerate(kind, first)}
    for kind, first in ((State, 0), (Reason, 0), (Act, 1))
}


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A stream that the policy names, and the serial that counts; 0: nothing imported.

    ``revoked``: none of what it grants counts, until its next serial.
    """

    name: str
    party: str
    role: str
    serial: int
    revoked: bool = False


@dataclass(frozen=True, kw_only=True)
class Revocation:
    """The serial of the last revocations that the gate took from this party and role."""

    party: str
    role: str
    serial: int


@dataclass(frozen=True, kw_only=True)
class Room:
    """How many entries a table has, and how many it can have."""

    used: int
    capacity: int


@dataclass(frozen=True, kw_only=True)
class GateStatus:
    """The status text. ``boot_clock_s`` is seconds since boot; key versions: 0 is none.

    ``observes`` is what the policy has logged and not denied where the gate is sealed.
    ``denied`` and ``observed`` count refusals since the load, ``lost`` those of them that the log
    no longer has. ``own_programs`` and ``own_links`` are the kernel's ids of what is the gate's.
    ``sealed_ms`` is when it was sealed, in milliseconds since boot; 0: not, or it doesn't say.
    """

    version: int
    state: State
    boot_clock_s: int
    policy_serial: int
    policy_mode: Mode
    observes: frozenset[Reason]
    keys: Mapping[str, int]
    code: Room
    elevations: Room
    config: Room
    revocations: tuple[Revocation, ...]
    revoked_keys: Room
    revoked_digests: Room
    streams: tuple[Stream, ...]
    foreign_programs: int
    denied: int
    observed: int
    lost: int
    reasons: Mapping[Reason, int]
    own_programs: frozenset[int] = frozenset()
    own_links: frozenset[int] = frozenset()
    sealed_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class Denial:
    """One refusal. ``boot_ms`` is milliseconds since boot; ``denied``: False if only logged."""

    seq: int
    boot_ms: int
    denied: bool
    reason: Reason
    act: Act
    uid: int
    pid: int
    comm: bytes
    digest: bytes | None
    path: bytes | None


class _RefusedError(Exception):
    """Why one line is refused; the parsers add its number."""


# key: the fields that follow it; those in capitals are part of the key
_STATUS = {
    b"version": "number",
    b"state": "state",
    b"boot_clock_s": "number",
    b"policy_serial": "number",
    b"policy_mode": "mode",
    b"observes": "reason",
    b"keys": "party number",
    b"code": "number number",
    b"elevations": "number number",
    b"config": "number number",
    b"revocations": "party signer number",
    b"revoked_keys": "number number",
    b"revoked_digests": "number number",
    b"stream": "stream party role number",
    b"revoked_stream": "stream",
    b"foreign_programs": "number",
    b"denied": "number",
    b"observed": "number",
    b"lost": "number",
    b"reason": "reason number",
    b"own": "object number",
    b"sealed_ms": "number",
}
_WORDS = {
    "state": [item.value for item in State if item is not State.OFF],  # there is no text then
    "mode": [item.value for item in Mode],
    "party": ["vendor", "user"],
    "role": ["os", "etc", "extension"],
    "signer": ["root", "os", "etc", "extension"],
    "reason": [item.value for item in Reason],
    "object": ["program", "link"],
}
# key: how many of its first fields tell apart lines of one key
_NAMED = {
    b"observes": 1,
    b"stream": 1,
    b"revoked_stream": 1,
    b"keys": 1,
    b"reason": 1,
    b"revocations": 2,
    b"own": 2,
}


def parse_status(data: bytes) -> GateStatus:
    """Read the status text; ContentError ``bad-gate-status`` with line and reason."""
    found: dict[tuple[str, ...], tuple[int | str, ...]] = {}
    for number, line in enumerate(_lines(data, MAX_STATUS, "status"), 1):
        key, *fields = line.split(b" ")
        if key not in _STATUS:
            continue
        try:
            form = _STATUS[key].split()
            if len(fields) != len(form):
                raise _RefusedError(f"{len(fields)} fields, expected {len(form)}")
            values = tuple(map(_value, fields, form))
            name = (key.decode(), *map(str, values[: _NAMED.get(key, 0)]))
            if name in found:
                raise _RefusedError("stands there twice")
        except _RefusedError as refused:
            _bad("status", number, line, str(refused))
        found[name] = values
    return _status(found)


def _status(found: Mapping[tuple[str, ...], tuple[int | str, ...]]) -> GateStatus:
    def values(*name: str) -> tuple[int | str, ...]:
        if name not in found:
            raise ContentError(
                "bad-gate-status",
                f"gate status: has no line `{' '.join(name)}`",
                hint="gate and program are of one version: install them together",
            )
        return found[name]

    def number(*name: str) -> int:
        return int(values(*name)[-1])

    def room(name: str) -> Room:
        used, capacity = values(name)
        return Room(used=int(used), capacity=int(capacity))

    def each(key: str) -> list[tuple[int | str, ...]]:
        return [value for name, value in found.items() if name[0] == key]

    def own(kind: str) -> frozenset[int]:
        return frozenset(int(number) for found, number in each("own") if found == kind)

    streams = each("stream")
    revoked = {name for (name,) in each("revoked_stream")}
    unknown = revoked - {stream[0] for stream in streams}
    if unknown:
        raise ContentError(
            "bad-gate-status", f"gate status: revoked_stream {unknown.pop()}: no such stream"
        )
    if len(streams) > MAX_STREAMS:
        raise ContentError(
            "bad-gate-status",
            f"gate status: {len(streams)} streams, at most {MAX_STREAMS} are possible",
        )
    return GateStatus(
        version=number("version"),
        state=State(str(values("state")[0])),
        boot_clock_s=number("boot_clock_s"),
        policy_serial=number("policy_serial"),
        policy_mode=Mode(str(values("policy_mode")[0])),
        observes=frozenset(Reason(str(reason)) for (reason,) in each("observes")),
        keys={party: number("keys", party) for party in _WORDS["party"]},
        code=room("code"),
        elevations=room("elevations"),
        config=room("config"),
        revocations=tuple(
            Revocation(party=str(party), role=str(role), serial=int(serial))
            for party, role, serial in each("revocations")
        ),
        revoked_keys=room("revoked_keys"),
        revoked_digests=room("revoked_digests"),
        streams=tuple(
            Stream(
                name=str(name),
                party=str(party),
                role=str(role),
                serial=int(serial),
                revoked=name in revoked,
            )
            for name, party, role, serial in streams
        ),
        foreign_programs=number("foreign_programs"),
        denied=number("denied"),
        observed=number("observed"),
        lost=number("lost"),
        reasons={Reason(str(reason)): int(count) for reason, count in each("reason")},
        own_programs=own("program"),
        own_links=own("link"),
        sealed_ms=number("sealed_ms") if ("sealed_ms",) in found else 0,
    )


def parse_denials(data: bytes) -> tuple[Denial, ...]:
    """Read the denials text, oldest first; ContentError ``bad-gate-denials``."""
    denials: dict[int, Denial] = {}
    for number, line in enumerate(_lines(data, MAX_DENIALS, "denials"), 1):
        if _is_torn(line):
            continue
        try:
            denial = _denial(line)
            if denials.setdefault(denial.seq, denial) != denial:
                raise _RefusedError("another line has this number and says something else")
            if len(denials) > MAX_KEPT:
                raise _RefusedError(f"more than {MAX_KEPT} denials")
        except _RefusedError as refused:
            _bad("denials", number, line, str(refused))
    return tuple(denials[number] for number in sorted(denials))


def _is_torn(line: bytes) -> bool:
    """By the number of fields: a file may be called torn, too."""
    fields = line.split(b" ")
    return len(fields) == 11 and fields[-1] == _TORN


def _denial(line: bytes) -> Denial:
    fields = line.split(b" ")
    if len(fields) != 10:
        raise _RefusedError(f"{len(fields)} fields, expected 10")
    seq, boot_ms, outcome, reason, act, uid, pid, comm, digest, path = fields
    if outcome not in (b"denied", b"observed"):
        raise _RefusedError("neither denied nor observed")
    if reason == b"allow":
        raise _RefusedError("allow is no reason to refuse")
    if digest != b"-" and not _DIGEST.fullmatch(digest):
        raise _RefusedError("the digest is not 64 lower-case hex digits")
    where = None if path in _NONE else _unescaped(path, "path")
    if where is not None and b"\0" in where:
        raise _RefusedError("the path holds a NUL")
    return Denial(
        seq=_number(seq, _U64),
        boot_ms=_number(boot_ms, _U64),
        denied=outcome == b"denied",
        reason=Reason(_word(reason, [item.value for item in Reason])),
        act=Act(_word(act, [item.value for item in Act])),
        uid=_number(uid, _U32),
        pid=_number(pid, _U32),
        # A task may call itself nothing at all: that must not make the log unreadable.
        comm=b"" if comm in _NONE else _unescaped(comm, "name"),
        digest=None if digest == b"-" else bytes.fromhex(digest.decode()),
        path=where,
    )


def _lines(data: bytes, most: int, what: str) -> list[bytes]:
    if len(data) > most:
        raise ContentError(
            f"bad-gate-{what}", f"gate {what}: {len(data)} bytes, at most {most} are possible"
        )
    if not data:
        return []
    if not data.endswith(b"\n"):
        raise ContentError(f"bad-gate-{what}", f"gate {what}: the last line is cut off")
    lines = data[:-1].split(b"\n")
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE:
            raise ContentError(
                f"bad-gate-{what}",
                f"gate {what} line {number}: {len(line)} bytes, at most {MAX_LINE} are possible",
            )
    return lines


def _bad(what: str, number: int, line: bytes, problem: str) -> NoReturn:
    start = _ESCAPED.match(line[:60])
    shown = start[0].decode() if start else "..."
    raise ContentError(
        f"bad-gate-{what}",
        f"gate {what} line {number} ({shown}): {problem}",
        hint="gate and program are of one version: install them together",
    )


def _value(field: bytes, form: str) -> int | str:
    if form == "number":
        return _number(field, _U64)
    if form == "stream":
        if not _STREAM.fullmatch(field):
            raise _RefusedError("not the name of a stream")
        return field.decode()
    return _word(field, _WORDS[form])


def _number(field: bytes, most: int) -> int:
    if not _NUMBER.fullmatch(field) or int(field) > most:
        raise _RefusedError(f"not a decimal number up to {most}")
    return int(field)


def _word(field: bytes, words: list[str]) -> str:
    text = field.decode("ascii", "replace")
    if text not in words:
        raise _RefusedError(f"expected one of {', '.join(words)}")
    return text


def _unescaped(field: bytes, what: str) -> bytes:
    if not _ESCAPED.fullmatch(field):
        raise _RefusedError(f"the {what} is not escaped")
    return _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), field)
