# SPDX-License-Identifier: Apache-2.0
"""repair: bring a tree back to its signed commit, from whatever signed source still has it.

1. Nothing in use changes before every new file is prepared, beside its place, checked and durable.
2. Then names change one by one, each file old or new. There is no journal: what is to be done
   follows from manifest and tree alone, so whoever is killed leaves less to do for the next run.
3. What has no source, is immutable, or belongs to nobody's signature is left, named, and keeps the
   others from nothing.
4. At its end everything that was touched is measured again.

It reads /etc only as far as the commit has one and no owner signed it (``repair_etc`` is for that),
and leaves what is state of the host (/var, /run, homes) or its own (/usr/local). It mends no
repository and remounts nothing.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from verity.formats import elf
from verity.formats.dump import Entry, printable
from verity.formats.etc_rules import FileClass
from verity.ports import booted, many, places, tree
from verity.ports.content_store import ContentStore
from verity.ports.ostree_repo import Repository
from verity.ports.tree import Contents, Gap, Node, Tree
from verity.values.digest import Digest, HashAlgorithm
from verity.values.errors import HostError, VerityError
from verity.verbs import batch, enable, etc_read, repair_plan
from verity.verbs.enable import How, Target
from verity.verbs.repair_granted import Granted
from verity.verbs.repair_plan import Left, Plan
from verity.verbs.repair_sources import Sources
from verity.verbs.repair_trees import OWN, Trees, refuse_read_only
from verity.verbs.signed import SignedCommit

_ETC = b"/etc/"
_LOCAL = b"/usr/local"
_STAGE = re.compile(rb"(?:/[^/]+)?/" + re.escape(os.fsencode(places.STAGE)) + rb"-[0-9a-f]{16}")
_NO_VERITY = frozenset({"no-verity-filesystem", "no-verity-feature"})


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be repaired. ``etc_is_signed``: /etc is its owner's, and not looked at here.

    What is ``granted`` is never removed; what is as the owner signed it among ``extensions`` is not
    looked at.
    """

    root: Path
    commit: SignedCommit
    remove_unsigned: bool = False
    etc_is_signed: bool = False
    granted: Granted = field(default_factory=Granted)
    extensions: Mapping[bytes, Entry] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Done:
    """What is left at the end, beside what the plan left, and how many files got fs-verity that
    lacked nothing else."""

    left: tuple[Left, ...]
    protected: int


@dataclass(kw_only=True)
class Planned:
    """A plan with what it rests on. ``sources`` name where the contents of each path come from."""

    asked: Asked
    plan: Plan
    contents: Sources
    sources: dict[bytes, str] = field(default_factory=dict)


def look(
    asked: Asked, repository: Repository, progress: Callable[[int], None] = lambda done: None
) -> Planned:
    """Read the tree, and plan. Raises HostError if the tree can't be opened.

    1. What is there.
    2. What is to be done.
    3. Where the contents are, and that each place can be changed; what isn't so is left.
    """
    # 1. What is there.
    due = _due(asked)
    nodes, gaps = _read(asked.root, due, progress)
    # 2. What is to be done.
    made = repair_plan.plan(
        due, nodes, gaps, may_remove=partial(_may_remove, asked), owned=asked.extensions
    )
    made.leave_state(OWN - {_ETC[:-1]})
    contents = Sources(
        root=asked.root,
        repository=repository,
        commit=asked.commit,
        nodes=nodes,
        store=ContentStore(asked.root, places.STORE),
    )
    planned = Planned(asked=asked, plan=made, contents=contents)
    # 3. Sources and places.
    for entry in list(made.put):
        try:
            planned.sources[entry.path] = contents.find(entry).name
        except VerityError as error:
            made.drop(entry.path, error.message, error.hint or "")
    with ExitStack() as stack:
        trees = Trees(asked.root, nodes, stack)
        for entry in (*made.remove, *made.make, *made.put, *made.dress):
            try:
                trees.check(entry)
            except VerityError as error:
                made.drop(entry.path, error.message, error.hint or "")
    return planned


def carry_out(planned: Planned, pause: Callable[[float], None]) -> Done:
    """Do what was planned.

    1. Refuse a read-only file system, before anything is written.
    2. Remove what a killed run prepared; prepare every file.
    3. Change names; make that durable.
    4. Turn on fs-verity, and measure everything that was touched.
    """
    made, root = planned.plan, planned.asked.root
    with ExitStack() as stack:
        trees = Trees(root, planned.contents.nodes, stack)
        # 1. Read-only.
        for top in sorted({trees.top(entry.path) for entry in _touched(made)}):
            refuse_read_only(root, top)
        # 2. Prepare.
        trees.clear_all()
        try:
            for entry in made.put:
                trees.of(entry.path).prepare(entry, planned.contents.fill)
            trees.sync()
        except BaseException:
            trees.clear()
            raise
        # 3. Change.
        try:
            _change(made, trees)
        except VerityError as error:
            raise HostError(
                error.code,
                f"{error.message}; of the plan some is done, and some is not",
                hint=f"{error.hint or 'mend that'}; then run it again: it does the rest",
            ) from error
    # 4. Measure.
    left, failed = _protected(root, made, pause)
    lacked = {entry.path for entry in made.protect}
    return Done(left=(*left, *_wrong(root, made)), protected=len(lacked - failed))


def _due(asked: Asked) -> dict[bytes, Entry]:
    """The manifest, without what is its owner's of /etc and what OSTree leaves to the host."""
    entries = asked.commit.manifest.entries
    if booted.is_deployed(asked.root):
        left = tuple(place + b"/" for place in booted.LEFT_TO_HOST)
        entries = tuple(entry for entry in entries if not entry.path.startswith(left))
    if not any(entry.path.startswith(_ETC) for entry in entries):
        return {entry.path: entry for entry in entries}
    rules = etc_read.rules_for_signing(asked.root)
    return {
        entry.path: entry
        for entry in entries
        if not entry.path.startswith(_ETC)
        or (not asked.etc_is_signed and rules.of(entry.path).file_class is FileClass.SIGNED)
    }


def _read(
    root: Path, due: Mapping[bytes, Entry], progress: Callable[[int], None]
) -> tuple[dict[bytes, Node], list[Gap]]:
    """What is there of what is signed, and beside it in the directories of the system."""
    tops = {repair_plan.top_of(path) for path, one in due.items() if one.is_regular} - OWN

    def visit(path: bytes) -> bool:
        if _STAGE.fullmatch(path):
            return False
        if path in due:
            return True
        return (
            repair_plan.top_of(path) in tops
            and path != _LOCAL
            and not path.startswith(_LOCAL + b"/")
        )

    def judge(fd: int, path: bytes) -> Contents:
        contents = tree.measured(fd, path)
        if path in due or contents.head:
            return contents
        return Contents(
            digest=contents.digest,
            by_kernel=contents.by_kernel,
            head=os.pread(fd, elf.HEAD_SIZE, 0),
        )

    nodes: dict[bytes, Node] = {}
    gaps: list[Gap] = []
    with Tree(root) as opened:
        for number, item in enumerate(opened.walk(judge, visit=visit), 1):
            if isinstance(item, Gap):
                gaps.append(item)
            else:
                nodes[item.path] = item
            if number % 500 == 0:
                progress(number)
    return nodes, gaps


def _may_remove(asked: Asked, node: Node) -> bool:
    privileged = repair_plan.power_of(node) == repair_plan.PRIVILEGED
    kept = asked.granted.elevated if privileged else asked.granted.code
    return asked.remove_unsigned and node.entry.digest not in kept


def _change(made: Plan, trees: Trees) -> None:
    for entry in made.remove:
        trees.of(entry.path).remove(entry)
    for entry in made.make:
        trees.of(entry.path).make(entry)
    for entry in made.put:
        trees.of(entry.path).put(entry)
    for entry in made.dress:
        trees.of(entry.path).dress(entry)
    trees.clear()
    trees.sync()


def _touched(made: Plan) -> Iterator[Entry]:
    yield from (*made.remove, *made.make, *made.put, *made.dress, *made.protect)


def _protected(
    root: Path, made: Plan, pause: Callable[[float], None]
) -> tuple[list[Left], set[bytes]]:
    """Turn on fs-verity for what is as signed by now; what failed, and all paths that did."""
    entries = sorted((*made.put, *made.protect))
    targets = {
        Target(
            label=printable(entry.path),
            open=partial(_open, root, entry.path),
            expected=Digest(HashAlgorithm.SHA256, entry.digest),
        ): entry.path
        for entry in entries
        if entry.digest is not None
    }
    how = How(jobs=batch.default_jobs(), pause=pause, stop=many.Stop())
    left: list[Left] = []
    failed: set[bytes] = set()
    without = []
    for target, result in enable.enable(list(targets), how):
        if not isinstance(result, VerityError):
            continue
        failed.add(targets[target])
        if result.code in _NO_VERITY:
            without.append(result.message)
        else:
            left.append(Left(path=targets[target], why=result.message, hint=result.hint or ""))
    if without:
        why = f"{len(without)} files are as signed and without fs-verity: {without[0]}"
        hint = "`verity doctor` says what this file system lacks"
        left.append(Left(path=b"/", why=why, hint=hint))
    return left, failed


def _open(root: Path, path: bytes) -> int:
    with Tree(root) as opened:
        return opened.open(path)


def _wrong(root: Path, made: Plan) -> Iterator[Left]:
    """What is not as signed after all. That fs-verity is off was said already."""
    entries: Iterable[Entry] = sorted((*made.make, *made.put, *made.dress))
    with Tree(root) as opened:
        for entry in entries:
            try:
                why = repair_plan.wrong(entry, opened.read(entry.path, tree.measured))
            except VerityError as error:
                yield Left(path=entry.path, why=error.message, hint=error.hint or "")
                continue
            if why and why != repair_plan.NO_VERITY:
                yield Left(path=entry.path, why=f"{why} again", hint="something writes it")
