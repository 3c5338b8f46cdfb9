# SPDX-License-Identifier: Apache-2.0
"""The audit: one difference at a time, each with its finding; no privileged extra unnamed."""

import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.world import ISSUED, JUST_VENDOR, World
from verity.formats.dump import Entry
from verity.formats.fsverity import digest_bytes
from verity.ports import tree
from verity.ports.tree import Contents, Gap, Node, Tree
from verity.trust.verified import VerifiedManifest, verify_manifest, verify_statement
from verity.values.findings import Link, Report
from verity.verbs import audit as verb

DATA = b"data"
DIGEST = digest_bytes(DATA).value
FILE = Entry(path=b"/f", mode=0o100644, uid=1, gid=2, size=4, digest=DIGEST)
LINK = Entry(path=b"/l", mode=0o120777, uid=0, gid=0, size=1, target=b"f")
BY_KERNEL = Contents(digest=DIGEST, by_kernel=True)
ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQ", 3, 62, 1, 0x1000) + bytes(32)


def found(entry: Entry = FILE, contents: Contents | None = BY_KERNEL, **changes: Any) -> Node:
    entry = entry._replace(**changes)
    if contents is not None:
        entry = entry._replace(digest=contents.digest)
    return Node(entry=entry, contents=contents)


def test_as_signed() -> None:
    assert verb.compare(FILE, found()) is None
    assert verb.compare(LINK, found(LINK, None)) is None


@pytest.mark.parametrize(
    ("node", "check", "link", "expected", "seen"),
    [
        (found(mode=0o104644), "metadata", Link.FILE, "mode 0644", "mode 4644"),
        (found(uid=0), "metadata", Link.FILE, "uid 1", "uid 0"),
        (found(gid=0), "metadata", Link.FILE, "gid 2", "gid 0"),
        (
            found(xattrs=((b"security.capability", b"\x01"),)),
            "metadata",
            Link.FILE,
            "xattrs none",
            r"xattrs security.capability=\x01",
        ),
        (
            found(contents=Contents(digest=b"\x01" * 32, by_kernel=True)),
            "content",
            Link.DIGEST,
            f"digest sha256:{DIGEST.hex()}",
            f"digest sha256:{'01' * 32}",
        ),
        (
            found(contents=Contents(digest=DIGEST, by_kernel=False)),
            "no-verity",
            Link.DIGEST,
            "fs-verity on",
            "fs-verity off",
        ),
        (found(LINK, None, path=b"/f"), "type", Link.FILE, "a regular file", "a symbolic link"),
    ],
    ids=["mode", "uid", "gid", "xattrs", "content", "no-verity", "type"],
)
def test_one_difference(node: Node, check: str, link: Link, expected: str, seen: str) -> None:
    finding = verb.compare(FILE, node)
    assert finding is not None
    assert (finding.check, finding.link, finding.object) == (check, link, "/f")
    assert (finding.expected, finding.found) == (expected, seen)
    assert finding.remedy


def test_the_gravest_names_the_check_and_all_are_listed() -> None:
    node = found(contents=Contents(digest=b"\x01" * 32, by_kernel=False), mode=0o100755, uid=0)
    finding = verb.compare(FILE, node)
    assert finding is not None
    assert finding.check == "content"
    assert "fs-verity is off" in finding.problem
    assert finding.expected.endswith("mode 0644, uid 1")
    assert finding.found.endswith("mode 0755, uid 0")
    off = verb.compare(FILE, found(contents=Contents(digest=DIGEST, by_kernel=False), uid=0))
    assert off is not None
    assert (off.check, off.found) == ("no-verity", "fs-verity off, uid 0")


def test_metadata_differences() -> None:
    assert verb.metadata_differences(FILE, FILE) == []
    assert verb.metadata_differences(LINK, LINK._replace(target=b"a\nb")) == [
        ("target", "f", r"a\x0ab")
    ]
    device = Entry(path=b"/d", mode=0o20600, uid=0, gid=0, rdev=259)
    assert verb.metadata_differences(device, device._replace(rdev=260)) == [
        ("device", "259", "260")
    ]
    # The contents and the type are not metadata: `compare` judges them.
    assert verb.metadata_differences(FILE, FILE._replace(digest=bytes(32), size=9)) == []


def capability(permitted: int, revision: int = 2, tail: bytes = b"") -> tuple[bytes, bytes]:
    value = struct.pack("<IIIII", revision << 24, permitted, 0, 0, 0) + tail
    return b"security.capability", value


@pytest.mark.parametrize(
    ("node", "check", "words"),
    [
        (found(mode=0o104755), "unsigned-privileged", "set-uid 1"),
        (found(mode=0o102755), "unsigned-privileged", "set-gid 2"),
        (found(mode=0o102644), "unsigned-file", "a regular file"),
        (found(xattrs=(capability(1 << 21),)), "unsigned-privileged", "file capabilities"),
        (found(xattrs=(capability(0),)), "unsigned-file", "a regular file"),
        (found(xattrs=(capability(1, revision=9),)), "unsigned-privileged", "file capabilities"),
        (
            found(xattrs=((b"security.capability", b"x"),)),
            "unsigned-privileged",
            "file capabilities",
        ),
        (
            found(mode=0o100755, contents=Contents(digest=DIGEST, by_kernel=True, head=b"#!x")),
            "unsigned-code",
            "script",
        ),
        (
            found(mode=0o100755, contents=Contents(digest=DIGEST, by_kernel=True, head=ELF)),
            "unsigned-code",
            "exec, library",
        ),
        (found(path=b"/m.ko"), "unsigned-code", "module"),
        (found(), "unsigned-file", "a regular file"),
        (found(LINK, None), "unsigned-file", "a symbolic link"),
        (found(Entry(path=b"/d", mode=0o40755, uid=0, gid=0), None), "unsigned-file", "directory"),
        (found(Entry(path=b"/n", mode=0o20600, uid=0, gid=0), None), "unsigned-file", "character"),
    ],
)
def test_extra_files_by_what_they_could_do(node: Node, check: str, words: str) -> None:
    finding = verb._extra(node)
    assert finding.check == check
    assert finding.link is Link.MANIFEST
    assert words in finding.problem
    assert finding.expected == "no such file"


# --- whole trees -------------------------------------------------------------------------------


def entries(root: Path) -> tuple[Entry, ...]:
    with Tree(root) as opened:
        items = [item for item in opened.walk(tree.hashed) if isinstance(item, Node)]
    return tuple(sorted((item.entry for item in items), key=lambda entry: entry.path))


def manifest(signed: tuple[Entry, ...]) -> VerifiedManifest:
    world = World(entries=signed)
    return verify_manifest(world.manifest, verify_statement([world.envelope], JUST_VENDOR))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    (path / "dir/sub").mkdir(parents=True)
    (path / "dir/sub/file").write_bytes(DATA)
    (path / "script").write_text("#!/bin/sh\n")
    (path / "script").chmod(0o755)
    (path / "link").symlink_to("script")
    return path


@pytest.fixture
def by_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that vouches for every file."""

    def measured(fd: int, path: bytes) -> Contents:
        read = tree.hashed(fd, path)
        # As when measured: nothing was read, so there are no first bytes unless asked for.
        return replace(read, by_kernel=True)

    monkeypatch.setattr("verity.verbs.audit.tree.measured", measured)


def checks(report: Report) -> list[tuple[str, str]]:
    return [(finding.check, finding.object) for finding in report.findings]


@pytest.mark.usefixtures("by_kernel")
def test_a_tree_as_signed(root: Path) -> None:
    report = verb.audit(root, manifest(entries(root)), now=ISSUED)
    assert report.exit_status == 0
    assert report.counts == {"files": 2, "measured by the kernel": 2, "hashed": 0}


@pytest.mark.usefixtures("by_kernel")
def test_three_changes_three_findings(root: Path) -> None:
    signed = manifest(entries(root))
    (root / "dir/sub/file").write_bytes(b"Data")
    (root / "script").chmod(0o777)
    evil = root / "dir/evil"
    evil.write_bytes(b"#!/bin/sh\n")
    evil.chmod(0o4755)
    report = verb.audit(root, signed, now=ISSUED)
    assert checks(report) == [
        ("unsigned-privileged", "/dir/evil"),
        ("content", "/dir/sub/file"),
        ("metadata", "/script"),
    ]
    assert report.exit_status == 1


@pytest.mark.usefixtures("by_kernel")
def test_what_is_missing(root: Path) -> None:
    signed = manifest(entries(root))
    (root / "dir/sub/file").unlink()
    (root / "dir/sub").rmdir()
    (root / "link").unlink()
    assert checks(verb.audit(root, signed, now=ISSUED)) == [
        ("missing", "/dir/sub"),
        ("missing", "/dir/sub/file"),
        ("missing", "/link"),
    ]


@pytest.mark.usefixtures("by_kernel")
def test_a_directory_that_became_a_symlink(root: Path) -> None:
    signed = manifest(entries(root))
    os.rename(root / "dir", root.parent / "elsewhere")
    (root / "dir").symlink_to("../elsewhere")
    found = checks(verb.audit(root, signed, now=ISSUED))
    assert ("type", "/dir") in found
    # What is reached through it does not count as there.
    assert ("missing", "/dir/sub/file") in found


def test_without_fs_verity_everything_is_hashed_and_found(root: Path) -> None:
    report = verb.audit(root, manifest(entries(root)), now=ISSUED)
    assert checks(report) == [("no-verity", "/dir/sub/file"), ("no-verity", "/script")]
    assert report.counts["hashed"] == 2


@pytest.mark.usefixtures("by_kernel")
def test_a_gap_is_not_evaluated_and_hides_only_itself(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = manifest(entries(root))
    real = Tree.walk

    def walk(self: Tree, digester: tree.Digester) -> Any:
        for item in real(self, digester):
            if item.path == b"/dir":
                yield Gap(path=b"/dir", why="permission denied", hint="be root")
            elif not item.path.startswith(b"/dir/"):
                yield item

    monkeypatch.setattr(Tree, "walk", walk)
    (root / "dir-not").mkdir()
    report = verb.audit(root, signed, now=ISSUED)
    assert checks(report) == [("unsigned-file", "/dir-not")]
    (gap,) = report.not_evaluated
    assert (gap.object, gap.why, gap.hint) == ("/dir", "permission denied", "be root")
    (root / "dir-not").rmdir()
    assert verb.audit(root, signed, now=ISSUED).exit_status == 3


@pytest.mark.usefixtures("by_kernel")
def test_a_gap_at_the_root_explains_everything(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = manifest(entries(root))
    gap = Gap(path=b"/", why="permission denied", hint="")
    monkeypatch.setattr(Tree, "walk", lambda self, digester: iter([gap]))
    report = verb.audit(root, signed, now=ISSUED)
    assert (report.findings, report.exit_status) == ((), 3)


@pytest.mark.usefixtures("by_kernel")
def test_unsigned_code_is_known_by_its_first_bytes_also_if_measured(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digester that asks the kernel reads nothing; the audit still has to know a script."""
    signed = manifest(entries(root))
    evil = root / "evil"
    evil.write_bytes(b"#!/bin/sh\n")
    evil.chmod(0o755)

    def measure(fd: int, *, label: str) -> Any:
        return digest_bytes(os.pread(fd, 1 << 16, 0))

    monkeypatch.undo()  # the real digester, over a kernel that answers
    monkeypatch.setattr("verity.ports.tree.kernel.measure", measure)
    assert checks(verb.audit(root, signed, now=ISSUED)) == [("unsigned-code", "/evil")]


def test_progress_is_told(root: Path) -> None:
    for number in range(600):
        (root / f"{number}").touch()
    heard: list[int] = []
    verb.audit(root, manifest(entries(root)), now=ISSUED, progress=heard.append)
    assert heard == [500]
