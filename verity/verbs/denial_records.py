# SPDX-License-Identifier: Apache-2.0
"""lockdown journal: the gate's denials as records elsewhere, each once, and no kind missing.

Outside of every decision: the gate keeps its denials and knows no reader. Rules:

1. The first denial of a kind (outcome, reason and file) is written at once. Of what follows within
   ``WINDOW_MS`` only the count is written, when that time is over or the writer ends.
2. Of ``MAX_KINDS`` kinds the one that was written longest ago is closed for a new one, its count
   first: there is no flood of new kinds that hides one, only one that loses in the gate's ring.
3. What nobody can read any more is a record, with its numbers.
4. A record has a number. Before it is sent the state says that it will be, and what follows from
   it: after a crash the journal is asked whether it has that record. Without an answer it is sent
   again and says so. The state is written before the next record at the latest.
5. Audit first, the journal last: after a crash in between, audit has the record twice, with the
   same number, and none has it not at all.
6. What was refused in a boot is kept for the arming proof, if there is a place for it: a file for
   each boot, the kinds alone, written when there is a new one and at the end.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from verity.formats import denial_state
from verity.formats.denial_state import MAX_KINDS, Key, Record, RecordKind, State
from verity.formats.gate_status import Denial
from verity.ports.osfile import read_file, replace_file
from verity.values.errors import HostError, VerityError
from verity.verbs import denial_entry
from verity.verbs.denial_watch import Lost, Watch
from verity.verbs.gate_view import Look

WINDOW_MS = 60_000
_MODE = 0o600

Told = Callable[[str], None]


class Journal(Protocol):
    """Where records go, and what knows whether one is there (``verity.ports.journal``)."""

    def send(self, entry: bytes) -> None:
        """Send one."""

    def has(self, field: str, value: str) -> bool | None:
        """Whether it is there; None if that can't be told."""


class Audit(Protocol):
    """The second place (``verity.ports.audit``)."""

    def send(self, message: bytes) -> None:
        """Send one."""


class Writer:
    """Writes what looks at a gate give. ``told`` hears what the operator should know."""

    def __init__(
        self,
        path: Path,
        boot: str,
        journal: Journal,
        audit: Audit | None,
        told: Told,
        *,
        keep: Callable[[State], None] = lambda state: None,
    ) -> None:
        self._path, self._boot = path, boot
        self._journal, self._audit, self._told = journal, audit, told
        self._state: State | None = None
        self._watch = Watch()
        self._again = False
        self._keep, self._kept = keep, frozenset[Key]()
        self.written = 0

    def take(self, look: Look, now_ms: int) -> None:
        """Write what is new in a look, and the counts whose time is over.

        1. The state of this gate: as it was left, or a new one.
        2. What is new.
        3. Counts that are due, and kinds that are quiet.
        4. The state, as far as no record has written it.
        """
        # 1. The state.
        if self._state is None:
            self._begin(look)
        if look.gate != self.state.gate or self._watch.is_behind(look.denials):
            self.close(now_ms)
            self._fresh(look.gate)
        # 2. What is new.
        for item in self._watch.look(look.denials):
            if isinstance(item, Lost):
                self._send(RecordKind.LOST, now_ms, lost=(item.first, item.last))
            elif denial_state.key_of(item) in self.state.kinds:
                self._state = denial_state.held_back(self.state, item)
            else:
                self._make_room(now_ms)
                self._send(RecordKind.DENIAL, now_ms, denial=item)
        # 3. Counts.
        for key in self._over(now_ms):
            self._close(key, now_ms, forget=not self.state.kinds[key].held)
        # 4. The state.
        self._save(None)
        if not self._kept.issuperset(self.state.kinds):
            self._keep_boot()

    def close(self, now_ms: int) -> None:
        """Write every count that is held back: nobody may come to write it later."""
        if self._state is not None:
            for key in tuple(self.state.kinds):
                self._close(key, now_ms, forget=False)
            self._save(None)
            self._keep_boot()

    @property
    def state(self) -> State:
        """The state, once there is one."""
        if self._state is None:
            raise TypeError("the state is made by the first look")
        return self._state

    @property
    def is_waiting(self) -> bool:
        """Whether the last look had a number without a record, which may come."""
        return self._watch.is_waiting

    def _begin(self, look: Look) -> None:
        try:
            found, sending = denial_state.parse(
                read_file(self._path, max_size=denial_state.MAX_SIZE)
            )
        except HostError as error:
            if error.code != "not-found":
                raise
            self._fresh(look.gate)
            return
        except VerityError as error:
            self._told(f"{self._path}: {error.message}: what the gate still has is written again")
            self._fresh(look.gate)
            return
        if found.boot != self._boot:
            self._fresh(look.gate)
            return
        self._state = found
        if sending is not None:
            there = self._journal.has(denial_entry.RECORD, self._id(sending))
            self._again = there is None
            if there:
                self._state = denial_state.applied(found, sending)
        self._watch = Watch(self.state.seq)

    def _fresh(self, gate: str) -> None:
        self._state = State(boot=self._boot, gate=gate, kinds={})
        self._watch = Watch()

    def _over(self, now_ms: int) -> Iterator[Key]:
        for key, kind in tuple(self.state.kinds.items()):
            if now_ms - kind.since_ms >= WINDOW_MS:
                yield key

    def _make_room(self, now_ms: int) -> None:
        if len(self.state.kinds) >= MAX_KINDS:
            oldest = min(self.state.kinds, key=lambda key: self.state.kinds[key].since_ms)
            self._close(oldest, now_ms, forget=True)

    def _close(self, key: Key, now_ms: int, *, forget: bool) -> None:
        kind = self.state.kinds[key]
        if kind.held:
            self._send(RecordKind.HELD, now_ms, denial=kind.last, held=kind.held)
        if forget:
            self._state = denial_state.without(self.state, key)

    def _send(
        self,
        kind: RecordKind,
        now_ms: int,
        *,
        denial: Denial | None = None,
        held: int = 0,
        lost: tuple[int, int] = (0, 0),
    ) -> None:
        record = Record(
            kind=kind,
            number=self.state.records + 1,
            at_ms=now_ms,
            denial=denial,
            held=held,
            lost=lost,
        )
        self._save(record)
        self._audit_it(record)
        self._journal.send(denial_entry.journal(record, self._id(record), again=self._again))
        self._again = False
        self._state = denial_state.applied(self.state, record)
        self.written += 1

    def _keep_boot(self) -> None:
        self._kept |= frozenset(self.state.kinds)
        try:
            self._keep(self.state)
        except HostError as error:
            self._told(f"{error.message}: what this boot refuses is not kept for later boots")

    def _audit_it(self, record: Record) -> None:
        if self._audit is None:
            return
        try:
            self._audit.send(denial_entry.audit(record, self._id(record)))
        except VerityError as error:
            self._audit = None
            self._told(f"{error.message}: from here on to the journal alone")

    def _save(self, sending: Record | None) -> None:
        replace_file(self._path, denial_state.encode(self.state, sending), mode=_MODE)

    def _id(self, record: Record) -> str:
        return f"{self._boot}:{self.state.gate}:{record.number}"
