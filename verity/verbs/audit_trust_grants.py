# SPDX-License-Identifier: Apache-2.0
"""Area trust: the commit's grants made anew, from its manifest and the contents in the repository.

A signer could have granted more than the files earn; the gate would take it. Only files that can
earn something are read, and of them the first bytes: what is granted, what may be executed, kernel
modules and firmware. That a library without an x bit has no grant is found with ``deep``, when
every file is asked. An object whose contents aren't those of the manifest earns nothing and refutes
nothing: whether files are as signed is the area files' question.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from verity.formats import elf
from verity.formats.dump import Entry, printable
from verity.formats.fsverity import Hasher
from verity.formats.grant_rules import as_granted, earned, is_module
from verity.ports import content, kernel
from verity.ports.osfile import read_head
from verity.ports.ostree_repo import Repository
from verity.values.audit import Area, Check, Severity
from verity.values.digest import CANONICAL, Digest
from verity.values.errors import ContentError, HostError, VerityError
from verity.values.findings import Link
from verity.verbs import commit_differences
from verity.verbs.audit_collect import Collector
from verity.verbs.audit_host import AuditedHost
from verity.verbs.signed import SignedCommit

CHECKS = (
    Check(
        id="grants-differ",
        area=Area.TRUST,
        severity=Severity.CRITICAL,
        title="the grants are what manifest and contents earn",
    ),
)
_EXECUTE = 0o111
_PROGRESS_EVERY = 500


def examine(host: AuditedHost, found: Collector) -> None:
    """Recompute the grants, where there is a repository with the contents."""
    commit = host.commit
    if commit is None:
        found.unasked("the grants", "there is no verified commit", "grants-differ")
        return
    if host.repo is None:
        found.skip("there is no repository that has the contents", "grants-differ")
        return
    label = f"commit {commit.checksum[:12]}"
    wanted = _wanted(commit, every=host.deep)
    try:
        read = _read(host.repo, commit, wanted, host.progress)
    except VerityError as error:
        found.gap("grants-differ", label, error.message, error.hint or "")
        return
    given = commit.grants.grants
    try:
        due = earned(*_earning(commit, read.heads), as_granted(given))
    except VerityError as error:
        found.error("grants-differ", error, Link.GRANTS, label)
        return
    unknown = wanted.keys() - read.paths
    found.take(commit_differences.of_grants(given, due, commit.manifest.entries, unknown))
    found.notes += commit_differences.jit_notes(given, commit.manifest.entries)
    found.counts["files whose grants were made anew"] = len(read.heads)
    for path, why in read.errors:
        found.gap("grants-differ", printable(path), why.message, why.hint or "", path)
    others = len(unknown) - len(read.errors)
    if others:
        found.notes.append(
            f"{others} objects of the commit hold other contents than its manifest says, so what"
            " they earn was not asked: `verity commit verify` names them"
        )


@dataclass
class _Read:
    """First bytes by digest, of files at these ``paths``; and what could not be read."""

    heads: dict[bytes, bytes] = field(default_factory=dict)
    paths: set[bytes] = field(default_factory=set)
    errors: list[tuple[bytes, HostError]] = field(default_factory=list)


def _wanted(commit: SignedCommit, *, every: bool) -> dict[bytes, Entry]:
    """One entry for each digest that can earn a grant, by its path."""
    granted = {one.digest for one in commit.grants.grants.code}
    granted |= {one.digest for one in commit.grants.grants.elevate}
    found: dict[bytes, Entry] = {}
    for entry in commit.manifest.entries:
        if entry.digest is not None and (
            every or entry.digest in granted or entry.mode & _EXECUTE or is_module(entry)
        ):
            found.setdefault(entry.digest, entry)
    return {entry.path: entry for entry in found.values()}


def _earning(
    commit: SignedCommit, heads: Mapping[bytes, bytes]
) -> tuple[list[Entry], dict[bytes, bytes]]:
    """Every entry that can earn something: each path of what was read, and configuration, of which
    no contents are needed."""
    config = {one.path for one in commit.grants.grants.config}
    entries = [
        entry
        for entry in commit.manifest.entries
        if entry.digest in heads or (config and entry.path in config)
    ]
    unread = {entry.digest: b"" for entry in entries if entry.digest is not None}
    return entries, {**unread, **heads}


def _read(
    repo: Path,
    commit: SignedCommit,
    wanted: dict[bytes, Entry],
    progress: Callable[[str, int, int], None],
) -> _Read:
    found = _Read()
    with Repository(repo) as repository:
        for path, checksum in repository.contents_at(commit.checksum, wanted):
            entry = wanted[path]
            if entry.digest is None:
                continue
            try:
                head = _head(repository, checksum, entry.digest)
            except HostError as error:
                found.errors.append((path, error))
                continue
            except ContentError:
                continue  # not what its name says: one of those that earn nothing here
            if head is not None:
                found.heads[entry.digest] = head
                found.paths.add(path)
            if len(found.paths) % _PROGRESS_EVERY == 0:
                progress("grants", len(found.paths), len(wanted))
    return found


def _head(repository: Repository, checksum: str, digest: bytes) -> bytes | None:
    """The first bytes of an object of this digest; None if it has another."""
    with repository.open_content(checksum) as opened:
        if opened.fd is None:  # in an archive contents are compressed: they are read as a whole
            head = bytearray()
            hasher = Hasher(hashes=kernel.block_hashes())
            for piece in opened.pieces():
                hasher.update(piece)
                head += piece[: elf.HEAD_SIZE - len(head)]
            return bytes(head) if hasher.finish().value == digest else None
        found: Digest | None
        try:
            found = kernel.measure(opened.fd, label=opened.label)
        except HostError:
            found = None  # no fs-verity on this file system: hashing is what is left
        if found is None or found.algorithm is not CANONICAL.algorithm:
            found = content.digest_fd(opened.fd, CANONICAL, label=opened.label)
        head_bytes = read_head(opened.fd, elf.HEAD_SIZE, label=opened.label)
        return head_bytes if found.value == digest else None
