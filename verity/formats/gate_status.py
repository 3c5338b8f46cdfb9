# SPDX-License-Identifier: Apache-2.0
"""What the gate says about itself: the texts of its two iterators, bytes -> frozen values.

Two texts, of which the kernel makes one line after the other:

* status: ``key value...`` lines. Unknown keys are ignored, known ones are held to their form, and
  none may be missing but those that stand there any number of times: ``observes``, ``stream``,
  ``revoked_stream``, ``revocations``, ``reason``, ``own``, ``unlock`` and ``drill``; ``taint``; and
  those that an older gate, of which evidence may tell, doesn't have: ``sealed_ms``, ``boot_nonce``,
  ``host_id``, ``unlocked`` and ``unlock_used``; and what only a gate has that an initramfs loaded.
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

from verity.formats import gate_unlocks
from verity.formats.gate_lines import (
    RefusedError,
    bad,
    lines,
    number_of,
    unescaped,
    word_of,
)
from verity.formats.gate_unlocks import MAX_USED, Drill, TakenUnlock
from verity.formats.gate_words import Act as Act
from verity.formats.gate_words import Mode as Mode
from verity.formats.gate_words import Reason as Reason
from verity.formats.gate_words import State as State
from verity.values.errors import ContentError

VERSION = 5
"""VERITY_GATE_VERSION of policy/gate/verity.h: of the gate that comes with this program."""
MAX_STATUS = 512 * 2**10
MAX_DENIALS = 16 * 2**20
MAX_KEPT = 4096
RING = 256
"""VERITY_DENIALS_RING: of so many denials in a row the oldest are overwritten."""
MAX_STREAMS = 64
_U64 = 2**64 - 1
_U32 = 2**32 - 1

_STREAM = re.compile(rb"[a-z0-9._-]{1,64}")
_NONE = (b"-", b"")
_TORN = b"torn"
_DIGEST = re.compile(rb"[0-9a-f]{64}")
_TOKEN_ID = re.compile(rb"[0-9a-f]{32}")


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


NOBODY = bytes(32)
"""The boot nonce or host id of a gate that takes no token."""
NO_TOKENS = Room(used=0, capacity=0)


@dataclass(frozen=True, kw_only=True)
class GateStatus:
    """The status text. ``boot_clock_s`` is seconds since boot; key versions: 0 is none.

    ``observes`` is what the policy has logged and not denied where the gate is sealed.
    ``denied`` and ``observed`` count refusals since the load, ``lost`` those of them that the log
    no longer has. ``own_programs`` and ``own_links`` are the kernel's ids of what is the gate's.
    ``sealed_ms`` is when it was sealed, in milliseconds since boot; 0: not, or it doesn't say.

    ``boot_nonce`` and ``host_id`` are what a token must name; the latter is zero where no token is
    taken. ``unlocks`` and ``drills`` are what this boot has taken, oldest first; ``unlocked``: one
    of them is live. ``tainted``: one of the scope off was taken.

    Of a gate that an initramfs loaded: ``initial_root`` is that file system's device, as the kernel
    numbers it, 0 of any other gate; ``entered_ms`` when the trust in it ended, 0: not yet;
    ``survivors`` counts processes of it that ran on when the loader last looked;
    ``boot_directories`` and ``boot_devices`` what it keeps of what the machine boots from.
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
    boot_nonce: bytes = NOBODY
    host_id: bytes = NOBODY
    unlocked: bool = False
    unlock_used: Room = NO_TOKENS
    unlocks: tuple[TakenUnlock, ...] = ()
    drills: tuple[Drill, ...] = ()
    tainted: bool = False
    own_programs: frozenset[int] = frozenset()
    own_links: frozenset[int] = frozenset()
    sealed_ms: int = 0
    initial_root: int = 0
    entered_ms: int = 0
    survivors: int = 0
    boot_directories: int = 0
    boot_devices: int = 0


@dataclass(frozen=True, kw_only=True)
class Denial:
    """One refusal. ``boot_ms`` is milliseconds since boot; ``denied``: False if only logged.

    ``unlocked``: it was let through by a live unlock token, and would have been denied without.
    """

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
    unlocked: bool = False

    @property
    def outcome(self) -> str:
        """What came of it, in one word."""
        if self.denied:
            return "denied"
        return "unlocked" if self.unlocked else "observed"


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
    b"boot_nonce": "sha256",
    b"host_id": "sha256",
    b"unlocked": "flag",
    b"unlock_used": "number number",
    b"unlock": "id scope owners number number unlock sha256 operand",
    b"drill": "id number",
    b"taint": "taint",
    b"initial_root": "number",
    b"entered_ms": "number",
    b"survivors": "number",
    b"boot_chain": "number number",
}
_WORDS = {
    "state": [item.value for item in State if item is not State.OFF],  # there is no text then
    "mode": [item.value for item in Mode],
    "party": ["vendor", "user"],
    "role": ["os", "etc", "extension"],
    "signer": ["root", "os", "etc", "extension"],
    "reason": [item.value for item in Reason],
    "object": ["program", "link"],
    "scope": list(gate_unlocks.SCOPES),
    "unlock": [item.value for item in gate_unlocks.UnlockState],
    "flag": ["0", "1"],
    "taint": ["off"],
}
_FORMS = {"sha256": (_DIGEST, 64), "id": (_TOKEN_ID, 32)}
# key: how many of its first fields tell apart lines of one key
_NAMED = {
    b"observes": 1,
    b"stream": 1,
    b"revoked_stream": 1,
    b"keys": 1,
    b"reason": 1,
    b"revocations": 2,
    b"own": 2,
    b"unlock": 1,
    b"drill": 1,
}


def parse_status(data: bytes) -> GateStatus:
    """Read the status text; ContentError ``bad-gate-status`` with line and reason."""
    found: dict[tuple[str, ...], tuple[int | str, ...]] = {}
    for number, line in enumerate(lines(data, MAX_STATUS, "status"), 1):
        key, *fields = line.split(b" ")
        if key not in _STATUS:
            continue
        try:
            form = _STATUS[key].split()
            if len(fields) != len(form):
                raise RefusedError(f"{len(fields)} fields, expected {len(form)}")
            values = tuple(map(_value, fields, form))
            name = (key.decode(), *map(str, values[: _NAMED.get(key, 0)]))
            if name in found:
                raise RefusedError("stands there twice")
        except RefusedError as refused:
            bad("status", number, line, str(refused))
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

    def identity(name: str) -> bytes:
        return bytes.fromhex(str(values(name)[0])) if (name,) in found else NOBODY

    def each(key: str) -> list[tuple[int | str, ...]]:
        return [value for name, value in found.items() if name[0] == key]

    def own(kind: str) -> frozenset[int]:
        return frozenset(int(number) for found, number in each("own") if found == kind)

    booting = ("initial_root",) in found
    boot_chain = values("boot_chain") if booting else (0, 0)
    streams = each("stream")
    revoked = {name for (name,) in each("revoked_stream")}
    unknown = revoked - {stream[0] for stream in streams}
    if unknown:
        raise ContentError(
            "bad-gate-status", f"gate status: revoked_stream {unknown.pop()}: no such stream"
        )
    for what, count, most in (
        ("tokens", len(each("unlock")) + len(each("drill")), MAX_USED),
        ("streams", len(streams), MAX_STREAMS),
    ):
        if count > most:
            problem = f"{count} {what}, at most {most} are possible"
            raise ContentError("bad-gate-status", f"gate status: {problem}")
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
        boot_nonce=identity("boot_nonce"),
        host_id=identity("host_id"),
        unlocked=("unlocked",) in found and values("unlocked")[0] == "1",
        unlock_used=room("unlock_used") if ("unlock_used",) in found else NO_TOKENS,
        unlocks=tuple(gate_unlocks.of_fields(line) for line in each("unlock")),
        drills=tuple(
            Drill(token_id=bytes.fromhex(str(token_id)), at_s=int(at))
            for token_id, at in each("drill")
        ),
        tainted=("taint",) in found,
        own_programs=own("program"),
        own_links=own("link"),
        sealed_ms=number("sealed_ms") if ("sealed_ms",) in found else 0,
        initial_root=number("initial_root") if booting else 0,
        entered_ms=number("entered_ms") if booting else 0,
        survivors=number("survivors") if booting else 0,
        boot_directories=int(boot_chain[0]),
        boot_devices=int(boot_chain[1]),
    )


def parse_denials(data: bytes) -> tuple[Denial, ...]:
    """Read the denials text, oldest first; ContentError ``bad-gate-denials``."""
    denials: dict[int, Denial] = {}
    for number, line in enumerate(lines(data, MAX_DENIALS, "denials"), 1):
        if _is_torn(line):
            continue
        try:
            denial = _denial(line)
            if denials.setdefault(denial.seq, denial) != denial:
                raise RefusedError("another line has this number and says something else")
            if len(denials) > MAX_KEPT:
                raise RefusedError(f"more than {MAX_KEPT} denials")
        except RefusedError as refused:
            bad("denials", number, line, str(refused))
    return tuple(denials[number] for number in sorted(denials))


def _is_torn(line: bytes) -> bool:
    """By the number of fields: a file may be called torn, too."""
    fields = line.split(b" ")
    return len(fields) == 11 and fields[-1] == _TORN


def _denial(line: bytes) -> Denial:
    fields = line.split(b" ")
    if len(fields) != 10:
        raise RefusedError(f"{len(fields)} fields, expected 10")
    seq, boot_ms, outcome, reason, act, uid, pid, comm, digest, path = fields
    if outcome not in (b"denied", b"observed", b"unlocked"):
        raise RefusedError("none of denied, observed, unlocked")
    if reason == b"allow":
        raise RefusedError("allow is no reason to refuse")
    if digest != b"-" and not _DIGEST.fullmatch(digest):
        raise RefusedError("the digest is not 64 lower-case hex digits")
    where = None if path in _NONE else unescaped(path, "path")
    if where is not None and b"\0" in where:
        raise RefusedError("the path holds a NUL")
    return Denial(
        seq=number_of(seq, _U64),
        boot_ms=number_of(boot_ms, _U64),
        denied=outcome == b"denied",
        reason=Reason(word_of(reason, [item.value for item in Reason])),
        act=Act(word_of(act, [item.value for item in Act])),
        uid=number_of(uid, _U32),
        pid=number_of(pid, _U32),
        # A task may call itself nothing at all: that must not make the log unreadable.
        comm=b"" if comm in _NONE else unescaped(comm, "name"),
        digest=None if digest == b"-" else bytes.fromhex(digest.decode()),
        path=where,
        unlocked=outcome == b"unlocked",
    )


def _value(field: bytes, form: str) -> int | str:
    if form == "number":
        return number_of(field, _U64)
    if form == "stream":
        if not _STREAM.fullmatch(field):
            raise RefusedError("not the name of a stream")
        return field.decode()
    if form in _FORMS:
        pattern, digits = _FORMS[form]
        if not pattern.fullmatch(field):
            raise RefusedError(f"not {digits} lower-case hex digits")
        return field.decode()
    if form == "owners":
        return number_of(field, 2**gate_unlocks.MAX_OWNERS - 1)
    if form == "operand":
        if field not in _NONE:
            unescaped(field, "operand")
        return field.decode()
    return word_of(field, _WORDS[form])
