# SPDX-License-Identifier: Apache-2.0
"""A closer look at one file that isn't the very line of its manifest: what is wrong, or what stands
in the way of knowing.

Nothing is changed, nothing retried. A file that is gone by now is missing if it is signed, and of
no interest if it isn't; one that has become as signed meanwhile is as signed.
"""

import errno
import os
from dataclasses import dataclass, replace

from verity.formats import elf, fsverity
from verity.formats.dump import Entry, printable
from verity.ports import content, kernel, tree
from verity.ports.signed_tree import Record, What
from verity.ports.tree import Contents, Node, Tree
from verity.values.digest import CANONICAL
from verity.values.errors import HostError, VerityError
from verity.values.findings import Finding, NotEvaluated
from verity.verbs import audit_files_compare as comparing

_MOUNT_HINT = "unmount it, or audit it by itself"
_UNTOLD = "others, which this file system doesn't tell"
_STAYS_HINT = "end what uses it (fuser FILE names it), or reboot, and audit again before it starts"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a look gave: the file as it is if there is one, a finding, or a gap."""

    node: Node | None = None
    finding: Finding | None = None
    gap: NotEvaluated | None = None


def look(opened: Tree, record: Record, due: Entry | None, *, deep: bool) -> Seen:
    """What is to be said of a record's path; ``due`` is its line of the manifest, if it has one."""
    if record.what is What.NO_VERITY and due is not None and due.digest is not None:
        node = Node(entry=due, contents=Contents(digest=due.digest, by_kernel=False))
        return Seen(node=node, finding=comparing.compare(due, node))
    if record.what is What.STAYS:
        return Seen(gap=_stays(record.path))
    if record.what is What.MOUNT:
        why = "another file system is mounted here, and nothing below is signed"
        return Seen(gap=_gap("mounted", record.path, why, _MOUNT_HINT))
    if record.what is What.UNLISTED:
        return Seen(gap=_unlisted(record))
    judge = _Judge(due, deep=deep)
    try:
        node = opened.read(record.path, judge)
    except VerityError as error:
        if error.code == "not-found":
            return Seen(finding=None if due is None else comparing.missing(due))
        return Seen(gap=_unreadable(record.path, error))
    found = comparing.unsigned(node) if due is None else comparing.compare(due, node)
    if record.what is What.UNOPENED and node.entry.is_directory:
        return Seen(node=node, finding=found, gap=_unlisted(record))
    if found is None and judge.disk is not None:
        return Seen(node=node, finding=judge.disk)
    return Seen(node=node, finding=found, gap=judge.gap)


class _Judge:
    """The digester of one look: the kernel's digest, or a hash; and what the disk holds.

    ``disk`` and ``gap`` are what a deep look has to say of a file whose digest is the signed one.
    """

    def __init__(self, due: Entry | None, *, deep: bool) -> None:
        self._due = due
        self._deep = deep
        self.disk: Finding | None = None
        self.gap: NotEvaluated | None = None

    def __call__(self, fd: int, path: bytes) -> Contents:
        contents = self._measured(fd, path)
        if self._due is None:
            # Nobody signed it: what it is shows in its first bytes.
            return replace(contents, head=os.pread(fd, elf.HEAD_SIZE, 0))
        if self._deep and contents.by_kernel and contents.digest == self._due.digest:
            self._read_back(fd, path, self._due)
        return contents

    def _measured(self, fd: int, path: bytes) -> Contents:
        label = os.fsdecode(path)
        try:
            found = kernel.measure(fd, label=label)
        except HostError:
            found = None  # no fs-verity on this file system: hashing is what is left
        if found is None:
            return tree.hashed(fd, path)
        digest = found.value if found.algorithm is CANONICAL.algorithm else b""
        if self._due is None or digest == self._due.digest:
            return Contents(digest=digest or tree.hashed(fd, path).digest, by_kernel=True)
        parameters = _parameters(fd, label)
        if digest and parameters == "":
            return Contents(digest=digest, by_kernel=True)
        # The digest is one of other parameters, or may be: only the contents can be compared.
        read = tree.hashed(fd, path)
        if read.digest != self._due.digest and digest and parameters is None:
            return Contents(digest=digest, by_kernel=True)
        return Contents(digest=read.digest, by_kernel=True, parameters=parameters or _UNTOLD)

    def _read_back(self, fd: int, path: bytes, due: Entry) -> None:
        """What the disk holds: what was cached is evicted, and what comes is hashed."""
        label = os.fsdecode(path)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            cached = kernel.cached_pages(fd, label=label)
            read = content.digest_fd(fd, CANONICAL, label=label)
        except VerityError as error:
            if error.code == "changed-while-read":
                self.gap = _unreadable(path, error)
            else:
                self.disk = comparing.unread_disk(due, error.message)
            return
        if read.value != due.digest:
            self.disk = comparing.unread_disk(due, f"contents with the digest {read}")
        elif cached:
            self.gap = _stays(path)


def _parameters(fd: int, label: str) -> str | None:
    """With what fs-verity was turned on: empty if canonical, None if the kernel doesn't tell."""
    try:
        found = kernel.read_metadata(fd, kernel.Metadata.DESCRIPTOR, label=label)
    except VerityError:
        return None
    if fsverity.has_parameters(found, CANONICAL):
        return ""
    return fsverity.parameters_of(found)


def _stays(path: bytes) -> NotEvaluated:
    why = "some of its pages are in use and stay in the page cache: the disk was not asked for them"
    return _gap("still-cached", path, why, _STAYS_HINT)


def _unlisted(record: Record) -> NotEvaluated:
    why = f"not all names in this directory could be read: {os.strerror(record.error)}"
    hint = "run as root" if record.error in (errno.EACCES, errno.EPERM) else "look at it by hand"
    return _gap("unreadable", record.path, why, hint)


def _unreadable(path: bytes, error: VerityError) -> NotEvaluated:
    why = error.message.removeprefix(f"{printable(path)}: ")
    return _gap("unreadable", path, why, error.hint or "")


def _gap(check: str, path: bytes, why: str, hint: str) -> NotEvaluated:
    return NotEvaluated(check=check, object=printable(path), path=path, why=why, hint=hint)
