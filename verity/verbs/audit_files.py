# SPDX-License-Identifier: Apache-2.0
"""The area files of an audit: every file of the signed manifest, as it is found on the host.

1. The lines of the manifest are compared, as bytes, with the lines that the files have now: type,
   size, mode, owner, device, xattrs, target, and the digest as the kernel says it. What has no
   fs-verity is hashed, and is a finding all the same: nothing keeps it as it is.
2. Each path that differs is looked at by itself (``audit_files_look``), and becomes one finding.
3. What nobody signed is a finding by what it could do, but for what lies in directories of state.
4. What is signed and was not seen is missing, unless a directory above it could not be read.

What the owner signed beside it, as an extension, is held against its own manifest. What a commit
has below /var and /boot isn't held against a deployment, to which it doesn't get.

With ``deep`` the disk is read, too: whatever is cached is evicted before, so that the kernel checks
what it reads; what stays cached is hashed.
Nothing is repaired; what can't be read is not evaluated, never skipped in silence.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from verity.formats import dump
from verity.formats.dump import Entry
from verity.formats.escaped import escape
from verity.ports.signed_tree import Lines, Record, SignedTree, State, What, lines_of
from verity.ports.tree import Node, Tree
from verity.trust.verified import VerifiedManifest
from verity.values.audit import Area, AreaResult, Check, Severity
from verity.values.errors import VerityError
from verity.values.findings import Finding, NotEvaluated
from verity.verbs import audit_files_compare, audit_files_coverage, audit_files_host
from verity.verbs.audit_files_bounded import Bounded
from verity.verbs.audit_files_look import Seen, look
from verity.verbs.audit_overlays import Overlays

if TYPE_CHECKING:  # who compares one tree with one manifest has no host
    from verity.verbs.audit_host import AuditedHost


def _check(name: str, severity: Severity, title: str) -> Check:
    return Check(id=name, area=Area.FILES, severity=severity, title=title)


CHECKS = (
    _check("missing", Severity.HIGH, "every signed file is there"),
    _check("type", Severity.CRITICAL, "every file is of the signed type"),
    _check("content", Severity.CRITICAL, "every file has the signed contents"),
    _check("disk", Severity.CRITICAL, "the disk holds the contents that the kernel vouches for"),
    _check("target", Severity.CRITICAL, "every symbolic link leads where the signed one does"),
    _check("capabilities", Severity.CRITICAL, "every file has the signed capabilities"),
    _check("mode", Severity.HIGH, "every file has the signed mode"),
    _check("owner", Severity.HIGH, "every file has the signed owner and group"),
    _check("acl", Severity.HIGH, "every file has the signed access control lists"),
    _check("device", Severity.HIGH, "every device file is of the signed device"),
    _check("xattrs", Severity.MEDIUM, "every file has the signed extended attributes"),
    _check("no-verity", Severity.HIGH, "fs-verity is on for every signed file"),
    _check("parameters", Severity.HIGH, "fs-verity is on with the parameters that are signed"),
    _check("unsigned-privileged", Severity.CRITICAL, "no unsigned file raises privileges"),
    _check("unsigned-code", Severity.HIGH, "no unsigned code lies among the signed files"),
    _check("unsigned-file", Severity.MEDIUM, "no unsigned file lies among the signed ones"),
    _check("unreadable", Severity.HIGH, "everything could be read"),
    _check("mounted", Severity.MEDIUM, "no other file system is mounted among the signed files"),
    _check("still-cached", Severity.LOW, "everything was read from the disk"),
)
_DEEP_ONLY = ("disk", "still-cached")
_REGULAR = (State.BY_KERNEL, State.GRANTED, State.BY_HASH)


@dataclass(frozen=True, kw_only=True)
class How:
    """``state``: directories in which nothing is called unsigned. ``left``: directories below which
    the manifest's lines count for nothing. ``also``: entries of other manifests, by path, which
    count where this one has none. ``granted``: digests that are counted by themselves. ``progress``
    hears how many lines of how many are done."""

    state: Collection[bytes] = ()
    left: Collection[bytes] = ()
    also: Mapping[bytes, Entry] = field(default_factory=dict)
    granted: Collection[bytes] = ()
    overlays: Overlays = field(default_factory=Overlays)
    deep: bool = False
    progress: Callable[[int, int], None] = lambda done, total: None


@dataclass(kw_only=True)
class Tally:
    """How many files are known in which way."""

    by_kernel: int = 0
    hashed: int = 0
    metadata: int = 0

    def add(self, node: Node) -> None:
        """One more."""
        if node.contents is None:
            self.metadata += 1
        elif node.contents.by_kernel:
            self.by_kernel += 1
        else:
            self.hashed += 1


@dataclass(kw_only=True)
class Compared:
    """A tree beside its manifest. ``passed`` are names in directories of state, ``unread`` lines of
    whose files nothing is known."""

    lines: Lines
    states: bytearray
    findings: tuple[Finding, ...] = ()
    gaps: tuple[NotEvaluated, ...] = ()
    signed: Tally = field(default_factory=Tally)
    unsigned: Tally = field(default_factory=Tally)
    unread: int = 0
    passed: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Regular files, for people."""
        by_kernel = self.signed.by_kernel + self.unsigned.by_kernel
        hashed = self.signed.hashed + self.unsigned.hashed
        return {"files": by_kernel + hashed, "measured by the kernel": by_kernel, "hashed": hashed}

    def state_of(self, path: bytes) -> State:
        """What is known of a path; unseen if no line is of it."""
        line = self.lines.find(escape(path))
        return State.UNSEEN if line is None else State(self.states[line])


def examine(host: "AuditedHost") -> AreaResult:
    """The area's result; not evaluated, check by check, without a manifest that is verified."""
    if host.commit is None:
        return AreaResult(area=Area.FILES, not_evaluated=tuple(_without_manifest()))
    manifest = host.commit.manifest
    state = audit_files_host.state(host, manifest.data)
    how = How(
        state=state,
        left=host.left_to_host,
        also=audit_files_host.also(host, manifest.data),
        granted=host.code,
        overlays=Overlays(host.root),
        deep=host.deep,
        progress=lambda done, total: host.progress("files", done, total),
    )
    try:
        found = compare(host.root, manifest, how)
    except VerityError as error:
        why, hint = error.message, error.hint or ""
        gaps = [
            NotEvaluated(check=check.id, object=str(host.root), why=why, hint=hint)
            for check in CHECKS
        ]
        return AreaResult(area=Area.FILES, not_evaluated=tuple(gaps))
    uncompared = manifest.count - found.lines.count
    notes = audit_files_host.notes(host, found.passed, uncompared, b" ".join(state))
    return AreaResult(
        area=Area.FILES,
        findings=found.findings,
        not_evaluated=found.gaps,
        not_applicable={} if host.deep else dict.fromkeys(_DEEP_ONLY, "only --deep reads the disk"),
        counts=found.counts,
        coverage=audit_files_coverage.coverage(host, found),
        notes=tuple(notes),
    )


def compare(root: Path, manifest: VerifiedManifest, how: How) -> Compared:
    """Hold the tree at ``root`` against the manifest. HostError if it can't be opened."""
    lines = lines_of(dump.without(manifest.data, how.left))
    collected = Bounded()
    unread: set[bytes] = set()
    also = dict(how.also)
    with (
        Tree(root) as opened,
        SignedTree(
            root, lines, state=tuple(how.state), granted=how.granted, deep=how.deep
        ) as walked,
    ):
        found = Compared(lines=lines, states=walked.states)
        for records in walked.records():
            for record in records:
                if record.what is What.NO_VERITY and (
                    how.overlays.takes(record.path) or collected.counts_only("no-verity")
                ):
                    continue
                due = also.pop(record.path, None)
                if record.line is not None:
                    due = lines.entry(record.line)
                seen = look(opened, record, due, deep=how.deep)
                collected.add(how.overlays.keep(seen.finding), seen.gap)
                if seen.gap is not None and record.what is not What.STAYS:
                    unread.add(record.path)
                _count(found, record, due, seen)
            how.progress(lines.count - walked.states.count(State.UNSEEN), lines.count)
        found.passed = walked.passed
        # What lies where nothing is called unsigned, or is a directory that both have.
        for path, due in also.items():
            if lines.find(escape(path)) is None:
                record = Record(path=path, line=None, what=What.CLOSER, error=0)
                seen = look(opened, record, due, deep=how.deep)
                collected.add(how.overlays.keep(seen.finding), seen.gap)
                _count(found, record, due, seen)
    for line in _unseen(walked.states):
        if not unread and collected.counts_only("missing"):
            continue
        due = lines.entry(line)
        if _inside(due.path, unread):
            found.unread += 1
        else:
            collected.add(audit_files_compare.missing(due))
    for gap in how.overlays.gaps("no-verity"):
        collected.add(None, gap)
    found.findings, found.gaps = collected.findings(), collected.gaps()
    _total(found)
    return found


def _count(found: Compared, record: Record, due: Entry | None, seen: Seen) -> None:
    """What a record's path adds to the counts."""
    if seen.node is None:
        found.unread += due is not None and seen.gap is not None
    elif due is None:
        found.unsigned.add(seen.node)
    elif record.line is None:
        found.signed.add(seen.node)
    elif found.states[record.line] == State.SEEN:  # else its line is counted by its state
        found.signed.add(seen.node)


def _total(found: Compared) -> None:
    """Add what the states of lines say."""
    states = found.states
    found.signed.by_kernel += states.count(State.BY_KERNEL) + states.count(State.GRANTED)
    found.signed.hashed += states.count(State.BY_HASH)
    found.signed.metadata += states.count(State.AS_SIGNED)
    found.unread += states.count(State.PASSED)


def _unseen(states: bytearray) -> Iterator[int]:
    """The lines of which nothing was seen."""
    line = states.find(State.UNSEEN)
    while line >= 0:
        yield line
        line = states.find(State.UNSEEN, line + 1)


def _inside(path: bytes, unread: set[bytes]) -> bool:
    """Whether a gap explains why a path was not seen."""
    parts = path.split(b"/")
    return bool(unread) and any(
        (b"/".join(parts[:length]) or b"/") in unread for length in range(1, len(parts) + 1)
    )


def _without_manifest() -> Iterator[NotEvaluated]:
    for check in CHECKS:
        yield NotEvaluated(
            check=check.id,
            object="the signed manifest",
            why="no signed commit of this host could be verified, so nothing says how files are",
            hint="the area trust says what is wrong with it",
        )
