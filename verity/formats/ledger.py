# SPDX-License-Identifier: Apache-2.0
"""The ledger of unlocks, bytes <-> values: lines of canonical JSON, each with the SHA-256 of the
line before it (docs/formats.md, "Ledger").

Whoever changes, removes or inserts a line breaks the chain there. Who cuts off its end is found by
a head: a copy of number and digest of the last line that stands elsewhere. Who puts back an older
one with its heads is found by ``counter``, of which a TPM knows the last. None of it stops who may
write lines that fit; that is named where the ledger is shown. Nothing here reads a file or a clock.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NoReturn

from verity.formats import strictjson
from verity.formats.statement import format_time, parse_time
from verity.formats.strictjson import Fields
from verity.values.errors import ContentError

MAX_SIZE = 64 * 2**20
MAX_LINE = 16 * 2**10
GENESIS = bytes(32)
_WHAT = "ledger"
_HEX = re.compile(r"[0-9a-f]{64}")
_HEAD = re.compile(rb"verity-ledger 1 (0|[1-9][0-9]{0,15}) ([0-9a-f]{64})\n")
_FIELDS = ("token", "scope", "operand", "reason", "reason_sha256", "why")
_NUMBERS = ("counter", "duration_s", "until_s", "owners")
# A quotation mark in a text is escaped, so that this is a field's name and nothing else.
_COUNTER = re.compile(rb',"counter":([0-9]{1,16}),"')


class Event(StrEnum):
    """What happened; of what has an effect, the line is on the disk before the effect."""

    CHALLENGE = "challenge"  # was printed
    APPLY = "apply"  # a token is about to be handed to the gate
    REFUSED = "refused"  # by us or by the gate
    GRANT = "grant"  # the gate has taken it
    RELOCK = "relock"  # is about to be asked for
    END = "end"
    DRILL = "drill"  # a token without effect was taken
    TORN = "torn"  # a line that a crash had cut off was removed
    BROKEN = "broken"  # the ledger was another one, or ended otherwise, than its head or TPM said
    COUNTER = "counter"  # a TPM counts from here on


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line. ``at`` is the wall clock, seconds since 1970; ``boot`` the boot nonce in hex, or
    empty; ``clock_s`` the boot clock. ``late``: written after the fact, from what the gate says."""

    event: Event
    at: int
    boot: str
    clock_s: int
    late: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)

    @property
    def token(self) -> str:
        """The id of the token that it is about; empty if there is none."""
        return self.texts.get("token", "")


@dataclass(frozen=True, kw_only=True)
class Head:
    """The last line of a ledger: its number, from 1, and the SHA-256 of it; 0 is before any."""

    number: int = 0
    sha256: bytes = GENESIS


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What is in a ledger, and what is wrong with it. ``digests`` are those of the lines."""

    entries: tuple[Entry, ...]
    digests: tuple[bytes, ...]
    problems: tuple[str, ...]

    @property
    def head(self) -> Head:
        """The last line."""
        if not self.digests:
            return Head()
        return Head(number=len(self.digests), sha256=self.digests[-1])

    @property
    def counter(self) -> int | None:
        """The last number that the TPM was to have; None if no line has one."""
        numbers = (one.numbers.get("counter") for one in reversed(self.entries))
        return next((number for number in numbers if number is not None), None)

    @property
    def uncounted(self) -> int:
        """How many lines stand behind the last one with such a number."""
        behind = enumerate(reversed(self.entries))
        return next((number for number, one in behind if "counter" in one.numbers), 0)


def line(entry: Entry, before: Head) -> bytes:
    """A line that follows that one."""
    fields: dict[str, Any] = {
        "n": before.number + 1,
        "prev": before.sha256.hex(),
        "event": entry.event.value,
        "at": format_time(entry.at),
        "boot": entry.boot,
        "clock_s": entry.clock_s,
        **entry.texts,
        **entry.numbers,
    }
    if entry.late:
        fields["late"] = 1
    data = strictjson.canonical(fields) + b"\n"
    if len(data) > MAX_LINE or _line(data[:-1])[0] != entry:
        _refuse("the values do not survive their own encoding")
    return data


def head_of(data: bytes) -> Head:
    """What a last line is, for the next one to follow; ContentError if it is none."""
    _, number, _ = _line(data.removesuffix(b"\n"))
    return Head(number=number, sha256=hashlib.sha256(data).digest())


def last_counter(data: bytes) -> int | None:
    """``Chain.counter`` of a ledger, of which nothing else is looked at."""
    at = data.rfind(b',"counter":')
    found = _COUNTER.match(data, max(at, 0))
    return None if found is None else int(found[1])


def read(data: bytes) -> Chain:
    """All lines, those that are wrong left out and named.

    1. Each line is one entry, in its canonical spelling, with its number.
    2. It names the digest of the line before it.
    """
    if len(data) > MAX_SIZE:
        _refuse(f"{len(data)} bytes, at most {MAX_SIZE} are allowed")
    entries, digests, problems = [], [], []
    before = GENESIS
    lines = data.split(b"\n")
    if lines.pop():
        problems.append(f"line {len(lines) + 1} is cut off")
    for number, text in enumerate(lines, 1):
        # 1. An entry.
        try:
            entry, stated, previous = _line(text)
        except ContentError as error:
            problems.append(f"line {number}: {error.message.removeprefix(f'{_WHAT}: ')}")
        else:
            # 2. Its place.
            entries.append(entry)
            if stated != number:
                problems.append(f"line {number} is the entry {stated}: lines are missing, or added")
            elif previous != before:
                problems.append(f"line {number} does not follow the line before it: one is altered")
            if entry.event is Event.BROKEN:
                problems.append(f"line {number} says: {entry.texts.get('why', '')}")
        before = hashlib.sha256(text + b"\n").digest()
        digests.append(before)
    return Chain(entries=tuple(entries), digests=tuple(digests), problems=tuple(problems))


def against(chain: Chain, heads: Sequence[Head]) -> tuple[str, ...]:
    """What copies of its head say of a chain: cut off, or another one."""
    found = []
    for head in heads:
        if head.number > len(chain.digests):
            found.append(
                f"it ends with entry {len(chain.digests)}, and had {head.number}: its end was cut"
                " off, or it was rolled back"
            )
        elif head.number and chain.digests[head.number - 1] != head.sha256:
            found.append(f"entry {head.number} is another one than it was: it was replaced")
    return tuple(dict.fromkeys(found))


def encode_head(head: Head) -> bytes:
    """A copy of a head, for a file of its own."""
    return b"verity-ledger 1 %d %s\n" % (head.number, head.sha256.hex().encode())


def parse_head(data: bytes) -> Head:
    """Read one. Raises ContentError (``bad-document``)."""
    found = _HEAD.fullmatch(data)
    if found is None:
        _refuse("its head is not `verity-ledger 1 NUMBER SHA256`")
    return Head(number=int(found[1]), sha256=bytes.fromhex(found[2].decode()))


def _line(data: bytes) -> tuple[Entry, int, bytes]:
    """The entry, its number, and the digest of the line before."""
    value = strictjson.parse(data, what=_WHAT, max_size=MAX_LINE)
    if strictjson.canonical(value) != data:
        _refuse("not in its canonical spelling")
    fields = Fields(value, what=_WHAT)
    number, before, event = fields.integer("n"), fields.text("prev"), fields.text("event")
    at, boot, clock = parse_time(fields.text("at")), fields.text("boot"), fields.integer("clock_s")
    names = set(fields.names())
    texts = {name: fields.text(name) for name in _FIELDS if name in names}
    numbers = {name: fields.integer(name) for name in _NUMBERS if name in names}
    late = "late" in names and fields.integer("late") == 1
    fields.end()
    if event not in set(Event) or number < 1 or not _HEX.fullmatch(before):
        _refuse(f"no entry: number {number}, event {event[:40]!r}")
    if boot and not _HEX.fullmatch(boot):
        _refuse(f"the boot {boot[:80]!r} is no nonce")
    entry = Entry(
        event=Event(event),
        at=at,
        boot=boot,
        clock_s=clock,
        late=late,
        texts=texts,
        numbers=numbers,
    )
    return entry, number, bytes.fromhex(before)


def _refuse(reason: str) -> NoReturn:
    strictjson.refuse(_WHAT, reason)
