# SPDX-License-Identifier: Apache-2.0
"""A plain system, which no vendor signs, signed by its owner: fs-verity, manifest and grants.

The owner holds the vendor's role, too, with keys of their own for it. What is signed is what is
there: whoever does this says that they trust the installation as it is now, and nobody can say it
better for a Debian that was installed without signatures of files.

- Signed is the system: /usr, /opt, and what else holds code or guarded configuration that isn't the
  owner's /etc. State (/var, /home) and what is mounted for the kernel is left out.
- Of /boot only what the policy guards, and nothing of the ESP, which can't have fs-verity.
- Of /etc only what is started from there, such as jobs of cron: `etc sign` grants no code.
- There is no commit, so there is no statement: grants name the manifest, and the gate takes grants.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from verity.formats import dump, elf, grants, records
from verity.formats.dump import Entry, printable
from verity.formats.grant_rules import earned
from verity.formats.grants import Party, Role
from verity.formats.guarded_paths import GuardedPaths
from verity.formats.kernel_guarded import GuardedClass
from verity.formats.records import RecordKind
from verity.ports import content, kernel, tree
from verity.ports.keystore import SigningKey
from verity.ports.tree import Contents, Gap, Node, Tree
from verity.values.digest import CANONICAL
from verity.values.errors import HostError, VerityError
from verity.verbs import documents, fragments, policy_lists
from verity.verbs.enable import How, Target
from verity.verbs.enable import enable as enable_many

LEFT_OUT = frozenset(
    {
        *(b"/boot/efi", b"/dev", b"/efi", b"/home", b"/lost+found", b"/media", b"/mnt"),
        *(b"/ostree", b"/proc", b"/root", b"/run", b"/srv", b"/sys", b"/sysroot", b"/tmp"),
    }
)
BOOT = b"/boot"
STATE = b"/var"
_OF_STATE = (b"/var/spool/cron",)
"""What of /var the default policy guards, and nobody signs as their /etc."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in the stream of the system it stands; times since 1970."""

    stream: str
    serial: int
    issued: int
    expires: int


@dataclass(frozen=True, kw_only=True)
class Signed:
    """The grants, as a fragment of a boot bundle, the manifest, and what was counted."""

    fragment: bytes
    manifest: bytes
    files: int
    code: int
    config: int


@dataclass(frozen=True, kw_only=True)
class Protected:
    """How many files have fs-verity now, and which can't have it, with why.

    ``in_use`` of them keep pages that were cached before, which nobody has verified: no gate is
    loaded before the reboot that drops them.
    """

    files: int
    in_use: int
    failed: tuple[tuple[str, VerityError], ...]


def is_system(path: bytes, *, boot: bool = False) -> bool:
    """Whether a path is part of what is signed as the system, or leads there; /boot if asked."""
    if path in LEFT_OUT or (path == BOOT and not boot):
        return False
    if path == STATE or not path.startswith(STATE + b"/"):
        return True
    return any(
        (one + b"/").startswith(path + b"/") or (path + b"/").startswith(one + b"/")
        for one in _OF_STATE
    )


def protect(root: Path, policy: Path, how: How) -> Protected:
    """Turn fs-verity on for every file of the system; that of /etc is `etc apply`'s."""
    failed: list[tuple[str, VerityError]] = []
    number = in_use = 0
    with Tree(root) as opened:
        targets = []
        for node in _walk(opened, tree.unjudged, policy):
            if node.entry.is_regular and not _is_etc(node.path):
                label = os.fsdecode(node.path)
                opener = partial(opened.open, node.path)
                targets.append(Target(label=label, open=opener, size=node.entry.size))
        for target, result in enable_many(targets, how):
            number += 1
            if isinstance(result, VerityError) and result.code == "pages-stay":
                in_use += 1
            elif isinstance(result, VerityError):
                failed.append((target.label, result))
    return Protected(files=number, in_use=in_use, failed=tuple(failed))


def sign(root: Path, place: Place, policy: Path, keys: Sequence[SigningKey]) -> Signed:
    """The system as it is, granted by the lists of this policy document.

    Raises ContentError (``no-verity``) for a file of code without fs-verity.
    """
    asked = policy_lists.read(policy).asked
    with Tree(root) as opened:
        nodes = sorted(_walk(opened, _measured, policy), key=lambda node: node.path)
    entries = [node.entry for node in nodes]
    manifest = dump.serialise(entries)
    heads = {node.contents.digest: node.contents.head for node in nodes if node.contents}
    tables = earned(entries, heads, asked)
    granted = documents.granting(
        manifest,
        tables,
        party=Party.VENDOR,
        role=Role.OS,
        stream=place.stream,
        serial=place.serial,
        issued=place.issued,
        expires=place.expires,
    )
    fragment = fragments.sign(
        RecordKind.GRANTS, grants.encode(granted), keys, party=Party.VENDOR, role=Role.OS
    )
    return Signed(
        fragment=records.join([fragment]),
        manifest=manifest,
        files=sum(entry.is_regular for entry in entries),
        code=len(granted.code),
        config=len(granted.config),
    )


def _guards_boot(policy: Path) -> GuardedPaths | None:
    """What this policy document guards, if something of /boot is among it."""
    found = GuardedPaths.of(policy_lists.read_policy(policy))
    signed = [one.path for one in found.guarded if one.file_class is GuardedClass.SIGNED]
    return found if any((one + b"/").startswith(BOOT + b"/") for one in signed) else None


def _walk(opened: Tree, digester: tree.Digester, policy: Path) -> Iterator[Node]:
    guarded = _guards_boot(policy)
    for item in opened.walk(digester, visit=partial(is_system, boot=guarded is not None)):
        if isinstance(item, Gap):
            raise HostError(
                "unreadable", f"{printable(item.path)}: {item.why}", hint=item.hint or None
            )
        # Sockets, fifos and devices grant nothing and come and go.
        entry = item.entry
        if _is_etc(entry.path) and not (entry.is_directory or _is_started(entry)):
            continue
        in_boot = entry.path.startswith(BOOT + b"/") and not entry.is_directory
        if in_boot and guarded is not None and not guarded([entry]):
            # Such as what a boot loader writes in place, which it then couldn't.
            continue
        if entry.is_regular or entry.is_symlink or entry.is_directory:
            yield item


def _is_etc(path: bytes) -> bool:
    return path.startswith(b"/etc/")


def _is_started(entry: Entry) -> bool:
    return entry.is_regular and bool(entry.mode & 0o111)


def _measured(fd: int, path: bytes) -> Contents:
    """By the kernel where it can say, else hashed; and the first bytes, for the rules of grants."""
    label = os.fsdecode(path)
    head = os.pread(fd, elf.HEAD_SIZE, 0)
    try:
        found = kernel.measure(fd, label=label)
    except HostError:
        found = None
    if found is None or found.algorithm is not CANONICAL.algorithm:
        value = content.digest_fd(fd, CANONICAL, label=label).value
        return Contents(digest=value, by_kernel=False, head=head)
    return Contents(digest=found.value, by_kernel=True, head=head)
