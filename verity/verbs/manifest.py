# SPDX-License-Identifier: Apache-2.0
"""manifest make, show, diff: composefs-dump of a tree or a commit.

Making one from a directory reads every file; a file that can't be read fails the whole, because
a manifest with holes would be signed as if it had none.
"""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from verity.formats import dump
from verity.formats.dump import printable
from verity.ports import tree
from verity.ports.osfile import read_file
from verity.ports.ostree_repo import Repository
from verity.ports.tree import Gap, Node, Tree
from verity.values.errors import HostError
from verity.values.findings import Finding, Link
from verity.verbs import contents
from verity.verbs.audit_files_compare import metadata_differences


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A manifest in a few numbers. ``size`` is bytes of contents."""

    sha256: str
    files: int
    directories: int
    symlinks: int
    others: int
    size: int


def of_directory(root: Path) -> bytes:
    """The manifest of a directory tree, every file hashed now."""
    return dump.serialise([node.entry for node in read_directory(root)])


def read_directory(root: Path) -> list[Node]:
    """Every file of a directory tree, hashed now; HostError if one can't be read."""
    nodes: list[Node] = []
    with Tree(root) as opened:
        for item in opened.walk(tree.hashed):
            if isinstance(item, Gap):
                raise HostError(
                    "unreadable", f"{printable(item.path)}: {item.why}", hint=item.hint or None
                )
            nodes.append(item)
    return nodes


def of_commit(repository: Repository, revision: str, *, jobs: int) -> bytes:
    """The manifest of a commit, every object read and checked."""
    found = contents.read(repository, repository.resolve(revision), jobs=jobs)
    if found.damaged:
        path, error = found.damaged[0]
        raise type(error)(error.code, f"{printable(path)}: {error.message}", hint=error.hint)
    return dump.serialise(found.entries)


def load(path: Path) -> bytes:
    """Read a manifest file; it is not yet parsed."""
    return read_file(path, max_size=dump.MAX_SIZE)


def summarise(data: bytes) -> Summary:
    """Parse a manifest and count."""
    entries = dump.parse(data)
    regular = [entry for entry in entries if entry.is_regular]
    directories = sum(stat.S_ISDIR(entry.mode) for entry in entries)
    symlinks = sum(entry.is_symlink for entry in entries)
    return Summary(
        sha256=hashlib.sha256(data).hexdigest(),
        files=len(regular),
        directories=directories,
        symlinks=symlinks,
        others=len(entries) - len(regular) - directories - symlinks,
        size=sum(entry.size for entry in regular),
    )


def diff(old: bytes, new: bytes) -> list[Finding]:
    """What differs between two manifests, a finding a path, sorted by path."""
    before = {entry.path: entry for entry in dump.parse(old)}
    after = {entry.path: entry for entry in dump.parse(new)}
    findings = []
    for path in sorted(before.keys() | after.keys()):
        one, other = before.get(path), after.get(path)
        if one is None:
            findings.append(_finding("added", path, "added", [("", "no such file", "there")]))
        elif other is None:
            findings.append(_finding("removed", path, "removed", [("", "there", "no such file")]))
        elif one != other:
            changes = metadata_differences(one, other)
            if stat.S_IFMT(one.mode) != stat.S_IFMT(other.mode):
                changes.insert(0, ("type", f"{one.mode:o}", f"{other.mode:o}"))
            if one.size != other.size:
                changes.insert(0, ("size", str(one.size), str(other.size)))
            if one.digest != other.digest and one.digest and other.digest:
                changes.insert(0, ("digest", one.digest.hex(), other.digest.hex()))
            names = " and ".join(name for name, _, _ in changes)
            findings.append(_finding("changed", path, f"{names} changed", changes))
    return findings


def _finding(check: str, path: bytes, problem: str, changes: list[tuple[str, str, str]]) -> Finding:
    return Finding(
        check=check,
        link=Link.MANIFEST,
        object=printable(path),
        path=path,
        problem=problem,
        expected=", ".join(f"{name} {old}".strip() for name, old, _ in changes),
        found=", ".join(f"{name} {new}".strip() for name, _, new in changes),
    )
