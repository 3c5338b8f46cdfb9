# SPDX-License-Identifier: Apache-2.0
"""The paths that a policy guards as signed, as the gate will ask them, for whoever makes grants.

1. A path counts where the gate's table has the class ``signed``; of the entries that match it the
   longest decides, as in the gate (ADR 29).
2. What the owner signs with `etc sign` is left to them if the policy names a stream of theirs: of
   two grants for a path the gate takes either, so a vendor's default would be as good as what the
   owner put in its place (ADR 35).

It reads no policy and no tree: ``verbs.policy_lists`` takes the document.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from verity.formats.dump import Entry
from verity.formats.grant_config import is_owners
from verity.formats.grants import Role
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.formats.policy import Policy, StreamLine
from verity.formats.policy_gate import table


def names_etc(policy: Policy) -> bool:
    """Whether a policy names a stream of the role etc, whose signer has the owner's paths."""
    return any(line.stream.role is Role.ETC for line in policy.of(StreamLine))


@dataclass(frozen=True, kw_only=True)
class GuardedPaths:
    """The gate's table of one policy; called with a tree, it says what has to be granted."""

    guarded: tuple[Guarded, ...]
    without_owners: bool

    @classmethod
    def of(cls, policy: Policy) -> "GuardedPaths":
        """Raises ContentError (``bad-policy``) for what the gate can't be told."""
        return cls(guarded=table(policy).guarded, without_owners=names_etc(policy))

    def __call__(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries, which are sorted by path, at paths of the class signed."""
        # By place in the list: a commit has 100,000 paths, of which nearly none are guarded.
        paths = [entry.path for entry in entries]
        signed: set[int] = set()
        for one in sorted(self.guarded, key=lambda one: len(one.path)):
            for first, end in _places(one, paths):
                if one.file_class is GuardedClass.SIGNED:
                    signed.update(range(first, end))
                else:
                    signed.difference_update(range(first, end))
        return [
            entries[at]
            for at in sorted(signed)
            if not (self.without_owners and is_owners(paths[at]))
        ]

    def of_path(self, path: bytes) -> Guarded | None:
        """The entry of the table that decides about a path."""
        found = [one for one in self.guarded if any(b > a for a, b in _places(one, [path]))]
        return max(found, key=lambda one: len(one.path), default=None)


def _places(guarded: Guarded, paths: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Where in sorted paths those stand that an entry of the table covers."""
    path = guarded.path
    if guarded.match is Match.PREFIX:
        # Behind all that begin so: no path is empty, and none has a byte above 0xff.
        yield bisect_left(paths, path), bisect_left(paths, _behind(path))
        return
    at = bisect_left(paths, path)
    if at < len(paths) and paths[at] == path:
        yield at, at + 1
    yield bisect_left(paths, path + b"/"), bisect_left(paths, _behind(path + b"/"))


def _behind(prefix: bytes) -> bytes:
    """The first bytes that sort behind everything with this prefix, which begins with a slash."""
    short = prefix.rstrip(b"\xff")
    return short[:-1] + bytes([short[-1] + 1])
