# SPDX-License-Identifier: Apache-2.0
"""Reading /etc (and the dotfiles of homes that are part of it) as what a manifest of it says.

Paths are those on the host, so the manifest begins with frames: ``/``, and the directories down
to a home, which are not ours; they stand there as ``40755 0 0`` and are never compared or changed.

A file of another class than ``signed`` is not in the manifest: its metadata is read, its contents
are not. What can't be read is a ``Gap``, by the caller to refuse or to report.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from verity.formats.dump import Entry, printable
from verity.formats.etc_manifest import ETC as ETC
from verity.formats.etc_manifest import FRAME_MODE
from verity.formats.etc_rules import MAX_SIZE, DropIn, FileClass, Rule, Rules
from verity.ports import places, policy_files, tree
from verity.ports.content_store import ContentStore
from verity.ports.osfile import closing
from verity.ports.tree import Contents, Digester, Gap, Tree
from verity.values.errors import CallerError, HostError

_OWNER_POLICY = b"/" + os.fsencode(places.OWNER_POLICY) + b"/"


@dataclass(frozen=True, kw_only=True)
class Other:
    """A file that isn't signed, and the rule that says so."""

    entry: Entry
    rule: Rule


@dataclass
class Found:
    """What is there: what counts as signed, what doesn't, what could not be read.

    ``unprotected`` are files that count as signed and whose digest isn't the kernel's.
    """

    entries: dict[bytes, Entry] = field(default_factory=dict)
    unprotected: set[bytes] = field(default_factory=set)
    others: dict[bytes, Other] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What is looked at: the host's root, its homes that are part, and the rules.

    ``signed`` are the paths of a signed manifest: they are signed whatever a later rule says.
    """

    root: Path
    homes: tuple[bytes, ...]
    rules: Rules
    signed: frozenset[bytes] = frozenset()

    def rule(self, path: bytes) -> Rule:
        """The rule for a path."""
        found = self.rules.of(path)
        if path in self.signed and found.file_class is not FileClass.SIGNED:
            return replace(found, file_class=FileClass.SIGNED, reason="it stands in what is signed")
        return found

    @property
    def tops(self) -> tuple[bytes, ...]:
        """The directories that are read."""
        return (ETC, *self.homes)


def home_path(text: str) -> bytes:
    """The path of a home on the host, from an argument."""
    parts = os.fsencode(text).split(b"/")
    if parts[0] or len(parts) < 2 or any(part in (b"", b".", b"..") for part in parts[1:]):
        raise CallerError(
            "bad-home", f"--home: {text!r} is no absolute path such as /root, as seen on the host"
        )
    if any(part.startswith(b".") for part in parts) or parts[1] == b"etc":
        raise CallerError(
            "bad-home", f"--home: {text!r}: a home is not in /etc nor below a dotfile"
        )
    return b"/".join(parts)


def frames_of(homes: Iterable[bytes]) -> dict[bytes, Entry]:
    """The directories that lead to what is read."""
    paths = {b"/"}
    for home in homes:
        parts = home.split(b"/")
        paths |= {b"/".join(parts[:length]) for length in range(2, len(parts) + 1)}
    return {path: Entry(path=path, mode=FRAME_MODE, uid=0, gid=0) for path in paths}


def read(scope: Scope, digester: Digester = tree.measured) -> Found:
    """Read everything in scope. Raises HostError if /etc can't be opened; a home is a gap then."""
    found = Found(entries=frames_of(scope.homes))
    _read_top(scope, ETC, digester, found)
    for home in scope.homes:
        try:
            _read_top(scope, home, digester, found)
        except HostError as error:
            why = f"this home can't be opened ({error.code})"
            hint = "`verity etc sign` without that --home leaves it out"
            found.gaps.append(Gap(path=home, why=why, hint=hint))
    return found


def open_top(root: Path, top: bytes) -> Tree:
    """Open /etc or a home below the root: neither they nor what leads there may be symlinks."""
    return Tree(root, below=top)


def is_there(root: Path, top: bytes) -> bool:
    """Whether there is such a directory."""
    try:
        with open_top(root, top):
            return True
    except HostError:
        return False


def _read_top(scope: Scope, top: bytes, digester: Digester, found: Found) -> None:
    is_etc = top == ETC

    def judge(fd: int, path: bytes) -> Contents:
        signed = scope.rule(top + path).file_class is FileClass.SIGNED
        return digester(fd, path) if signed else tree.unjudged(fd, path)

    def visit(path: bytes) -> bool:
        return not _STAGE.fullmatch(path) and (is_etc or path.startswith(b"/."))

    with open_top(scope.root, top) as opened:
        for item in opened.walk(judge, visit=visit):
            path = top if item.path == b"/" else top + item.path
            if path in found.entries:  # a home, which is a frame
                continue
            rule = scope.rule(path)
            signed = rule.file_class is FileClass.SIGNED
            if isinstance(item, Gap):
                if signed:
                    found.gaps.append(replace(item, path=path))
                continue
            entry = item.entry._replace(path=path)
            if signed:
                found.entries[path] = entry
                if item.contents is not None and not item.contents.by_kernel:
                    found.unprotected.add(path)
            else:
                found.others[path] = Other(entry=entry, rule=rule)


_STAGE = re.compile(b"/" + re.escape(os.fsencode(places.STAGE)) + b"-[0-9a-f]{16}")


def rules_for_signing(root: Path) -> Rules:
    """Rules from what is there: the built-in ones, the vendor's, the owner's."""
    return _rules(root, policy_files.read(root / places.OWNER_POLICY))


def rules_as_signed(root: Path, entries: Mapping[bytes, Entry], store: ContentStore) -> Rules:
    """Rules from what was signed: a drop-in that nobody signed can't exempt anything.

    The owner's come from the content store, by the digests of the manifest.
    """
    owner = []
    for path, entry in entries.items():
        name = path.removeprefix(_OWNER_POLICY)
        if name == path or b"/" in name or not name.endswith(b".toml"):
            continue
        label = os.fsdecode(path)
        data = b""  # a link to /dev/null, which masks
        if entry.digest is not None:
            data = store.read(entry.digest, label=label, max_size=MAX_SIZE)
        owner.append(DropIn(name=os.fsdecode(name), origin=label, data=data))
    return _rules(root, owner)


def _rules(root: Path, owner: Iterable[DropIn]) -> Rules:
    by_name: dict[str, DropIn] = {}
    for source in (policy_files.built_in(), policy_files.read(root / places.VENDOR_POLICY), owner):
        by_name |= {one.name: one for one in source}  # the same name replaces
    return Rules(by_name.values())


def open_file(root: Path, path: bytes) -> int:
    """A descriptor of one regular file in scope, reached from the root without a symlink."""
    with Tree(root) as opened:
        return opened.open(path)


def above(path: bytes) -> Iterator[bytes]:
    """The directories that lead to a path, from the top."""
    parts = path.split(b"/")
    for length in range(2, len(parts)):
        yield b"/".join(parts[:length])


def modes_above(root: Path, path: bytes) -> Iterator[int]:
    """The modes of the directories that lead to a path, as far as they are there."""
    with Tree(root) as opened:
        for folder in above(path):
            try:
                yield opened.read(folder, tree.unjudged).entry.mode
            except HostError as error:
                if error.code != "not-found":
                    raise
                return


def contents(root: Path, path: bytes, *, max_size: int) -> bytes:
    """The contents of one regular file that is there; HostError (``too-large``)."""
    with closing(open_file(root, path)) as fd, open(fd, "rb", closefd=False) as file:
        data = file.read(max_size + 1)
    if len(data) > max_size:
        raise HostError("too-large", f"{printable(path)}: more than {max_size} bytes")
    return data
