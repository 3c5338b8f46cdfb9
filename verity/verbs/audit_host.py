# SPDX-License-Identifier: Apache-2.0
"""What every area of an audit is given: the host, what is verified of its documents, and the time.

Each area is a module ``audit_AREA`` with its ``CHECKS`` and a function ``examine(host)`` that gives
an ``AreaResult``. It prints nothing, changes nothing and raises only for what makes all of it
impossible; whatever can't be read is a ``NotEvaluated``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from verity.formats.grants import Code, Grants, Role
from verity.trust.policy import VerifiedPolicy
from verity.trust.trusted import TrustedSet
from verity.verbs.signed import SignedCommit


@dataclass(frozen=True, kw_only=True)
class AuditedHost:
    """A running host (``live``, and then ``root`` is ``/``), or a tree that lies at ``root``.

    ``now`` is the reference time and ``clock`` the clock's (seconds since 1970). ``grants`` are
    those whose signatures hold: the commit's, and of the boot bundle. ``deep`` asks for the
    contents of files, too. ``trusted`` are the keys that count, by role. What could not be verified
    is None or missing, and the area trust says why. ``progress`` hears what is being done and how
    much of it.
    """

    root: Path
    live: bool
    now: int
    clock: int
    commit: SignedCommit | None = None
    policy: VerifiedPolicy | None = None
    grants: tuple[Grants, ...] = ()
    deep: bool = False
    trusted: Mapping[Role, TrustedSet] = field(default_factory=dict)
    progress: Callable[[str, int, int], None] = field(default=lambda what, done, total: None)

    @cached_property
    def code(self) -> dict[bytes, Code]:
        """What each digest (32 bytes) may be used for, by all grants together."""
        flags: dict[bytes, Code] = {}
        for granted in self.grants:
            for entry in granted.code:
                flags[entry.digest] = flags.get(entry.digest, Code(0)) | entry.flags
        return flags

    @cached_property
    def streams(self) -> dict[bytes, tuple[str, ...]]:
        """The streams whose grants name each digest."""
        streams: dict[bytes, tuple[str, ...]] = {}
        for granted in self.grants:
            for entry in granted.code:
                streams[entry.digest] = (*streams.get(entry.digest, ()), granted.stream)
        return streams
