# SPDX-License-Identifier: Apache-2.0
"""A made-up host for tests of what is reached: a tree, real ELF files without any code, grants.

``Host.grants`` are what the project's own rules earn for the tree but for the files that a test
leaves unsigned.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.world import COMMIT, JUST_VENDOR, World
from verity.formats.dump import Entry
from verity.formats.grant_rules import earned
from verity.formats.grants import Grants, Party, Role
from verity.ports.rooted import Rooted
from verity.ports.tree import Node, Tree, hashed
from verity.trust.verified import verify_grants, verify_manifest, verify_statement
from verity.values.audit import Area, AreaResult
from verity.verbs import audit_code, reach, reach_sources
from verity.verbs.audit_host import AuditedHost
from verity.verbs.reach_values import Reach, Reference, Seen
from verity.verbs.signed import SignedCommit

LOADER = "/lib64/ld-linux-x86-64.so.2"
_TAGS = {"needed": 1, "rpath": 15, "runpath": 29}


def elf(
    *,
    needed: Iterable[str] = (),
    rpath: str = "",
    runpath: str = "",
    interpreter: str = LOADER,
    no_default: bool = False,
    machine: int = 62,
    text: bytes = b"",
    strings_in_section: bytes = b"",
) -> bytes:
    """A 64-bit ELF file with a dynamic segment, and ``text`` at its end to make it another one."""
    strings = b"\0"
    tags: list[tuple[int, int]] = []
    for name, value in (
        *(("needed", one) for one in needed),
        *((("rpath", rpath),) if rpath else ()),
        *((("runpath", runpath),) if runpath else ()),
    ):
        tags.append((_TAGS[name], len(strings)))
        strings += value.encode() + b"\0"
    number = 3 if interpreter else 2
    interp = interpreter.encode() + b"\0" if interpreter else b""
    at_interp = 64 + 56 * number
    at_strings = at_interp + len(interp)
    at_dynamic = at_strings + len(strings) + 7 & ~7
    tags += [(5, at_strings), (10, len(strings))]
    if no_default:
        tags.append((0x6FFFFFFB, 0x800))
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in (*tags, (0, 0)))
    size = at_dynamic + len(dynamic)
    headers = [(1, 0, size), (2, at_dynamic, len(dynamic))]
    if interpreter:
        headers.append((3, at_interp, len(interp)))
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0x40, 64, 0, 0, 64, 56, number, 64, 0, 0)
    for kind, offset, length in headers:
        head += struct.pack("<IIQQQQQQ", kind, 5, offset, offset, offset, length, length, 8)
    body = head + interp + strings
    return body + bytes(at_dynamic - len(body)) + dynamic + text + strings_in_section


@dataclass
class Host:
    """A tree at ``root``. ``unsigned`` are paths that no grant names."""

    root: Path
    unsigned: set[str] = field(default_factory=set)

    bare: bool = False

    @classmethod
    def of(cls, tree: Path) -> Host:
        """A tree that is there, and only read."""
        return cls(tree, bare=True)

    def __post_init__(self) -> None:
        if self.bare:
            return
        self.program("/bin/sh", text=b"sh")
        self.file(LOADER, elf(interpreter="", text=b"loader"), 0o755)
        self.file("/etc/passwd", b"root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:\n")
        self.file("/etc/group", b"root:x:0:\nuser:x:1000:\n")

    def file(self, path: str, data: bytes = b"", mode: int = 0o644) -> None:
        """Write a file, with its directories."""
        there = self.root / path.lstrip("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(data)
        there.chmod(mode)

    def link(self, path: str, target: str) -> None:
        """Make a symlink."""
        there = self.root / path.lstrip("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.symlink_to(target)

    def program(self, path: str, *, text: bytes = b"", needed: Iterable[str] = ()) -> None:
        """An ELF program of its own contents."""
        self.file(path, elf(text=text or path.encode(), needed=needed), 0o755)

    def library(self, path: str, *, text: bytes = b"", needed: Iterable[str] = ()) -> None:
        """An ELF library of its own contents."""
        self.file(path, elf(interpreter="", text=text or path.encode(), needed=needed), 0o644)

    def unit(self, name: str, text: str, folder: str = "/usr/lib/systemd/system") -> None:
        """A unit file or drop-in."""
        self.file(f"{folder}/{name}", text.encode())

    def entries(self) -> tuple[list[Entry], dict[bytes, bytes]]:
        """The manifest's lines for all that is signed, and the first bytes by digest."""
        entries: list[Entry] = []
        heads: dict[bytes, bytes] = {}
        with Tree(self.root) as tree:
            for node in tree.walk(hashed):
                assert isinstance(node, Node), node
                if os.fsdecode(node.path) in self.unsigned:
                    continue
                entries.append(node.entry)
                if node.contents is not None:
                    heads[node.contents.digest] = node.contents.head
        return entries, heads

    def grants(self) -> Grants:
        """Grants of everything but what is unsigned."""
        tables = earned(*self.entries())
        return Grants(
            party=Party.VENDOR,
            role=Role.OS,
            stream="os",
            serial=1,
            issued=1,
            expires=2,
            manifest_sha256=bytes(32),
            code=tables.code,
            elevate=tables.elevate,
        )

    def committed(self, *outside: str, areas: frozenset[Area] = frozenset(Area)) -> AuditedHost:
        """The host as it is now, all of it signed in a commit; ``outside`` are granted alone."""
        entries, heads = self.entries()
        tables = earned(entries, heads)
        changes = {"code": tables.code, "elevate": tables.elevate}
        inside = tuple(one for one in entries if os.fsdecode(one.path) not in outside)
        world = World(entries=inside, grants_changes=changes)
        statement = verify_statement([world.envelope], JUST_VENDOR)
        manifest = verify_manifest(world.manifest, statement)
        grants = verify_grants(world.grants, world.grants_signatures, manifest, JUST_VENDOR)
        commit = SignedCommit(
            checksum=COMMIT.hex(), statement=statement, manifest=manifest, grants=grants
        )
        return AuditedHost(
            root=self.root,
            live=False,
            now=1,
            clock=1,
            commit=commit,
            grants=(grants.grants,),
            areas=areas,
        )

    def audit(self) -> AreaResult:
        """What the area says."""
        host = AuditedHost(root=self.root, live=False, now=1, clock=1, grants=(self.grants(),))
        return audit_code.examine(host)

    def found(self) -> list[tuple[str, str]]:
        """Check and path of every finding; nothing may be left open."""
        result = self.audit()
        assert result.not_evaluated == ()
        return [(one.check, os.fsdecode(one.path or b"")) for one in result.findings]

    def reach(self, *references: Reference) -> Reach:
        """What these references, or else all sources, reach."""
        with Rooted(self.root) as tree:
            seen = Seen(tree)
            return reach.follow(seen, references or reach_sources.references(seen))
