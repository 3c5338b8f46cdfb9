# SPDX-License-Identifier: Apache-2.0
"""What has to be done to make a tree as its manifest says: manifest, what is there -> a plan. Pure.

1. What is signed and missing, or differs, is put there anew: a file beside it, renamed over it. No
   file is written in place, since its inode may be the repository's, too.
2. A directory keeps what is in it, and gets its mode, owner and xattrs.
3. What is as signed and has no fs-verity keeps its inode, and gets fs-verity.
4. What nobody signed is left and named; code, what is privileged, and directories that hold nothing
   else go if that is asked for. If it is in the way of something signed, that is left, too.

The plan follows from the states alone, so that one made after a crash is the rest of the work.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from verity.formats.dump import Entry, printable
from verity.formats.grant_rules import code_flags, permitted_capabilities, set_id_bits
from verity.ports.tree import Gap, Node
from verity.values.errors import ContentError
from verity.verbs import etc_compare

PRIVILEGED = "privileged"
NO_VERITY = "fs-verity is off"
_MANY_GAPS = "mend that, or name that tree by --root"


@dataclass(frozen=True, kw_only=True)
class Left:
    """What is not brought back, why, and what can be done."""

    path: bytes
    why: str
    hint: str = ""


@dataclass(kw_only=True)
class Plan:
    """In the order of doing. ``why`` says of each path what is wrong with it."""

    remove: list[Entry] = field(default_factory=list)
    make: list[Entry] = field(default_factory=list)
    put: list[Entry] = field(default_factory=list)
    dress: list[Entry] = field(default_factory=list)
    protect: list[Entry] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    why: dict[bytes, str] = field(default_factory=dict)

    @property
    def changes(self) -> int:
        """How many things are to be done."""
        return sum(map(len, (self.remove, self.make, self.put, self.dress, self.protect)))

    def drop(self, path: bytes, why: str, hint: str) -> None:
        """Leave a path as it is, what would be put below it, and what can't be emptied then."""
        below = path + b"/"
        for entries in (self.remove, self.make, self.put, self.dress, self.protect):
            entries[:] = [
                one for one in entries if one.path != path and not one.path.startswith(below)
            ]
        said = why.removeprefix(f"{printable(path)}: ")
        self.left.append(Left(path=path, why=said, hint=hint))
        for above in [one.path for one in self.remove if path.startswith(one.path + b"/")]:
            self.drop(above, "what is in it stays", hint)

    def leave_state(self, tops: frozenset[bytes]) -> None:
        """Leave what differs in directories of state: there a host has its own data, and what is
        signed is only what it began with."""
        counts: Counter[bytes] = Counter()
        for entries in (self.remove, self.make, self.put, self.dress, self.protect):
            inside = [one for one in entries if top_of(one.path) in tops and one.path not in tops]
            counts.update(top_of(one.path) for one in inside)
            gone = {one.path for one in inside}
            entries[:] = [one for one in entries if one.path not in gone]
        for top, count in sorted(counts.items()):
            why = f"{count} signed files differ or lack fs-verity, and are state of the host"
            hint = "copy from a checkout of the commit what should be as signed there"
            self.left.append(Left(path=top, why=why, hint=hint))


def plan(
    due: Mapping[bytes, Entry],
    nodes: Mapping[bytes, Node],
    gaps: list[Gap],
    *,
    may_remove: Callable[[Node], bool],
    owned: Mapping[bytes, Entry] = MappingProxyType({}),
) -> Plan:
    """Make the plan. ``may_remove`` is asked of what nobody signed and could do something; what is
    as in ``owned`` is signed by the host's owner."""
    made = Plan()
    hidden = {gap.path for gap in gaps}
    for gap in gaps:
        if _is_mount_point(gap.path, due):
            continue
        made.left.append(Left(path=gap.path, why=gap.why, hint=gap.hint or _MANY_GAPS))
    _extras(due, nodes, hidden, made, may_remove, owned)
    going = {entry.path for entry in made.remove}
    for path, entry in sorted(due.items()):
        if not _is_inside(path, hidden):
            _signed(entry, nodes, going, made)
    made.remove.sort(key=lambda entry: entry.path, reverse=True)  # what is inside first
    return made


def _signed(entry: Entry, nodes: Mapping[bytes, Node], going: set[bytes], made: Plan) -> None:
    """What one signed file needs."""
    path, node = entry.path, nodes.get(entry.path)
    why = wrong(entry, node)
    if not why:
        return
    made.why[path] = why
    if not (entry.is_regular or entry.is_symlink or entry.is_directory):
        made.left.append(Left(path=path, why="neither file, link nor directory: no source has it"))
        return
    is_directory = node is not None and node.entry.is_directory
    if node is not None and entry.is_directory and is_directory:
        made.dress.append(entry)
    elif node is not None and entry == node.entry and entry.is_regular:
        made.protect.append(entry)
    elif node is not None and is_directory:
        _over_directory(entry, node, nodes, going, made)
    else:
        if node is not None and entry.is_directory:
            made.remove.append(node.entry)
        (made.make if entry.is_directory else made.put).append(entry)


def wrong(due: Entry, node: Node | None) -> str:
    """What is wrong with a signed file, in a few words; empty if it is as signed and protected."""
    if node is None:
        return "it is missing"
    if due != node.entry:
        names = etc_compare.aspects(due, node.entry)
        one = len(names) == 1 and names[0] != "xattrs"
        return f"{' and '.join(names)} {'differs' if one else 'differ'}"
    if node.contents is not None and not node.contents.by_kernel:
        return NO_VERITY
    return ""


def _over_directory(
    entry: Entry, node: Node, nodes: Mapping[bytes, Node], going: set[bytes], made: Plan
) -> None:
    """A directory where a file or a link should be: it goes if it can be emptied."""
    below = entry.path + b"/"
    if any(path.startswith(below) and path not in going for path in nodes):
        made.left.append(
            Left(
                path=entry.path,
                why="a directory is in its place, and holds what nobody signed",
                hint="look at what is in it, and move it away",
            )
        )
        return
    made.remove.append(node.entry)
    made.put.append(entry)


def _extras(
    due: Mapping[bytes, Entry],
    nodes: Mapping[bytes, Node],
    hidden: set[bytes],
    made: Plan,
    may_remove: Callable[[Node], bool],
    owned: Mapping[bytes, Entry],
) -> None:
    """What nobody signed, deepest first: a directory goes if all in it does, an empty one, too."""
    kept = {path.rpartition(b"/")[0] for path in hidden}
    for path in sorted(nodes.keys() - due.keys(), reverse=True):
        node = nodes[path]
        above = path.rpartition(b"/")[0]
        if owned.get(path) == node.entry:
            kept.add(above)
            continue
        power = power_of(node)
        if node.entry.is_directory:
            goes = path not in kept and path not in hidden and may_remove(node)
        else:
            goes = bool(power) and may_remove(node)
        if goes:
            made.remove.append(node.entry)
            made.why[path] = f"nobody signed it{power and f', and it is {power}'}"
            continue
        kept.add(above)
        if node.entry.is_directory and path in kept:
            continue  # what is in it is named
        why = f"nobody signed it{power and f', and it is {power}'}"
        hint = "remove it, or have it signed"
        if power:
            hint += "; `--remove-unsigned` removes it, unless a grant of another stream names it"
        made.left.append(Left(path=path, why=why, hint=hint))


def power_of(node: Node) -> str:
    """What a file could do that nobody signed, in words; empty for data."""
    if node.contents is None:
        return ""
    try:
        powers = any(set_id_bits(node.entry.mode)) or permitted_capabilities(node.entry) != 0
    except ContentError:
        powers = True  # unreadable capabilities count as all of them
    if powers:
        return PRIVILEGED
    return "code" if code_flags(node.entry, node.contents.head) else ""


def _is_mount_point(path: bytes, due: Mapping[bytes, Entry]) -> bool:
    """Whether what is signed of it is an empty directory, such as /proc: anything may be there."""
    entry = due.get(path)
    below = path + b"/"
    return entry is not None and entry.is_directory and not any(p.startswith(below) for p in due)


def top_of(path: bytes) -> bytes:
    """The name in the root that a path is, or is below of."""
    end = path.find(b"/", 1)
    return path if end < 0 else path[:end]


def _is_inside(path: bytes, hidden: set[bytes]) -> bool:
    parts = path.split(b"/")
    return any((b"/".join(parts[:length]) or b"/") in hidden for length in range(1, len(parts) + 1))
