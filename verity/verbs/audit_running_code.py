# SPDX-License-Identifier: Apache-2.0
"""Whether code that runs, or that the kernel would start, is signed: part of the area running.

Each inode is asked once, by descriptor: the kernel for its digest, the verified grants for what
that may be used as. Without fs-verity its contents are hashed, which says what they are now and
keeps them so for nobody.
"""

import os
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from verity.formats.grants import Code
from verity.ports import content, kernel
from verity.values.audit import Covered
from verity.values.digest import CANONICAL, Digest
from verity.values.errors import HostError

_NO_VERITY = frozenset({"no-verity-filesystem", "no-verity-feature"})


class State(StrEnum):
    """What is known of a file's contents."""

    SIGNED = "signed"
    UNPROTECTED = "unprotected"
    """The contents are signed, and nothing keeps them as they are."""
    UNSIGNED = "unsigned"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A file: its state, what its digest may be used as, and what the kernel or hashing found."""

    state: State
    flags: Code
    found: str


@dataclass(kw_only=True)
class Judge:
    """What each digest is granted for, and what was asked already."""

    granted: Mapping[bytes, Code]
    _known: dict[tuple[int, int], Judged] = field(default_factory=dict)
    covered: Counter[Covered] = field(default_factory=Counter)

    def file(self, fd: int, *, label: str) -> Judged:
        """Judge an open file; HostError if it can't be read, or changes while it is."""
        found = os.fstat(fd)
        key = found.st_dev, found.st_ino
        if key not in self._known:
            self._known[key] = self._judged(fd, found.st_mode, label)
        return self._known[key]

    def _judged(self, fd: int, mode: int, label: str) -> Judged:
        if not stat.S_ISREG(mode):
            self.covered[Covered.UNVERIFIABLE] += 1
            return Judged(state=State.UNSIGNED, flags=Code(0), found="no regular file")
        digest = _measured(fd, label)
        if digest is None:
            return self._hashed(content.digest_fd(fd, label=label))
        self.covered[Covered.MEASURED] += 1
        flags = self._flags(digest)
        return Judged(
            state=State.SIGNED if flags else State.UNSIGNED,
            flags=flags,
            found=f"{digest} by the kernel, which is granted {words(flags)}",
        )

    def _hashed(self, digest: Digest) -> Judged:
        self.covered[Covered.HASHED] += 1
        flags = self._flags(digest)
        return Judged(
            state=State.UNPROTECTED if flags else State.UNSIGNED,
            flags=flags,
            found=f"no fs-verity; its contents, hashed now, are {digest}, which is granted"
            f" {words(flags)}",
        )

    def _flags(self, digest: Digest) -> Code:
        if digest.algorithm is not CANONICAL.algorithm:
            return Code(0)
        return self.granted.get(digest.value, Code(0))


def _measured(fd: int, label: str) -> Digest | None:
    try:
        return kernel.measure(fd, label=label)
    except HostError as error:
        if error.code in _NO_VERITY:
            return None
        raise


def words(flags: Code) -> str:
    """What a digest is granted as, for people."""
    return ", ".join(str(one.name).lower() for one in Code if one in flags) or "nothing"
