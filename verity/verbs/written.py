# SPDX-License-Identifier: Apache-2.0
"""What stands in the places that programs of the host write to: those that are ``mutable`` or
``produced`` by the policy, or by the host's drop-ins without one.

1. Of accounts and of units under /run/systemd it says what they say, item by item; of all others
   it has digest and metadata. Of a password it has its state, and a digest to see a change by.
2. /run/systemd is full of what changes by itself; of it, only what systemd starts something from is
   looked at. Scopes and slices name no program, and come and go with each login.
3. Backups (``passwd-``) say nothing of their own.

No symlink is followed. What can't be read is a Gap. It compares nothing.
"""

import fnmatch
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from verity.formats import accounts, unit_said
from verity.formats.acknowledged import Written
from verity.formats.etc_rules import FileClass, matcher
from verity.formats.policy import Guard, Policy, Profile
from verity.ports import tree
from verity.ports.places import POLICY
from verity.ports.tree import Contents, Gap, Node, Tree
from verity.values.errors import HostError, VerityError
from verity.verbs import policy_lists, policy_read

RUN = b"/run/"

_WRITTEN = (FileClass.MUTABLE, FileClass.PRODUCED)
_SYSTEMD = b"/run/systemd/"
_STARTS = re.compile(
    rb"(?:system|user)(?:\.control|\.attached)?|transient|generator(?:\.early|\.late)?"
    rb"|(?:system|user)(?:-generators|-preset|-environment-generators)|system-shutdown|system-sleep"
    rb"|[a-z-]+\.conf\.d|network"
)
_NO_PROGRAM = re.compile(rb".*\.(?:scope|slice)(?:\.d/.*)?", re.DOTALL)
_UNIT = re.compile(
    rb".*\.(?:service|socket|timer|path|mount|automount|swap|target|conf)", re.DOTALL
)
_WILD = re.compile(rb"[*?]")
_MAX_ACCOUNTS = 16 << 20


@dataclass
class State:
    """The files by path, what could not be read, and how many are of each class."""

    files: dict[bytes, Written] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


class Places:
    """Which paths are looked at, by the last line of the policy that names each."""

    def __init__(self, policy: Policy) -> None:
        lines = policy.of(Guard)
        self._lines = [(matcher(line.path), line) for line in reversed(lines)]
        self._patterns = [
            os.fsencode(line.path).split(b"/") for line in lines if line.file_class in _WRITTEN
        ]

    def class_of(self, path: bytes) -> FileClass | None:
        """The class of a path, if it is one that is looked at."""
        for pattern, line in self._lines:
            if pattern.match(path):
                return line.file_class if line.file_class in _WRITTEN else None
        return None

    def tops(self) -> list[bytes]:
        """The longest paths without a wildcard, none of them below another."""
        found: list[bytes] = []
        for parts in sorted(self._patterns):
            plain = next((at for at, part in enumerate(parts) if _WILD.search(part)), len(parts))
            top = b"/".join(parts[:plain]) or b"/"
            if not any(top == one or top.startswith(one.rstrip(b"/") + b"/") for one in found):
                found.append(top)
        return found

    def may_hold(self, path: bytes) -> bool:
        """Whether a path is named by a line, or is above or below one."""
        parts = path.split(b"/")
        return any(
            all(map(fnmatch.fnmatchcase, parts, pattern))  # as far as the shorter one goes
            for pattern in self._patterns
        )


def places(root: Path, policy: Policy | None) -> Places:
    """By a verified policy; without one by what is installed, which the area trust of an audit
    judges, or by the drop-ins. Raises HostError, ContentError for these."""
    if policy is None and policy_read.is_installed(root):
        policy = policy_lists.read_policy(root / POLICY)
    if policy is None:
        policy = policy_read.as_one(policy_read.source(root, Profile.STANDARD))
    return Places(policy)


def read(root: Path, where: Places, *, live: bool) -> State:
    """Everything that is there; of a tree that isn't ``live`` nothing in /run."""
    state = State()
    for top in where.tops():
        if live or not (top + b"/").startswith(RUN):
            _read_top(root, top, where, state)
    return state


def _read_top(root: Path, top: bytes, where: Places, state: State) -> None:
    try:
        with Tree(root) as opened:
            first = opened.read(top, tree.measured)
    except VerityError as error:
        if error.code != "not-found":
            state.gaps.append(Gap(path=top, why=error.message, hint=error.hint or ""))
        return
    if not first.entry.is_directory:
        _add(root, top, first, where, state)
        return
    try:
        with Tree(root, below=top) as opened:
            for item in opened.walk(
                lambda fd, path: _digester(fd, top + path, where),
                visit=lambda path: where.may_hold(top + path),
            ):
                path = top if item.path == b"/" else top + item.path
                if isinstance(item, Gap):
                    if where.class_of(path) is not None:
                        state.gaps.append(Gap(path=path, why=item.why, hint=item.hint))
                elif not item.entry.is_directory:
                    _add(root, path, item, where, state)
    except HostError as error:
        state.gaps.append(Gap(path=top, why=error.message, hint=error.hint or ""))


def _digester(fd: int, path: bytes, where: Places) -> Contents:
    return tree.measured(fd, path) if _is_looked_at(path, where) else tree.unjudged(fd, path)


def _is_looked_at(path: bytes, where: Places) -> bool:
    if where.class_of(path) is None or _is_backup(path):
        return False
    if not path.startswith(_SYSTEMD):
        return True
    below = path.removeprefix(_SYSTEMD)
    folder, slash, _ = below.partition(b"/")
    return bool(slash and _STARTS.fullmatch(folder)) and not _NO_PROGRAM.fullmatch(below)


def _is_backup(path: bytes) -> bool:
    return path.endswith(b"-") and path[:-1] in accounts.FILES


def _add(root: Path, path: bytes, found: Node, where: Places, state: State) -> None:
    file_class = where.class_of(path)
    if file_class is None:
        return
    state.counts[file_class.value] = state.counts.get(file_class.value, 0) + 1
    entry = found.entry
    if not _is_looked_at(path, where):
        return
    said: accounts.Said = {}
    if entry.is_regular:
        try:
            said = _said(root, path)
        except VerityError as error:
            state.gaps.append(Gap(path=path, why=error.message, hint=error.hint or ""))
            return
    state.files[path] = Written(
        path=path,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        digest=entry.digest,
        target=entry.target,
        said=said,
    )


def _said(root: Path, path: bytes) -> accounts.Said:
    """What a file says, if it is one of those that are read."""
    kind = accounts.FILES.get(path)
    if kind is not None:
        return accounts.parse(kind, _contents(root, path, _MAX_ACCOUNTS))
    if path.startswith(_SYSTEMD) and _UNIT.fullmatch(path):
        lines = unit_said.said(_contents(root, path, unit_said.MAX_SIZE))
        return {name: {"value": text} for name, text in lines.items()}
    return {}


def _contents(root: Path, path: bytes, limit: int) -> bytes:
    with Tree(root) as opened:
        fd = opened.open(path)
    with open(fd, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise HostError("too-large", f"more than {limit} bytes, which no such file has")
    return data


def sorted_files(files: Iterable[Written]) -> tuple[Written, ...]:
    """As a record has them."""
    return tuple(sorted(files, key=lambda one: one.path))


def metadata(one: Written) -> Iterator[tuple[str, str]]:
    """Mode and owner, by name, for people."""
    yield "mode", f"{stat.S_IMODE(one.mode):04o}"
    yield "owner", f"{one.uid}:{one.gid}"
