# SPDX-License-Identifier: Apache-2.0
"""The parts of an apply: /etc, which has to succeed, and the homes that are part of it.

Who owns a home can make anything in it fail, at any moment. So a home that fails is left out and
told, and keeps nobody from bringing /etc back; what /etc fails at ends the whole.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from verity.formats.dump import Entry, printable
from verity.ports.content_store import ContentStore
from verity.ports.replace_tree import ReplaceTree
from verity.values.errors import HostError, VerityError
from verity.verbs import etc_plan, etc_read
from verity.verbs.etc_plan import Plan
from verity.verbs.etc_read import ETC, Found


@dataclass(frozen=True, kw_only=True)
class _Part:
    top: bytes
    tree: ReplaceTree
    plan: Plan


@dataclass(kw_only=True)
class Parts:
    """What is to be changed, part by part; ``left_out`` are the homes that failed, and why."""

    left_out: dict[bytes, str] = field(default_factory=dict)
    _parts: list[_Part] = field(default_factory=list)

    @property
    def plan(self) -> Plan:
        """What is to be done in all that didn't fail."""
        plans = [part.plan for part in self._parts]
        return Plan(
            remove=tuple(one for plan in plans for one in plan.remove),
            make=tuple(one for plan in plans for one in plan.make),
            put=tuple(one for plan in plans for one in plan.put),
            dress=tuple(one for plan in plans for one in plan.dress),
            left=tuple(one for plan in plans for one in plan.left),
        )

    def is_left_out(self, path: bytes) -> bool:
        """Whether a path lies in a home that failed."""
        return any(_is_in(path, top) for top in self.left_out)

    def check(self, store: ContentStore) -> None:
        """Refuse what ``prepare`` would, without writing anything."""

        def look(part: _Part) -> None:
            _check_places(part)
            for entry in part.plan.put:
                if entry.digest is not None:
                    store.check(entry.digest, label=printable(entry.path))

        self._each(look)

    def clear(self) -> None:
        """Remove what a run before prepared."""
        self._each(lambda part: part.tree.clear())

    def prepare(self, store: ContentStore) -> None:
        """Prepare every file, from the store; if that fails nothing of it is left."""

        def fill(entry: Entry, fd: int) -> None:
            if entry.digest is not None:
                store.copy(entry.digest, fd, label=printable(entry.path))

        def write(part: _Part) -> None:
            try:
                _check_places(part)
                for entry in part.plan.put:
                    part.tree.prepare(entry, fill)
                part.tree.sync()
            except BaseException:
                part.tree.clear()
                raise

        try:
            self._each(write)
        except BaseException:
            self.clear()
            raise

    def change(self) -> None:
        """Change the names, and make that durable."""

        def act(part: _Part) -> None:
            tree, plan = part.tree, part.plan
            for entries, step in (
                (plan.remove, tree.remove),
                (plan.make, tree.make),
                (plan.put, tree.put),
                (plan.dress, tree.dress),
            ):
                for entry in entries:
                    step(entry)
            tree.clear()
            tree.sync()

        self._each(act)

    def _each(self, act: Callable[[_Part], None]) -> None:
        for part in tuple(self._parts):
            try:
                act(part)
            except VerityError as error:
                if part.top == ETC:
                    raise
                with suppress(VerityError):  # what it failed at may keep us from that, too
                    part.tree.clear()
                self._parts.remove(part)
                self.left_out[part.top] = error.message


@contextmanager
def planned(
    root: Path,
    *,
    homes: Iterable[bytes],
    earlier: Iterable[bytes],
    target: Mapping[bytes, Entry],
    found: Found,
) -> Iterator[Parts]:
    """Plan each part. ``earlier`` are the paths of all intents before."""
    parts = Parts()
    had = tuple(earlier)
    with ExitStack() as stack:
        for top in (ETC, *sorted(homes)):
            try:
                plan = _plan(top, had, target, found)
            except VerityError as error:
                if top == ETC:
                    raise
                parts.left_out[top] = error.message
                continue
            tree = stack.enter_context(ReplaceTree(root, top, foreign=top != ETC))
            parts._parts.append(_Part(top=top, tree=tree, plan=plan))
        yield parts


def _plan(
    top: bytes, earlier: Collection[bytes], target: Mapping[bytes, Entry], found: Found
) -> Plan:
    for gap in found.gaps:
        if _is_in(gap.path, top):
            raise HostError(
                "unreadable",
                f"{printable(gap.path)}: {gap.why}",
                hint="nothing was changed; what can't be read can't be brought to a signed state",
            )
    there = Found(
        entries={path: one for path, one in found.entries.items() if _is_in(path, top)},
        others={path: one for path, one in found.others.items() if _is_in(path, top)},
    )
    due = {path: one for path, one in target.items() if _is_in(path, top)}
    return etc_plan.plan([path for path in earlier if _is_in(path, top)], due, there)


def clear(root: Path, homes: Iterable[bytes]) -> None:
    """Remove what a run prepared that was killed before it changed anything."""
    ReplaceTree(root, ETC).clear()
    for home in homes:
        if etc_read.is_there(root, home):
            ReplaceTree(root, home, foreign=True).clear()


def _check_places(part: _Part) -> None:
    for entry in (*part.plan.remove, *part.plan.put, *part.plan.dress):
        part.tree.check(entry)


def _is_in(path: bytes, top: bytes) -> bool:
    return path == top or path.startswith(top + b"/")
