# SPDX-License-Identifier: Apache-2.0
"""The files that privileged processes execute, each once, and what is to be said of it.

A finding is of a file and names who uses it: a library that nobody signed is one finding, not one
for each process. A file without a name is told from one that is there, whatever its contents.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from verity.formats.escaped import printable
from verity.formats.grants import Code
from verity.ports.osfile import closing
from verity.ports.proc import Held, Process
from verity.values.findings import Link
from verity.verbs.audit_running_checks import of_processes
from verity.verbs.audit_running_code import Judge, Judged, State
from verity.verbs.audit_said import Said

_AS_CODE = Code.EXEC | Code.LIBRARY
_DELETED = b" (deleted)"
# What the kernel calls files that are in memory and never had a name: only if none is left.
_MEMORY = (b"/memfd:", b"/SYSV", b"/dev/zero", b"/anon_hugepage", b"anon_inode:")

Users = list[tuple[int, bytes]]


@dataclass(frozen=True, kw_only=True)
class _Words:
    """What a finding says, but for what was found."""

    check: str
    problem: str
    expected: str
    remedy: str
    link: Link = Link.VERDICT


_IN_MEMORY = _Words(
    check="running-memory-file",
    problem="code in memory that no file system ever had, so nobody signed it",
    expected="code of signed files",
    remedy="find out who started it; the gate refuses it when sealed",
)
_NAMELESS = _Words(
    check="running-deleted",
    problem="privileged processes execute a file that has no name any more",
    expected="the file that is signed, at its place",
    remedy="restart what uses it, after an update; else find out who removed it",
    link=Link.FILE,
)
_UNSIGNED = _Words(
    check="running-unsigned",
    problem="privileged processes execute what nobody signed",
    expected="a digest that signed grants name",
    remedy="stop and remove it, or have it signed: docs/guides/denials.md",
    link=Link.DIGEST,
)
_UNPROTECTED = _Words(
    check="running-unprotected",
    problem="the contents are signed, and whoever may write the file can change them",
    expected="fs-verity, and the digest by the kernel",
    remedy="`verity objects enable` or `verity enable`, then restart what uses it",
    link=Link.DIGEST,
)
_WRONG_USE = _Words(
    check="running-wrong-use",
    problem="it is signed, and not as a program or a library",
    expected="granted exec or library",
    remedy="find out who started it like this",
    link=Link.GRANTS,
)


@dataclass(kw_only=True)
class _File:
    held: Held
    users: Users = field(default_factory=list)
    judged: Judged | None = None


@dataclass(kw_only=True)
class Files:
    """All of them, by device and inode. Without grants nothing is asked of contents."""

    judge: Judge
    _files: dict[tuple[int, int], _File] = field(default_factory=dict)

    def use(self, process: Process, held: Held, link: str) -> Judged | None:
        """A process executes it. None: there are no grants, or it has just gone."""
        file = self._files.setdefault(held.key, _File(held=held))
        if not file.users or file.users[-1][0] != process.pid:
            file.users.append((process.pid, process.name))
        if file.judged is None and self.judge.granted:
            fd = process.open(link, held.key)
            if fd is not None:
                with closing(fd):
                    file.judged = self.judge.file(fd, label=printable(held.label))
        return file.judged

    def say(self, said: Said) -> None:
        """What is wrong with each."""
        for file in self._files.values():
            for words in _wrong(file):
                found = file.judged.found if file.judged else "not compared: there are no grants"
                label = file.held.label
                said.finds(
                    words.check,
                    printable(label),
                    words.problem,
                    expected=words.expected,
                    found=f"{found}; executed by process {of_processes(file.users)}",
                    remedy=words.remedy,
                    link=words.link,
                    path=label.removesuffix(_DELETED) if file.held.deleted else label,
                )
        said.counts["files executed"] = len(self._files)


def _wrong(file: _File) -> Iterator[_Words]:
    """The one thing that is worst about it, or nothing."""
    if file.held.deleted:
        yield _IN_MEMORY if file.held.label.startswith(_MEMORY) else _NAMELESS
    elif file.judged is None:
        return
    elif file.judged.state is State.UNSIGNED:
        yield _UNSIGNED
    elif file.judged.state is State.UNPROTECTED:
        yield _UNPROTECTED
    elif not file.judged.flags & _AS_CODE:
        yield _WRONG_USE
