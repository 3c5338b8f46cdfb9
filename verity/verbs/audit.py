# SPDX-License-Identifier: Apache-2.0
"""audit: a tree against the signed manifest, file by file.

For every file of the manifest: present, type, contents by the kernel's fs-verity digest, mode,
owner, xattrs, symlink target. What has no fs-verity is hashed, so that the report can say whether
the contents differ, and is a finding all the same: nothing keeps them as they are. For every
file that is there and isn't in the manifest: a finding, by what it could do.

One path gives one finding: the gravest difference names the check, all are listed. Nothing is
repaired. What can't be read is reported as not evaluated, never skipped in silence.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from verity.formats import elf
from verity.formats.dump import Entry, printable
from verity.formats.escaped import escape
from verity.formats.grant_rules import code_flags, permitted_capabilities, set_id_bits
from verity.formats.grants import Code
from verity.ports import tree
from verity.ports.tree import Contents, Gap, Node, Tree
from verity.trust.verified import VerifiedManifest
from verity.values.errors import ContentError
from verity.values.findings import Finding, Link, NotEvaluated, Report
from verity.verbs import signed

_PROGRESS_EVERY = 500
_RESTORE = "check the file out again from the signed commit"

_TYPES = {
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
}


def audit(
    root: Path,
    manifest: VerifiedManifest,
    *,
    now: int,
    clock: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Report:
    """Compare the tree at ``root`` with the manifest.

    ``now`` is seconds since 1970, for expiry; the ``clock`` is that, too, if None. ``progress``
    hears how many files are done.
    """
    expected = {entry.path: entry for entry in manifest.entries}
    seen: set[bytes] = set()

    def judge(fd: int, path: bytes) -> Contents:
        contents = tree.measured(fd, path)
        if path in expected or contents.head:
            return contents
        # Nobody signed it: what it is shows in its first bytes.
        return replace(contents, head=os.pread(fd, elf.HEAD_SIZE, 0))

    findings: list[Finding] = []
    gaps: list[Gap] = []
    by_kernel = hashed = 0
    with Tree(root) as opened:
        for number, item in enumerate(opened.walk(judge), 1):
            seen.add(item.path)
            if isinstance(item, Gap):
                gaps.append(item)
                continue
            if item.contents is not None:
                by_kernel += item.contents.by_kernel
                hashed += not item.contents.by_kernel
            due = expected.get(item.path)
            finding = _extra(item) if due is None else compare(due, item)
            if finding is not None:
                findings.append(finding)
            if number % _PROGRESS_EVERY == 0:
                progress(number)
    unreadable = {gap.path for gap in gaps}
    findings += [
        _missing(entry)
        for path, entry in expected.items()
        if path not in seen and not _inside(path, unreadable)
    ]
    return Report(
        counts={
            "files": by_kernel + hashed,
            "measured by the kernel": by_kernel,
            "hashed": hashed,
        },
        findings=(
            *signed.expiry(manifest.source, now, "statement"),
            *signed.ahead(manifest.source, now if clock is None else clock, "statement"),
            *sorted(findings, key=lambda finding: finding.path or b""),
        ),
        not_evaluated=tuple(
            NotEvaluated(
                check="unreadable",
                object=printable(gap.path),
                path=gap.path,
                why=gap.why,
                hint=gap.hint,
            )
            for gap in gaps
        ),
    )


def compare(due: Entry, found: Node) -> Finding | None:
    """The finding for a file that should be as signed, None if it is."""
    entry = found.entry
    if entry == due and (found.contents is None or found.contents.by_kernel):
        return None
    label = printable(due.path)
    if stat.S_IFMT(due.mode) != stat.S_IFMT(entry.mode):
        return Finding(
            check="type",
            link=Link.FILE,
            object=label,
            path=due.path,
            problem="it is another type of file",
            expected=_TYPES[stat.S_IFMT(due.mode)],
            found=_TYPES[stat.S_IFMT(entry.mode)],
            remedy=_RESTORE,
        )
    differences = metadata_differences(due, entry)
    check, link = "metadata", Link.FILE
    problem = f"{' and '.join(name for name, _, _ in differences)} differ"
    if found.contents is not None and due.digest != found.contents.digest:
        check, link = "content", Link.DIGEST
        problem = "the contents are not the signed ones" + _unprotected(found.contents)
        differences.insert(0, ("digest", _hex(due.digest), _hex(found.contents.digest)))
    elif found.contents is not None and not found.contents.by_kernel:
        check, link = "no-verity", Link.DIGEST
        problem = "the contents are as signed, but fs-verity is off: they can be changed"
        differences.insert(0, ("fs-verity", "on", "off"))
    if not differences:
        return None
    return Finding(
        check=check,
        link=link,
        object=label,
        path=due.path,
        problem=problem,
        expected=", ".join(f"{name} {value}" for name, value, _ in differences),
        found=", ".join(f"{name} {value}" for name, _, value in differences),
        remedy=_RESTORE if check != "no-verity" else "`verity objects enable` turns it on",
    )


def metadata_differences(due: Entry, found: Entry) -> list[tuple[str, str, str]]:
    """What differs besides the contents: (name, as signed, as found)."""
    if (due.mode, due.uid, due.gid, due.rdev, due.target, due.xattrs) == (
        found.mode,
        found.uid,
        found.gid,
        found.rdev,
        found.target,
        found.xattrs,
    ):
        return []
    differences = []
    for name, one, other in (
        ("mode", _mode(due), _mode(found)),
        ("uid", str(due.uid), str(found.uid)),
        ("gid", str(due.gid), str(found.gid)),
        ("device", str(due.rdev), str(found.rdev)),
        ("target", _target(due), _target(found)),
        ("xattrs", _xattrs(due), _xattrs(found)),
    ):
        if one != other:
            differences.append((name, one, other))
    return differences


def _extra(found: Node) -> Finding:
    """A file that nobody signed, judged by what it could do."""
    entry = found.entry
    link = Link.MANIFEST
    powers = []
    if found.contents is not None:
        set_uid, set_gid = set_id_bits(entry.mode)
        if set_uid:
            powers.append(f"set-uid {entry.uid}")
        if set_gid:
            powers.append(f"set-gid {entry.gid}")
        try:
            capabilities = permitted_capabilities(entry)
        except ContentError:
            capabilities = -1  # unreadable capabilities count as all of them
        if capabilities:
            powers.append("file capabilities")
    code = Code(0)
    if found.contents is not None:
        code = code_flags(entry, found.contents.head)
    if powers:
        check, problem = "unsigned-privileged", f"not signed, and {', '.join(powers)}"
    elif code:
        check, problem = "unsigned-code", f"not signed, and code ({_flags(code)})"
    else:
        check = "unsigned-file"
        problem = f"not signed: {_TYPES[stat.S_IFMT(entry.mode)]} that the manifest does not have"
    return Finding(
        check=check,
        link=link,
        object=printable(entry.path),
        path=entry.path,
        problem=problem,
        expected="no such file",
        found=f"mode {_mode(entry)}, uid {entry.uid}, gid {entry.gid}"
        + (f", digest {_hex(entry.digest)}" if entry.digest else ""),
        remedy="remove it, or have it signed",
    )


def _missing(entry: Entry) -> Finding:
    return Finding(
        check="missing",
        link=Link.FILE,
        object=printable(entry.path),
        path=entry.path,
        problem="it is signed and isn't there",
        expected=_TYPES[stat.S_IFMT(entry.mode)],
        found="no such file",
        remedy=_RESTORE,
    )


def _inside(path: bytes, unreadable: set[bytes]) -> bool:
    """Whether a gap explains why a path was not seen."""
    parts = path.split(b"/")
    return any(
        (b"/".join(parts[:length]) or b"/") in unreadable for length in range(1, len(parts) + 1)
    )


def _unprotected(contents: Contents) -> str:
    return "" if contents.by_kernel else ", and fs-verity is off"


def _mode(entry: Entry) -> str:
    return f"{stat.S_IMODE(entry.mode):04o}"


def _hex(digest: bytes | None) -> str:
    return "none" if digest is None else f"sha256:{digest.hex()}"


def _target(entry: Entry) -> str:
    return "none" if entry.target is None else printable(entry.target)


def _xattrs(entry: Entry) -> str:
    pairs = (b"%b=%b" % (escape(name), escape(value)) for name, value in entry.xattrs)
    return b" ".join(pairs).decode() or "none"


def _flags(code: Code) -> str:
    return ", ".join(flag.name.lower() for flag in Code if flag in code and flag.name)
