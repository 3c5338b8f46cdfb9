# SPDX-License-Identifier: Apache-2.0
"""manifest diff and show: one finding a path, everything that changed in it; nothing skipped."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from verity.formats import dump
from verity.formats.dump import Entry
from verity.formats.fsverity import digest_bytes
from verity.ports.tree import Gap, Tree
from verity.values.errors import ContentError, HostError
from verity.values.findings import Link
from verity.verbs import manifest as verb

ROOT = Entry(path=b"/", mode=0o40755, uid=0, gid=0)
FILE = Entry(path=b"/f", mode=0o100644, uid=0, gid=0, size=1, digest=b"\x01" * 32)
LINK = Entry(path=b"/l", mode=0o120777, uid=0, gid=0, size=1, target=b"f")


def manifest(*entries: Entry) -> bytes:
    return dump.serialise((ROOT, *entries))


def test_equal() -> None:
    assert verb.diff(manifest(FILE, LINK), manifest(FILE, LINK)) == []


@pytest.mark.parametrize(
    ("changes", "problem", "expected", "found"),
    [
        ({"mode": 0o104755}, "mode changed", "mode 0644", "mode 4755"),
        ({"uid": 5}, "uid changed", "uid 0", "uid 5"),
        ({"gid": 6}, "gid changed", "gid 0", "gid 6"),
        (
            {"digest": b"\x02" * 32},
            "digest changed",
            f"digest {'01' * 32}",
            f"digest {'02' * 32}",
        ),
        (
            {"xattrs": ((b"user.a", b"\n"),)},
            "xattrs changed",
            "xattrs none",
            r"xattrs user.a=\x0a",
        ),
        (
            {"digest": b"\x02" * 32, "size": 2, "uid": 5},
            "digest and size and uid changed",
            f"digest {'01' * 32}, size 1, uid 0",
            f"digest {'02' * 32}, size 2, uid 5",
        ),
    ],
    ids=["mode", "uid", "gid", "digest", "xattrs", "several"],
)
def test_changed(changes: dict[str, Any], problem: str, expected: str, found: str) -> None:
    (finding,) = verb.diff(manifest(FILE), manifest(FILE._replace(**changes)))
    assert (finding.check, finding.link, finding.object) == ("changed", Link.MANIFEST, "/f")
    assert (finding.problem, finding.expected, finding.found) == (problem, expected, found)


def test_a_size_alone_is_a_change_that_is_named() -> None:
    """No honest pair of manifests has it; a report of nothing would still mislead."""
    (finding,) = verb.diff(manifest(FILE), manifest(FILE._replace(size=2)))
    assert finding.problem == "size changed"


def test_another_type() -> None:
    (finding,) = verb.diff(manifest(FILE), manifest(LINK._replace(path=b"/f")))
    assert finding.problem.startswith("type and ")
    assert "type 100644" in finding.expected
    assert "type 120777" in finding.found
    assert "target f" in finding.found


def test_added_and_removed() -> None:
    (added,) = verb.diff(manifest(), manifest(LINK))
    assert (added.check, added.expected, added.found) == ("added", "no such file", "there")
    (removed,) = verb.diff(manifest(LINK), manifest())
    assert (removed.check, removed.expected, removed.found) == ("removed", "there", "no such file")


def test_sorted_by_path_and_escaped() -> None:
    odd = FILE._replace(path=b"/a\nb\xff")
    findings = verb.diff(manifest(FILE), manifest(odd, LINK))
    assert [(one.check, one.object) for one in findings] == [
        ("added", r"/a\x0ab\xff"),
        ("removed", "/f"),
        ("added", "/l"),
    ]


def test_both_are_held_to_the_format() -> None:
    good = manifest(FILE)
    for old, new in ((good, good + good), (b"", good), (good, good[:-1])):
        with pytest.raises(ContentError) as caught:
            verb.diff(old, new)
        assert caught.value.code == "bad-manifest"


def test_summary() -> None:
    fifo = Entry(path=b"/p", mode=0o10644, uid=0, gid=0)
    data = manifest(FILE, FILE._replace(path=b"/g", size=41), LINK, fifo)
    found = verb.summarise(data)
    assert (found.files, found.directories, found.symlinks, found.others) == (2, 1, 1, 1)
    assert (found.size, found.sha256) == (42, hashlib.sha256(data).hexdigest())


def test_of_directory(tmp_path: Path) -> None:
    (tmp_path / "a-b").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_bytes(b"x")
    found = dump.parse(verb.of_directory(tmp_path))
    # By whole paths, which is no depth-first order.
    assert [entry.path for entry in found] == [b"/", b"/a", b"/a-b", b"/a/file"]
    assert found[-1].digest == digest_bytes(b"x").value
    assert (found[-1].uid, found[-1].gid) == (os.geteuid(), os.getegid())


def test_a_manifest_with_holes_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gap = Gap(path=b"/secret", why="permission denied", hint="be root")
    monkeypatch.setattr(Tree, "walk", lambda self, digester: iter([gap]))
    with pytest.raises(HostError) as caught:
        verb.of_directory(tmp_path)
    assert (caught.value.code, caught.value.message) == (
        "unreadable",
        "/secret: permission denied",
    )
    assert caught.value.hint == "be root"
