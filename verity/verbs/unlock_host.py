# SPDX-License-Identifier: Apache-2.0
"""What every verb about unlocks begins with on the host: the gate's state, and the ledger.

The ledger is written before an effect, and never in its way: where it can't be written, the line
goes to the kernel's log, and once it can, what the gate has and the ledger lacks is added, marked
as late. Time is the gate's own boot clock; the wall clock is passed in and is a label.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import journal_entry, strictjson
from verity.formats.challenge import Challenge
from verity.formats.gate_status import GateStatus
from verity.formats.gate_unlocks import TakenUnlock, UnlockState
from verity.formats.ledger import Chain, Entry, Event
from verity.formats.unlock_request import operand_text, scope_name
from verity.ports import kernel_log, tpm_counter
from verity.ports import ledger as ledger_files
from verity.ports.journal import Journal
from verity.values.errors import HostError, VerityError
from verity.verbs import gate_view


@dataclass(frozen=True, kw_only=True)
class UnlockHost:
    """A host with a gate: its root, what the gate says, and the wall clock of this run."""

    root: Path
    gate: GateStatus
    now: int

    @property
    def challenge(self) -> Challenge:
        """What a token must name."""
        return Challenge(
            boot_nonce=self.gate.boot_nonce,
            host_id=self.gate.host_id,
            policy_serial=self.gate.policy_serial,
            boot_clock_s=self.gate.boot_clock_s,
        )

    @property
    def boot(self) -> str:
        """The boot, as the ledger names it."""
        return self.gate.boot_nonce.hex()

    @property
    def clock_s(self) -> int:
        """The boot clock when the gate was asked."""
        return self.gate.boot_clock_s

    @property
    def live(self) -> tuple[TakenUnlock, ...]:
        """The unlocks that count now."""
        return tuple(one for one in self.gate.unlocks if one.state is UnlockState.LIVE)

    def entry(
        self,
        event: Event,
        texts: Mapping[str, str],
        *,
        late: bool = False,
        clock_s: int | None = None,
        boot: str | None = None,
        numbers: Mapping[str, int] | None = None,
    ) -> Entry:
        """A line of the ledger, of now unless it says otherwise."""
        return Entry(
            event=event,
            at=self.now,
            boot=self.boot if boot is None else boot,
            clock_s=self.clock_s if clock_s is None else clock_s,
            late=late,
            texts={name: text for name, text in texts.items() if text},
            numbers=numbers or {},
        )


def look(root: Path, now: int) -> UnlockHost:
    """Ask the gate. HostError (``no-gate``, ``no-host-id``) where nothing can be unlocked."""
    gate = gate_view.status(root)
    if gate is None:
        raise HostError(
            "no-gate",
            "no gate is loaded: nothing is refused here, so there is nothing to unlock",
            hint="`verity lockdown status` says what is missing",
        )
    if not any(gate.host_id):
        raise HostError(
            "no-host-id",
            "the gate has no host id, and takes no token in this boot",
            hint="`verity lockdown init` writes /etc/verity/host-id; then reboot",
        )
    return UnlockHost(root=root, gate=gate, now=now)


def record(host: UnlockHost, *entries: Entry) -> tuple[str, ...]:
    """Write lines, durably; what can't be written is said, and stands in the kernel's log."""
    try:
        notes = ledger_files.append(host.root, entries, tpm_counter.of(host.root))
    except VerityError as error:
        return (
            f"the ledger can't be written ({error.message}): it is in the kernel's log, and what"
            " the gate takes is added later",
            *_log(host.root, entries),
        )
    with contextlib.suppress(HostError):  # it is told besides
        for note in notes:
            kernel_log.write(host.root, b"unlock ledger: " + note.encode())
    return notes


def carry_over(host: UnlockHost) -> tuple[str, ...]:
    """Add what the gate has and the ledger lacks, and the ends of what is over."""
    try:
        chain = ledger_files.read(host.root)
    except VerityError as error:
        return (f"the ledger can't be read: {error.message}",)
    lacking = missing(host, chain)
    notes = record(host, *lacking) if lacking else ()
    for entry in lacking:
        if entry.event is Event.END and entry.boot == host.boot:
            notes += journal(host, f"the unlock {entry.token} is over: {entry.texts['why']}")
    return notes


def journal(host: UnlockHost, said: str) -> tuple[str, ...]:
    """An entry for systemd's journal; what didn't work."""
    fields = {
        "MESSAGE": f"verity: {said}",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "verity",
        "VERITY_UNLOCKED": str(len(host.live)),
    }
    try:
        Journal(host.root).send(journal_entry.encode(fields))
    except VerityError as error:
        return (error.message,)
    return ()


def missing(host: UnlockHost, chain: Chain) -> list[Entry]:
    """The lines that a ledger lacks.

    1. Tokens and drills of this boot that it knows no grant of.
    2. The end of those that are over.
    3. The end, by reboot, of those of earlier boots.
    """
    found: list[Entry] = []
    granted = {(one.boot, one.token) for one in chain.entries if one.event is Event.GRANT}
    ended = {(one.boot, one.token) for one in chain.entries if one.event is Event.END}
    drilled = {one.token for one in chain.entries if one.event is Event.DRILL}
    for one in host.gate.unlocks:
        key = (host.boot, one.token_id.hex())
        # 1. Grants.
        if key not in granted:
            found.append(granting(host, one, late=True))
        # 2. Ends.
        if key not in ended and one not in host.live:
            why = "relocked" if one.state is UnlockState.RELOCKED else "its time was over"
            over = min(one.until_s, host.clock_s)
            found.append(
                host.entry(Event.END, {"token": key[1], "why": why}, late=True, clock_s=over)
            )
    found += [
        host.entry(Event.DRILL, {"token": one.token_id.hex()}, late=True, clock_s=one.at_s)
        for one in host.gate.drills
        if one.token_id.hex() not in drilled
    ]
    # 3. Earlier boots.
    for boot, token in sorted(granted - ended):
        if boot != host.boot:
            texts = {"token": token, "why": "the boot ended"}
            found.append(host.entry(Event.END, texts, late=True, clock_s=0, boot=boot))
    return found


def granting(host: UnlockHost, one: TakenUnlock, *, late: bool = False) -> Entry:
    """The line of a grant."""
    return host.entry(
        Event.GRANT,
        {
            "token": one.token_id.hex(),
            "scope": scope_name(one.scope),
            "operand": operand_text(one.scope, one.operand) if one.operand else "",
            "reason_sha256": one.reason.hex(),
        },
        late=late,
        clock_s=one.applied_s,
        numbers={"until_s": one.until_s, "owners": sum(1 << owner for owner in one.owners)},
    )


def _log(root: Path, entries: Sequence[Entry]) -> tuple[str, ...]:
    try:
        for entry in entries:
            text = {"event": entry.event.value, "clock_s": entry.clock_s}
            kernel_log.write(
                root, b"unlock ledger " + strictjson.canonical({**text, **entry.texts})
            )
    except HostError as error:
        return (f"nor can the kernel's log: {error.message}",)
    return ()
