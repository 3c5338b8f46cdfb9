# SPDX-License-Identifier: Apache-2.0
"""etc apply, etc revert: bring /etc to a signed state, all of it, however often it is interrupted.

Up to the journal nothing in use has changed; from the journal on the new state is the intent, and
running it again does the rest, which follows from the states alone (``etc_plan``). So after a kill
or a power cut /etc is the old one, or `etc status` says that an apply is pending and the next
`etc apply` or `revert` makes it the new one. Programs that read meanwhile see each file old or new,
not all of them at once: docs/adr/0022 says why.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from verity.ports.etc_state import Journal
from verity.trust.revocations import Revocations
from verity.trust.trusted import TrustedSet
from verity.values.errors import CallerError, ContentError, HostError, VerityError
from verity.values.findings import Finding
from verity.verbs import (
    etc_compare,
    etc_intent,
    etc_parts,
    etc_protect,
    etc_read,
    etc_status,
    serial_floors,
)
from verity.verbs.etc_compare import Difference
from verity.verbs.etc_intent import Host, Intent
from verity.verbs.etc_parts import Parts
from verity.verbs.etc_plan import Plan
from verity.verbs.etc_protect import Protected
from verity.verbs.etc_read import Found
from verity.verbs.serial_floors import HostState


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What was done, or would be; ``wrong`` is what differs after all, ``loose`` what isn't
    compared and lets others in: that is left, too.

    ``finished``: it was an interrupted run that was brought to its end. ``abandoned``: the serial
    to which an interrupted run led that was given up. ``left_out``: homes that failed, and why.
    ``protected``: files that have fs-verity now, and those that lack it.
    """

    intent: Intent
    plan: Plan
    finished: bool
    abandoned: int | None = None
    wrong: tuple[Difference, ...] = ()
    loose: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: Mapping[bytes, str] = field(default_factory=dict)
    protected: Protected = field(default_factory=Protected)


def apply(host: Host, trusted: TrustedSet, serial: int | None, *, dry_run: bool = False) -> Applied:
    """Bring /etc to a serial; without one, to the intent, or to where an interrupted run led.

    Never to one below the intent (``goes-back``): that is what ``revert`` is for.
    """
    with host.state.writing():
        pending = host.state.journal()
        if serial is None:
            if pending is not None:
                return _bring(host, trusted, pending, pending, dry_run=dry_run)
            serial = host.state.must_current()
        current = host.state.current()
        if current is not None and serial < current:
            raise ContentError(
                "goes-back",
                f"serial {serial}: serial {current} is the intent, and an older one is not applied",
                hint=f"`verity etc revert {serial}` goes back on purpose",
            )
        return _bring(host, trusted, _journal(host, pending, serial), pending, dry_run=dry_run)


def resume(host: Host, trusted: TrustedSet) -> Applied | None:
    """End what was interrupted; None if nothing was."""
    with host.state.writing():
        pending = host.state.journal()
        if pending is None:
            _clear(host, trusted)
            return None
        return _bring(host, trusted, pending, pending, dry_run=False)


def abandon(host: Host, trusted: TrustedSet) -> Applied | None:
    """Give up what was interrupted: back to the intent, which is still the one before.

    Where nothing was changed yet that needs no contents. None if nothing was interrupted.
    """
    with host.state.writing():
        pending = host.state.journal()
        if pending is None:
            _clear(host, trusted)
            return None
        journal = _journal(host, pending, host.state.must_current())
        done = _bring(host, trusted, journal, pending, dry_run=False, way_out=_AS_IS)
        return replace(done, abandoned=pending.after)


def abandon_as_is(host: Host) -> bool:
    """Drop the journal and leave /etc as it is, perhaps in between; whether there was one.

    For when neither state can be had, or the journal itself is damaged: it verifies nothing.
    """
    with host.state.writing():
        if not host.state.has_journal():
            return False
        etc_parts.clear(host.root, ())
        host.state.end()
        return True


def _clear(host: Host, trusted: TrustedSet) -> None:
    """Before the journal there may be prepared files already."""
    etc_parts.clear(host.root, etc_intent.current(host, trusted).scope.homes)


def revert(
    host: Host, trusted: TrustedSet, serial: int | None = None, *, dry_run: bool = False
) -> Applied:
    """Bring /etc to the serial before the intent, or to an older one.

    Without a serial an interrupted run is ended, and no more: it may have been this very one.
    """
    with host.state.writing():
        pending = host.state.journal()
        if serial is None and pending is not None:
            return _bring(host, trusted, pending, pending, dry_run=dry_run)
        current = host.state.must_current()
        before = [one for one in host.state.serials() if one < current]
        if serial is not None and serial >= current:
            raise CallerError(
                "not-before",
                f"serial {serial}: not before serial {current}, which is the intent",
                hint=f"`verity etc apply {serial}` goes there",
            )
        if not before:
            raise HostError(
                "nothing-before",
                f"{host.state.path}: no signed /etc comes before serial {current}",
                hint="`verity etc apply` brings back what is signed",
            )
        journal = _journal(host, pending, before[-1] if serial is None else serial)
        return _bring(host, trusted, journal, pending, dry_run=dry_run)


def _journal(host: Host, pending: Journal | None, serial: int) -> Journal:
    """From all that may be there: what a pending run began with, and what it led to."""
    before = {host.state.current()}
    if pending is not None:
        before |= {*pending.before, pending.after}
    return Journal(before=tuple(sorted(one for one in before if one is not None)), after=serial)


_BACK = "`verity etc apply --abandon` goes back to what was signed before"
_AS_IS = "`verity etc apply --abandon-as-is` drops it and leaves /etc as it is, perhaps in between"


def _bring(
    host: Host,
    trusted: TrustedSet,
    journal: Journal,
    pending: Journal | None,
    *,
    dry_run: bool,
    way_out: str = _BACK,
) -> Applied:
    """The steps of all of them.

    1. Verify the target, its serial against the floors, and those before it for what has to go.
    2. Read what is there, and plan.
    3. Prepare every file, from the store, each checked while copied.
    4. Write the journal; the stream is the host's own from now on.
    5. Change names; make it durable.
    6. Make the target the intent, and remove the journal.
    7. Read again and compare; turn on fs-verity for what is as signed and has none.
    """
    with contextlib.ExitStack() as stack:
        with _still_pending(pending, way_out):
            # 1. Verify.
            intent = etc_intent.load(host, journal.after, trusted)
            serial_floors.hold(HostState.at(host.root), intent.manifest.source, trusted)
            earlier, notes = _earlier(host, trusted, journal)
            # 2. Plan.
            found = etc_read.read(intent.scope)
            # The homes of an interrupted run, too: what it prepared there is cleared.
            before = {home for one in earlier for home in one.scope.homes}
            parts = stack.enter_context(
                etc_parts.planned(
                    host.root,
                    homes={*intent.scope.homes, *(one for one in before if _is_there(host, one))},
                    earlier={path for one in earlier for path in one.entries},
                    target=intent.entries,
                    found=found,
                )
            )
            # 3. Prepare.
            if dry_run:
                parts.check(host.store)
            else:
                parts.clear()
            done = Applied(
                intent=intent,
                plan=parts.plan,
                finished=pending == journal,
                loose=etc_status.loose(found, intent),
                notes=tuple(notes),
                left_out=parts.left_out,
            )
            if dry_run:
                return done
            if done.plan.empty and pending is None and host.state.current() == journal.after:
                host.state.keep_stream(intent.stream)
                return _protected(host, done, parts, found)
            parts.prepare(host.store)
        # 4. Journal.
        try:
            host.state.keep_stream(intent.stream)
            if pending != journal:
                host.state.begin(journal)
        except BaseException:
            parts.clear()
            raise
        try:
            # 5. Change.
            parts.change()
            # 6. The intent.
            host.state.make_current(journal.after)
            host.state.end()
        except VerityError as error:
            raise HostError(
                error.code,
                f"{error.message}; /etc is in between, and serial {journal.after} is pending",
                hint=f"mend that, then `verity etc apply --resume`; {way_out}",
            ) from error
    # 7. Compare.
    found = etc_read.read(intent.scope)
    done = replace(
        done,
        plan=parts.plan,
        wrong=_wrong(intent, parts, found),
        loose=etc_status.loose(found, intent),
        left_out=parts.left_out,
    )
    return _protected(host, done, parts, found)


def _protected(host: Host, done: Applied, parts: Parts, found: Found) -> Applied:
    lacking = etc_protect.lacking(done.intent, found)
    paths = [path for path in lacking if not parts.is_left_out(path)]
    protected = etc_protect.protect(host.root, done.intent, paths)
    notes = etc_protect.notes(host.root, protected)
    return replace(done, protected=protected, notes=(*done.notes, *notes))


def _is_there(host: Host, home: bytes) -> bool:
    return etc_read.is_there(host.root, home)


@contextlib.contextmanager
def _still_pending(pending: Journal | None, way_out: str) -> Iterator[None]:
    """An error that leaves an interrupted run interrupted says so, and names the way out."""
    try:
        yield
    except VerityError as error:
        if pending is None:
            raise
        raise type(error)(
            error.code,
            f"{error.message}; serial {pending.after} is still pending",
            hint=f"{error.hint}; or {way_out}" if error.hint else way_out,
        ) from error


def _earlier(host: Host, trusted: TrustedSet, journal: Journal) -> tuple[list[Intent], list[str]]:
    """The intents before. One that can't be verified takes nothing away.

    A serial or a content that is revoked by now still says what has to go with it, and so does one
    of the stream that was the host's before.
    """
    trusted = replace(trusted, revocations=Revocations(keys=trusted.revocations.keys))
    found = []
    notes = []
    for serial in journal.before:
        try:
            found.append(etc_intent.load(host, serial, trusted, any_stream=True))
        except VerityError as error:
            notes.append(
                f"what serial {serial} had stays, because that can't be verified: {error.message}"
            )
    return found, notes


def _wrong(intent: Intent, parts: Parts, found: Found) -> tuple[Difference, ...]:
    left = set(parts.plan.left)
    return tuple(
        one
        for one in etc_compare.differences(intent.entries, found.entries, None)
        if one.path not in left and not parts.is_left_out(one.path)
    )
