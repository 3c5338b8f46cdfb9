# SPDX-License-Identifier: Apache-2.0
"""etc apply, etc revert: bring /etc to a signed state, all of it, however often it is interrupted.

Up to the journal nothing in use has changed; from the journal on the new state is the intent, and
running it again does the rest, which follows from the states alone (``etc_plan``). So after a kill
or a power cut /etc is the old one, or `etc status` says that an apply is pending and the next
`etc apply` or `revert` makes it the new one. Programs that read meanwhile see each file old or new,
not all of them at once: docs/adr/0022 says why.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from verity.formats.dump import Entry, printable
from verity.ports import places
from verity.ports.etc_state import Journal, not_signed
from verity.ports.replace_tree import ReplaceTree
from verity.trust.revocations import Revocations
from verity.trust.trusted import TrustedSet
from verity.values.errors import HostError, VerityError
from verity.verbs import etc_compare, etc_intent, etc_plan, etc_read, serial_floors
from verity.verbs.etc_compare import Difference
from verity.verbs.etc_intent import Host, Intent
from verity.verbs.etc_plan import Plan
from verity.verbs.serial_floors import HostState


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What was done, or would be; ``wrong`` is what differs after all.

    ``finished``: it was an interrupted run that was brought to its end.
    """

    intent: Intent
    plan: Plan
    finished: bool
    wrong: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()


def apply(host: Host, trusted: TrustedSet, serial: int | None, *, dry_run: bool = False) -> Applied:
    """Bring /etc to a serial; without one, to the intent, or to where an interrupted run led."""
    with host.state.writing():
        pending = host.state.journal()
        if serial is None:
            if pending is not None:
                return _bring(host, trusted, pending, pending, dry_run=dry_run)
            serial = _current(host)
        return _bring(host, trusted, _journal(host, pending, serial), pending, dry_run=dry_run)


def resume(host: Host, trusted: TrustedSet) -> Applied | None:
    """End what was interrupted; None if nothing was."""
    with host.state.writing():
        pending = host.state.journal()
        if pending is None:
            # Before the journal there may be prepared files already.
            scope = etc_intent.current(host, trusted).scope
            ReplaceTree(host.root, scope.tops, places.STAGE).clear()
            return None
        return _bring(host, trusted, pending, pending, dry_run=False)


def revert(host: Host, trusted: TrustedSet, *, dry_run: bool = False) -> Applied:
    """Bring /etc to the serial before the intent. An interrupted run is ended, and no more: it may
    have been this very one."""
    with host.state.writing():
        pending = host.state.journal()
        if pending is not None:
            return _bring(host, trusted, pending, pending, dry_run=dry_run)
        current = _current(host)
        before = [serial for serial in host.state.serials() if serial < current]
        if not before:
            raise HostError(
                "nothing-before",
                f"{host.state.path}: no signed /etc comes before serial {current}",
                hint="`verity etc apply` brings back what is signed",
            )
        return _bring(host, trusted, _journal(host, None, before[-1]), None, dry_run=dry_run)


def _current(host: Host) -> int:
    current = host.state.current()
    if current is None:
        raise not_signed(host.state.path)
    return current


def _journal(host: Host, pending: Journal | None, serial: int) -> Journal:
    """From all that may be there: what a pending run began with, and what it led to."""
    before = {host.state.current()}
    if pending is not None:
        before |= {*pending.before, pending.after}
    return Journal(before=tuple(sorted(one for one in before if one is not None)), after=serial)


def _bring(
    host: Host, trusted: TrustedSet, journal: Journal, pending: Journal | None, *, dry_run: bool
) -> Applied:
    """The steps of all of them.

    1. Verify the target, its serial against the floors, and those before it for what has to go.
    2. Read what is there, and plan.
    3. Prepare every file, from the store, each checked while copied.
    4. Write the journal.
    5. Change names; make it durable.
    6. Make the target the intent, and remove the journal.
    7. Read again and compare.
    """
    # 1. Verify.
    intent = etc_intent.load(host, journal.after, trusted)
    serial_floors.hold(HostState.at(host.root), intent.manifest.source, trusted)
    earlier, notes = _earlier(host, trusted, journal)
    # 2. Plan.
    plan = _plan(host, intent, {path for one in earlier for path in one.entries})
    done = Applied(intent=intent, plan=plan, finished=pending == journal, notes=tuple(notes))
    if dry_run:
        return done
    # The homes of an interrupted run, too: what it prepared there is cleared.
    before = {top for one in earlier for top in one.scope.tops}
    tops = {*intent.scope.tops, *(top for top in before if etc_read.is_there(host.root, top))}
    tree = ReplaceTree(host.root, sorted(tops), places.STAGE)
    # 3. Prepare.
    tree.clear()
    if plan.empty and pending is None and host.state.current() == journal.after:
        return done
    try:
        _prepare(host, tree, plan)
    except BaseException:
        tree.clear()
        raise
    # 4. Journal.
    if pending != journal:
        host.state.begin(journal)
    # 5. Change.
    try:
        for entries, act in (
            (plan.remove, tree.remove),
            (plan.make, tree.make),
            (plan.put, tree.put),
            (plan.dress, tree.dress),
        ):
            _each(entries, act)
        tree.clear()
        tree.sync()
    except VerityError as error:
        raise HostError(
            error.code,
            f"{error.message}; /etc is in between, and serial {journal.after} is pending",
            hint="mend that, then `verity etc apply --resume`",
        ) from error
    # 6. The intent.
    host.state.make_current(journal.after)
    host.state.end()
    # 7. Compare.
    return Applied(
        intent=intent,
        plan=plan,
        finished=done.finished,
        notes=done.notes,
        wrong=_wrong(intent, plan),
    )


def _earlier(host: Host, trusted: TrustedSet, journal: Journal) -> tuple[list[Intent], list[str]]:
    """The intents before. One that can't be verified takes nothing away.

    A serial or a content that is revoked by now still says what has to go with it.
    """
    trusted = replace(trusted, revocations=Revocations(keys=trusted.revocations.keys))
    found = []
    notes = []
    for serial in journal.before:
        try:
            found.append(etc_intent.load(host, serial, trusted))
        except VerityError as error:
            notes.append(
                f"what serial {serial} had stays, because that can't be verified: {error.message}"
            )
    return found, notes


def _plan(host: Host, intent: Intent, earlier: set[bytes]) -> Plan:
    found = etc_read.read(intent.scope)
    if found.gaps:
        gap = found.gaps[0]
        raise HostError(
            "unreadable",
            f"{printable(gap.path)}: {gap.why}",
            hint="nothing was changed; what can't be read can't be brought to a signed state",
        )
    return etc_plan.plan(earlier, intent.entries, found)


def _prepare(host: Host, tree: ReplaceTree, plan: Plan) -> None:
    for entry in (*plan.remove, *plan.put, *plan.dress):
        tree.check(entry.path)

    def fill(entry: Entry, fd: int) -> None:
        if entry.digest is not None:
            host.store.copy(entry.digest, fd, label=printable(entry.path))

    for entry in plan.put:
        tree.prepare(entry, fill)
    tree.sync()


def _each(entries: tuple[Entry, ...], act: Callable[[Entry], None]) -> None:
    for entry in entries:
        act(entry)


def _wrong(intent: Intent, plan: Plan) -> tuple[Difference, ...]:
    found = etc_read.read(intent.scope)
    return tuple(
        one
        for one in etc_compare.differences(intent.entries, found.entries, None)
        if one.path not in plan.left
    )
