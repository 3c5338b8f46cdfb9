# SPDX-License-Identifier: Apache-2.0
"""What a check says: findings, what could not be evaluated, and the exit status of both.

A finding names the link of the chain that it breaks. Any finding wins (exit status 1); without
one, something that could not be checked gives 3; only a report in which everything required was
checked and good gives 0.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Link(StrEnum):
    """The links of the chain, from the key to the inode and the gate's verdict on it."""

    KEY = "key"
    SIGNATURE = "signature"
    STATEMENT = "statement"
    COMMIT = "commit"
    MANIFEST = "manifest"
    GRANTS = "grants"
    OBJECT = "object"
    DIGEST = "digest"
    FILE = "file"
    VERDICT = "verdict"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that isn't as signed. ``check`` is stable and machine-readable.

    ``object`` is for people, escaped; ``path`` is the exact name where the object is a file.
    """

    check: str
    link: Link
    object: str
    problem: str
    expected: str = ""
    found: str = ""
    remedy: str = ""
    path: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class NotEvaluated:
    """Something that should have been checked and could not be, with why."""

    check: str
    object: str
    why: str
    hint: str = ""
    path: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """The outcome of a verification: what was counted, found and left open.

    ``notes`` are worth telling and change no outcome, such as a malformed signature beside a
    good one.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    not_evaluated: tuple[NotEvaluated, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """0, 1 or 3, as the command line documents."""
        if self.findings:
            return 1
        return 3 if self.not_evaluated else 0


def one_each(findings: Iterable[Finding]) -> Iterator[Finding]:
    """One finding for a check and a path, in the order of paths."""
    done = set()
    for one in sorted(findings, key=lambda one: (one.path or b"", one.object, one.check)):
        key = one.check, one.path, one.object
        if key not in done:
            done.add(key)
            yield one
