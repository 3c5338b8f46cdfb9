# SPDX-License-Identifier: Apache-2.0
"""The audit: one difference at a time, each with its finding; no privileged extra unnamed."""

import errno
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.world import ISSUED, JUST_VENDOR, World
from verity.formats.dump import Entry
from verity.formats.fsverity import digest_bytes
from verity.ports import tree
from verity.ports.signed_tree import Record, SignedTree, State, What
from verity.ports.tree import Contents, Node, Tree
from verity.trust.verified import VerifiedManifest, verify_manifest, verify_statement
from verity.values.audit import Area, AreaResult, Covered
from verity.values.findings import Link, NotEvaluated, Report
from verity.verbs import audit_files, audit_state
from verity.verbs import audit_files_compare as comparing
from verity.verbs.audit_files_bounded import Bounded
from verity.verbs.audit_host import AuditedHost
from verity.verbs.signed import SignedCommit

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
    assert comparing.compare(FILE, found()) is None
    assert comparing.compare(LINK, found(LINK, None)) is None


@pytest.mark.parametrize(
    ("node", "check", "link", "expected", "seen"),
    [
        (found(mode=0o104644), "mode", Link.FILE, "mode 0644", "mode 4644"),
        (found(uid=0), "owner", Link.FILE, "uid 1", "uid 0"),
        (found(gid=0), "owner", Link.FILE, "gid 2", "gid 0"),
        (
            found(xattrs=((b"security.capability", b"\x01"),)),
            "capabilities",
            Link.FILE,
            "capabilities none",
            r"capabilities \x01",
        ),
        (
            found(xattrs=((b"system.posix_acl_access", b"a"), (b"user.b", b"1"))),
            "acl",
            Link.FILE,
            "acl none, xattrs none",
            "acl a, xattrs user.b=1",
        ),
        (
            found(contents=Contents(digest=DIGEST, by_kernel=True, parameters="sha512")),
            "parameters",
            Link.DIGEST,
            "fs-verity parameters sha256, blocks of 4096, no salt",
            "fs-verity parameters sha512",
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
    ids=["mode", "uid", "gid", "xattrs", "acl", "parameters", "content", "no-verity", "type"],
)
def test_one_difference(node: Node, check: str, link: Link, expected: str, seen: str) -> None:
    finding = comparing.compare(FILE, node)
    assert finding is not None
    assert (finding.check, finding.link, finding.object) == (check, link, "/f")
    assert (finding.expected, finding.found) == (expected, seen)
    assert finding.remedy


def test_the_gravest_names_the_check_and_all_are_listed() -> None:
    node = found(contents=Contents(digest=b"\x01" * 32, by_kernel=False), mode=0o100755, uid=0)
    finding = comparing.compare(FILE, node)
    assert finding is not None
    assert finding.check == "content"
    assert "fs-verity is off" in finding.problem
    assert finding.expected.endswith("mode 0644, uid 1")
    assert finding.found.endswith("mode 0755, uid 0")
    off = comparing.compare(FILE, found(contents=Contents(digest=DIGEST, by_kernel=False), uid=0))
    assert off is not None
    assert (off.check, off.found) == ("owner", "uid 0, fs-verity off")


def test_metadata_differences() -> None:
    assert comparing.metadata_differences(FILE, FILE) == []
    assert comparing.metadata_differences(LINK, LINK._replace(target=b"a\nb")) == [
        ("target", "f", r"a\x0ab")
    ]
    device = Entry(path=b"/d", mode=0o20600, uid=0, gid=0, rdev=259)
    assert comparing.metadata_differences(device, device._replace(rdev=260)) == [
        ("device", "259", "260")
    ]
    # The contents and the type are not metadata: `compare` judges them.
    assert comparing.metadata_differences(FILE, FILE._replace(digest=bytes(32), size=9)) == []


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
    finding = comparing.unsigned(node)
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


def checks(report: Report) -> list[tuple[str, str]]:
    """All findings but the one that everything has on a host without fs-verity."""
    return [(one.check, one.object) for one in report.findings if one.check != "no-verity"]


def audit(root: Path, signed: VerifiedManifest) -> Report:
    found = audit_files.compare(root, signed, audit_files.How())
    return Report(counts=found.counts, findings=found.findings, not_evaluated=found.gaps)


def test_without_fs_verity_everything_is_hashed_and_found(root: Path) -> None:
    report = audit(root, manifest(entries(root)))
    assert [(one.check, one.object) for one in report.findings] == [
        ("no-verity", "/dir/sub/file"),
        ("no-verity", "/script"),
    ]
    assert report.counts == {"files": 2, "measured by the kernel": 0, "hashed": 2}
    assert report.exit_status == 1


def test_three_changes_three_findings(root: Path) -> None:
    signed = manifest(entries(root))
    (root / "dir/sub/file").write_bytes(b"Data")
    (root / "script").chmod(0o777)
    evil = root / "dir/evil"
    evil.write_bytes(b"#!/bin/sh\n")
    evil.chmod(0o4755)
    report = audit(root, signed)
    assert checks(report) == [
        ("unsigned-privileged", "/dir/evil"),
        ("content", "/dir/sub/file"),
        ("mode", "/script"),
    ]
    assert report.counts["files"] == 3
    mode = report.findings[-1]
    assert (mode.expected, mode.found) == ("mode 0755, fs-verity on", "mode 0777, fs-verity off")


def test_what_is_missing(root: Path) -> None:
    signed = manifest(entries(root))
    (root / "dir/sub/file").unlink()
    (root / "dir/sub").rmdir()
    (root / "link").unlink()
    assert checks(audit(root, signed)) == [
        ("missing", "/dir/sub"),
        ("missing", "/dir/sub/file"),
        ("missing", "/link"),
    ]


def test_a_directory_that_became_a_symlink(root: Path) -> None:
    signed = manifest(entries(root))
    os.rename(root / "dir", root.parent / "elsewhere")
    (root / "dir").symlink_to("../elsewhere")
    found = checks(audit(root, signed))
    assert ("type", "/dir") in found
    # What is reached through it does not count as there.
    assert ("missing", "/dir/sub/file") in found


def test_each_difference_of_a_tree_has_its_check(root: Path) -> None:
    os.setxattr(root / "script", "user.a", b"1")
    signed = manifest(entries(root))
    os.setxattr(root / "script", "user.a", b"2")
    (root / "link").unlink()
    (root / "link").symlink_to("dir")
    (root / "dir/sub").chmod(0o700)
    assert checks(audit(root, signed)) == [
        ("mode", "/dir/sub"),
        ("target", "/link"),
    ]
    (xattrs,) = (one for one in audit(root, signed).findings if one.object == "/script")
    # Having no fs-verity is worse.
    assert xattrs.check == "no-verity"
    assert xattrs.found == "fs-verity off, xattrs user.a=2"


def test_unsigned_code_is_known_by_its_first_bytes(root: Path) -> None:
    signed = manifest(entries(root))
    evil = root / "evil"
    evil.write_bytes(b"#!/bin/sh\n")
    evil.chmod(0o755)
    assert checks(audit(root, signed)) == [("unsigned-code", "/evil")]


def test_names_are_escaped_for_people_and_exact_for_programs(root: Path) -> None:
    name = b"\x1b]0;x\x07\nmissing etc\xff"
    Path(os.fsdecode(os.fsencode(root) + b"/" + name)).touch()
    (finding,) = (
        one for one in audit(root, manifest(entries(root / "dir"))).findings
        if one.path == b"/" + name
    )  # fmt: skip
    assert finding.object == r"/\x1b]0;x\x07\x0amissing\x20etc\xff"


def test_a_directory_that_cannot_be_read_hides_only_itself(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = manifest(entries(root))
    real = SignedTree.records

    def records(self: SignedTree) -> Iterator[Sequence[Record]]:
        for some in real(self):
            yield [one for one in some if not one.path.startswith(b"/dir/")]
        line = self.lines.find(b"/dir")
        assert line is not None
        for inside in (b"/dir/sub", b"/dir/sub/file"):
            self.states[self.lines.find(inside) or 0] = State.UNSEEN
        yield [Record(b"/dir", line, What.UNLISTED, errno.EIO)]

    monkeypatch.setattr(SignedTree, "records", records)
    (root / "dir-not").mkdir()
    report = audit(root, signed)
    assert checks(report) == [("unsigned-file", "/dir-not")]
    (gap,) = report.not_evaluated
    assert (gap.check, gap.object) == ("unreadable", "/dir")
    assert "Input/output error" in gap.why and gap.hint


def test_what_is_gone_when_it_is_looked_at(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = manifest(entries(root))
    (root / "new").touch()
    (root / "script").chmod(0o700)
    real = SignedTree.records

    def records(self: SignedTree) -> Iterator[Sequence[Record]]:
        for some in list(real(self)):
            (root / "new").unlink(missing_ok=True)
            (root / "script").unlink(missing_ok=True)
            yield some

    monkeypatch.setattr(SignedTree, "records", records)
    assert checks(audit(root, signed)) == [("missing", "/script")]


def test_progress_is_told(root: Path) -> None:
    signed = manifest(entries(root))
    heard: list[tuple[int, int]] = []
    how = audit_files.How(progress=lambda *told: heard.append(told))
    audit_files.compare(root, signed, how)
    assert heard[-1] == (6, 6)


def test_of_too_many_findings_the_rest_is_counted() -> None:
    bounded = Bounded(each=2)
    for name in (b"/c", b"/b", b"/a"):
        entry = FILE._replace(path=name)
        bounded.add(comparing.missing(entry))
        bounded.add(None, NotEvaluated(check="unreadable", object="x", why="y", path=name))
    assert [one.path for one in bounded.findings()] == [b"/b", b"/c", None]
    last = bounded.findings()[-1]
    assert (last.check, last.found, last.problem.split(",")[0]) == (
        "missing",
        "1",
        "1 further paths",
    )
    assert [one.path for one in bounded.gaps()] == [b"/b", b"/c", None]
    assert bounded.counts_only("missing") and not bounded.counts_only("mode")
    assert [one.found for one in bounded.findings()][-1] == "2"


# --- the area ----------------------------------------------------------------------------------


def host(root: Path, signed: VerifiedManifest | None, **more: Any) -> AuditedHost:
    commit = None
    if signed is not None:
        commit = SignedCommit(
            checksum="0" * 64,
            statement=signed.source,
            manifest=signed,
            grants=None,  # type: ignore[arg-type]  # the area asks for none of them
        )
    return AuditedHost(root=root, live=False, now=ISSUED, clock=ISSUED, commit=commit, **more)


def test_every_check_of_the_area_has_a_name_of_its_own() -> None:
    ids = [check.id for check in audit_files.CHECKS]
    assert len(set(ids)) == len(ids)
    assert {check.area for check in audit_files.CHECKS} == {Area.FILES}
    assert set(comparing._CHECKS.values()) < set(ids)


def test_the_area_says_what_covers_what(root: Path) -> None:
    signed = manifest(entries(root))
    (root / "var").mkdir()
    (root / "var/log").touch()
    (root / "evil").touch()
    found = audit_files.examine(host(root, signed))
    assert [one.object for one in found.findings] == ["/dir/sub/file", "/evil", "/script", "/var"]
    assert found.coverage == {
        Covered.ENFORCED: 0,
        Covered.MEASURED: 0,
        Covered.HASHED: 2,
        Covered.METADATA: 4,
        Covered.UNVERIFIABLE: 2,
        Covered.IGNORED: 1,
    }
    assert set(found.not_applicable) == {"disk", "still-cached"}
    assert "1 names in" in found.notes[0]


def test_the_etc_that_ostree_makes_is_the_vendors(root: Path) -> None:
    """A commit has /usr/etc alone; of its directory a deployment's /etc is a copy."""
    (root / "usr/etc").mkdir(parents=True)
    signed = manifest(entries(root))
    (root / "etc").mkdir()
    (root / "etc/own").touch()

    def found() -> list[tuple[str, str]]:
        findings = audit_files.examine(host(root, signed)).findings
        return [(one.check, one.object) for one in findings if one.check != "no-verity"]

    assert found() == []
    (root / "etc").chmod(0o777)
    assert found() == [("mode", "/etc")]
    (root / "etc/own").unlink()
    (root / "etc").rmdir()
    assert found() == [("missing", "/etc")]


def test_without_a_manifest_no_check_passes(root: Path) -> None:
    found = audit_files.examine(host(root, None))
    assert [gap.check for gap in found.not_evaluated] == [one.id for one in audit_files.CHECKS]


def test_a_root_that_is_not_there_is_not_evaluated(tmp_path: Path, root: Path) -> None:
    found = audit_files.examine(host(tmp_path / "no", manifest(entries(root))))
    assert found.not_evaluated and not found.findings


def test_what_ostree_leaves_to_the_host_is_not_compared(tmp_path: Path, root: Path) -> None:
    """A commit's /var and /boot don't get to a deployment; the same tree elsewhere has its own."""
    (root / "var/lib").mkdir(parents=True)
    (root / "var/lib/began").write_text("signed")
    (root / "boot").mkdir()
    (root / "boot/vmlinuz").write_text("signed")
    signed = manifest(entries(root))
    deployed = tmp_path / f"ostree/deploy/os/deploy/{'5a' * 32}.0"
    deployed.parent.mkdir(parents=True)
    root.rename(deployed)
    (deployed / "boot/vmlinuz").unlink()
    (deployed / "var/lib/began").write_text("what the host made of it")
    (deployed / "var/lib").chmod(0o700)
    (deployed / "var/lib/new").touch()

    def found(there: Path) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
        result = audit_files.examine(host(there, signed))
        findings = [(one.check, one.object) for one in result.findings]
        return [one for one in findings if one[0] != "no-verity"], result.notes

    findings, notes = found(deployed)
    assert findings == []
    assert notes[0].startswith("1 names in ")
    assert notes[1].startswith("3 entries of the commit below /boot /var are compared with nothing")
    (deployed / "var").chmod(0o777)  # the directory itself is where everything begins
    assert found(deployed)[0] == [("mode", "/var")]
    (deployed / "var").chmod(0o755)
    deployed.rename(root)
    assert found(root)[0] == [
        ("missing", "/boot/vmlinuz"),
        ("mode", "/var/lib"),
        ("content", "/var/lib/began"),
        ("unsigned-file", "/var/lib/new"),
    ]


def test_without_the_var_of_its_host_a_deployment_has_no_state(tmp_path: Path, root: Path) -> None:
    """The policy that is part of the state lies there."""
    (root / "var").mkdir()
    signed = manifest(entries(root))
    deployed = tmp_path / f"ostree/deploy/os/deploy/{'5a' * 32}.0"
    deployed.parent.mkdir(parents=True)
    root.rename(deployed)
    asked = [AreaResult(area=Area.FILES)]
    assert audit_state.of_audit(host(deployed, signed), asked) is not None
    (tmp_path / "ostree/deploy/os/var").mkdir()
    without = host(deployed, signed)
    assert audit_state.of_audit(without, asked) is None
    (gap,) = without.without_var("no-floor")
    assert (gap.object, gap.hint.split()[0]) == ("/var", "mount")
