# SPDX-License-Identifier: Apache-2.0
"""What a host's policy asks of its guarded configuration, and which grants there are for it.

For explain and audit. The policy is the one of the tree that is looked at; who signed it, and the
grants of the host's /etc, is asked by `policy show` and `etc status`, and not here: who changed
them on the disk could hide a missing grant from a report, and not from the gate, which verifies
all of them by itself. The grants of the commit are verified by the caller.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from verity.formats import bundle, grants
from verity.formats.dump import Entry, printable
from verity.formats.grant_config import is_owners
from verity.formats.grants import ConfigEntry, ConfigKind, Grants
from verity.formats.guarded_paths import GuardedPaths
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.formats.policy import Policy, lower
from verity.ports import places, tree
from verity.ports.etc_state import EtcState
from verity.ports.tree import Gap, Node, Tree
from verity.values.errors import HostError, VerityError
from verity.values.findings import Finding, Link
from verity.verbs import policy_lists

_ELSEWHERE = (b"/etc/", b"/usr/")
"""Where other areas of an audit hold every file against what is signed."""
_SIGN_ETC = "`verity etc sign --serial auto` signs it; of a home, with --home"
_SIGN_COMMIT = (
    f"have the commit signed with `verity commit sign --policy /{places.POLICY}`; a path of more"
    " than 255 bytes or a link to more than 55 can't be granted"
)


@dataclass(frozen=True, kw_only=True)
class Guarding:
    """A policy, and the grants that a host has for it; ``unread``: why those of /etc are unknown.

    ``granted`` are blobs with configuration, the commit's and that of the host's /etc.
    """

    policy: Policy
    paths: GuardedPaths
    granted: tuple[Grants, ...]
    unread: VerityError | None

    def grants_of(self, path: bytes) -> list[tuple[Grants, ConfigEntry]]:
        """Each grant of this path, with the blob that it is in."""
        return [
            (blob, entry) for blob in self.granted for entry in blob.config if entry.path == path
        ]


def read(root: Path, commit: Grants) -> Guarding | None:
    """The policy of a tree and its grants; None without a policy: nothing is asked there.

    Raises HostError or ContentError for a policy that can't be read.
    """
    try:
        policy = policy_lists.read_policy(root / places.POLICY)
    except HostError as error:
        if error.code == "not-found":
            return None
        raise
    granted, unread = [commit], None
    try:
        state = EtcState(root, places.STATE)
        current = state.current()
        if current is not None:
            data = state.load(current).grants
            granted.append(grants.parse(bundle.parse_fragment(data, label="grants of /etc").blob))
    except VerityError as error:
        unread = error
    return Guarding(
        policy=policy,
        paths=GuardedPaths(guarded=GuardedPaths.of(policy).guarded, without_owners=False),
        granted=tuple(granted),
        unread=unread,
    )


def rule(guarding: Guarding, path: bytes) -> tuple[GuardedClass | None, str]:
    """The class that the gate has for a path, and which line of the policy says so."""
    entry = guarding.paths.of_path(path)
    if entry is None:
        return None, "no line of the policy names it"
    line = guarding.policy.guard(path)
    where = "" if line is None else f" ({line.origin}: {line.reason})"
    return entry.file_class, f"{lower(entry.file_class)}, by {printable(entry.path)}{where}"


def said(entry: ConfigEntry) -> str:
    """What a grant says must stand at its path."""
    if entry.kind is ConfigKind.SYMLINK:
        return f"a link to {printable(entry.target)}"
    return f"the file sha256:{entry.digest.hex()}"


def named(blob: Grants) -> str:
    """A blob of grants, for people."""
    return f"stream {blob.stream} serial {blob.serial} ({blob.party.name.lower()})"


def fits(entry: ConfigEntry, found: Entry) -> bool:
    """Whether a grant is of just this file or link."""
    if entry.kind is ConfigKind.SYMLINK:
        return found.target == entry.target
    return found.digest == entry.digest


def command(path: bytes) -> str:
    """How a path gets a grant."""
    return _SIGN_ETC if is_owners(path) else _SIGN_COMMIT


def ungranted(guarding: Guarding, entries: Sequence[Entry]) -> Iterator[Finding]:
    """Each file and link of a signed tree that a sealed gate would refuse, though it is signed."""
    blobs = {entry.path: entry for blob in reversed(guarding.granted) for entry in blob.config}
    for entry in guarding.paths(entries):
        if not (entry.is_regular or entry.is_symlink) or entry.path in blobs:
            continue
        if guarding.unread is not None and is_owners(entry.path):
            continue  # told as not evaluated
        yield Finding(
            check="not-granted",
            link=Link.GRANTS,
            object=printable(entry.path),
            path=entry.path,
            problem="the policy guards it as signed, and no grants name it: a sealed gate refuses"
            " it to privileged programs",
            expected="a grant of its path",
            found="none",
            remedy=command(entry.path),
        )


def beside(guarding: Guarding, root: Path) -> Iterator[Finding | Gap]:
    """What lies at guarded paths that neither a commit nor a signed /etc holds, such as a crontab
    of root below /var, and no grant is of just that: a sealed gate refuses it, one that isn't
    sealed does not. Each path is opened by itself: what is mounted above it is what is read."""
    found: dict[bytes, Entry | Gap] = {}
    for one in guarding.paths.guarded:
        elsewhere = (one.path + b"/").startswith(_ELSEWHERE)
        if one.file_class is GuardedClass.SIGNED and not elsewhere:
            for node in there(root, one):
                found[node.path] = node if isinstance(node, Gap) else node.entry
    for path, item in sorted(found.items()):
        if isinstance(item, Gap):
            yield item
            continue
        ruled = guarding.paths.of_path(path)
        if ruled is None or ruled.file_class is not GuardedClass.SIGNED:
            continue
        if any(fits(granted, item) for _, granted in guarding.grants_of(path)):
            continue
        yield Finding(
            check="unsigned-configuration",
            link=Link.GRANTS,
            object=printable(path),
            path=path,
            problem="the policy guards it as signed, and nobody signed what is there",
            expected="no such file, or a grant of its path and contents",
            found="a link" if item.is_symlink else f"digest sha256:{_hex(item)}",
            remedy="remove it, or have it signed",
        )


def there(root: Path, guarded: Guarded) -> Iterator[Node | Gap]:
    """The files and links that an entry of the gate's table covers."""
    above = guarded.path.rpartition(b"/")[0]

    def is_covered(path: bytes) -> bool:
        rest = (above + path).removeprefix(guarded.path)
        if len(rest) == len(above + path):
            return False
        return guarded.match is Match.PREFIX or rest[:1] in (b"", b"/")

    try:
        opened = Tree(root, below=above or b"/")
    except HostError as error:
        if error.code != "not-found":
            yield Gap(path=guarded.path, why=error.message, hint=error.hint or "")
        return
    with opened:
        for item in opened.walk(tree.measured, visit=is_covered):
            if isinstance(item, Gap):
                yield replace(item, path=above + item.path)
            elif item.entry.is_regular or item.entry.is_symlink:
                yield replace(item, entry=item.entry._replace(path=above + item.path))


def _hex(entry: Entry) -> str:
    return "" if entry.digest is None else entry.digest.hex()
