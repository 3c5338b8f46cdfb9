# SPDX-License-Identifier: Apache-2.0
"""OSTree's objects as stock ostree writes them, over generated trees and a part of this machine's.

Two ways, byte for byte: what stock wrote is parsed and written again, and from the generated tree
itself our encoders give the checksums that stock's commit has. HYPOTHESIS_PROFILE=full takes many
more trees.
"""

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verity.formats.commit import Commit, DetachedMetadata, DirTree, checksum_of
from verity.formats.gvariant import Variant
from verity.formats.ostree_file import (
    FILEZ_FRAME,
    ContentHasher,
    DirMeta,
    FileHeader,
    Xattrs,
    encode_owner,
    parse_filez_frame,
    parse_owner,
)
from verity.ports.ostree_repo import Repository

OSTREE = shutil.which("ostree")
MODES = ["archive", "bare-user"]
ROOT = os.geteuid() == 0
TREES = max(12, settings().max_examples // 50)  # each is two runs of ostree
MOST_FILES, MOST_BYTES = 1500, 16 << 20  # of this machine's


@dataclass(frozen=True)
class Node:
    """A file or, with ``entries``, a directory, or, with ``target``, a symlink."""

    mode: int
    uid: int
    gid: int
    contents: bytes = b""
    xattrs: Xattrs = ()
    target: bytes | None = None
    entries: Mapping[bytes, "Node"] | None = None


NAMES = (
    st.one_of(
        st.text(min_size=1, max_size=8),
        st.text("aé日", min_size=60, max_size=85),
        st.sampled_from(
            ["a", "a-b", "a.b", "a0", "A", " ", "-", "\\", "\n", "ä", "a\u0308", "..."]
        ),
    )
    .filter(lambda text: "\0" not in text and "/" not in text and text not in (".", ".."))
    .map(lambda text: text.encode("utf-8", "replace"))
)
OWNERS = st.sampled_from([0, 1, 1000, 65534, 2**32 - 2]) if ROOT else st.just(os.geteuid())
GROUPS = st.sampled_from([0, 5, 1000, 2**32 - 2]) if ROOT else st.just(os.getegid())
XATTRS = st.dictionaries(
    st.text("abcü.=", min_size=1, max_size=5).map(lambda text: b"user." + text.encode()),
    # ostree 2022.7 does not commit an xattr without a value.
    st.binary(min_size=1, max_size=300),
    max_size=3,
).map(lambda found: tuple(sorted(found.items())))
FILES = st.builds(
    Node,
    mode=st.sampled_from([0o644, 0o755, 0o600, 0o4755, 0o2755, 0o6711, 0o444]),
    uid=OWNERS,
    gid=GROUPS,
    contents=st.binary(max_size=200) | st.integers(4000, 9000).map(lambda size: b"x" * size),
    xattrs=XATTRS,
)
LINKS = st.builds(
    Node,
    mode=st.just(0o777),
    uid=OWNERS,
    gid=GROUPS,
    target=NAMES | st.text("é/.", min_size=1, max_size=300).map(lambda text: text.encode()),
)
DIRECTORY_MODES = st.sampled_from([0o755, 0o700, 0o1777, 0o2755])


def directories(inside: st.SearchStrategy[Node], *, most: int) -> st.SearchStrategy[Node]:
    return st.builds(
        Node,
        mode=DIRECTORY_MODES,
        uid=OWNERS,
        gid=GROUPS,
        xattrs=XATTRS,
        entries=st.dictionaries(NAMES, inside, max_size=most),
    )


LEAVES = FILES | LINKS
TREE = directories(LEAVES | directories(LEAVES | directories(LEAVES, most=3), most=4), most=9)


def put(path: bytes, node: Node) -> None:
    """Lay a node on the disk."""
    if node.target is not None:
        os.symlink(node.target, path)
    elif node.entries is not None:
        os.mkdir(path)
        for name, entry in node.entries.items():
            put(path + b"/" + name, entry)
    else:
        Path(os.fsdecode(path)).write_bytes(node.contents)
    os.chown(path, node.uid, node.gid, follow_symlinks=False)
    if node.target is None:
        for name, value in node.xattrs:
            os.setxattr(path, name, value)
        os.chmod(path, node.mode)  # behind chown, which clears set-id bits


def expected(node: Node) -> tuple[str, str]:
    """The checksums of a directory's dirtree and dirmeta, from our encoders alone."""
    files, dirs = [], []
    assert node.entries is not None
    for name, entry in sorted(node.entries.items()):
        if entry.entries is not None:
            dirs.append((name, *expected(entry)))
            continue
        kind = 0o100000 if entry.target is None else 0o120000
        hasher = ContentHasher(
            FileHeader(
                uid=entry.uid,
                gid=entry.gid,
                mode=kind | entry.mode,
                target=entry.target,
                xattrs=entry.xattrs,
            )
        )
        hasher.update(entry.contents)
        files.append((name, hasher.checksum()))
    meta = DirMeta(uid=node.uid, gid=node.gid, mode=0o40000 | node.mode, xattrs=node.xattrs)
    tree = DirTree(files=tuple(files), dirs=tuple(dirs))
    return checksum_of(tree.encode()), checksum_of(meta.encode())


def ostree(repo: Path, *arguments: str) -> str:
    assert OSTREE is not None
    return subprocess.run(
        [OSTREE, f"--repo={repo}", *arguments],
        capture_output=True,
        check=True,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
    ).stdout.decode()


def committed(repo: Path, mode: str, tree: Path, *arguments: str) -> str:
    ostree(repo, "init", f"--mode={mode}")
    commit = ("commit", "--branch=x", "--fsync=false", "--timestamp=2024-01-02T03:04:05Z")
    return ostree(repo, *commit, *arguments, str(tree)).strip()


def check_objects(repo: Path) -> Counter[str]:
    """Parse and write again every object there, and say how many there were of each kind."""
    found: Counter[str] = Counter()
    with Repository(repo) as repository:
        for checksum, kind in repository.loose_object_names():
            found[kind] += 1
            path = Path(repository.object_label(checksum, kind))
            data = path.read_bytes()
            if kind == "commit":
                assert Commit.parse(data, label=kind).encode() == data
            elif kind == "dirtree":
                assert DirTree.parse(data, label=kind).encode() == data
            elif kind == "dirmeta":
                assert DirMeta.parse(data, label=kind).encode() == data
            elif kind == "commitmeta":
                assert DetachedMetadata.parse(data, label=kind).encode() == data
            else:
                repository.verify_content(checksum)
                check_front(path, kind, data)
            if kind in ("commit", "dirtree", "dirmeta"):
                assert checksum_of(data) == checksum
    return found


def check_front(path: Path, kind: str, data: bytes) -> None:
    """What stands in front of contents, or in the xattr beside them."""
    if kind == "filez":
        end = FILEZ_FRAME + parse_filez_frame(data[:FILEZ_FRAME], label=kind)
        header, size = FileHeader.parse_filez(data[FILEZ_FRAME:end], label=kind)
        assert header.encode_filez(size) == data[FILEZ_FRAME:end]
        assert FileHeader.parse(header.encode(), label=kind) == header
    else:
        meta = os.getxattr(path, "user.ostreemeta")
        uid, gid, mode, xattrs = parse_owner(meta, label=kind)
        assert encode_owner(uid=uid, gid=gid, mode=mode, xattrs=xattrs) == meta


@given(
    TREE,
    st.dictionaries(
        st.text("abc.-", min_size=1, max_size=6),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
        min_size=1,
        max_size=3,
    ),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
)
@settings(max_examples=TREES)
def test_a_generated_tree(tree: Node, texts: dict[str, str], subject: str) -> None:
    with tempfile.TemporaryDirectory(prefix="generated") as name:
        top = Path(name)
        put(os.fsencode(top / "tree"), tree)
        commits = []
        for mode in MODES:
            repo = top / mode
            detached = [f"--add-detached-metadata-string={key}={texts[key]}" for key in texts]
            own = [f"--add-metadata-string={key}={texts[key]}" for key in texts]
            commits.append(
                committed(repo, mode, top / "tree", f"--subject={subject}", *own, *detached)
            )
            found = check_objects(repo)
            assert (found["commit"], found["commitmeta"]) == (1, 1)
            with Repository(repo) as repository:
                _, commit = repository.read_commit(commits[-1])
                beside = repository.read_detached(commits[-1])
            assert (commit.root_dirtree, commit.root_dirmeta) == expected(tree)
            assert commit.subject == subject
            raw = (
                repo / "objects" / commits[-1][:2] / f"{commits[-1][2:]}.commitmeta"
            ).read_bytes()
            assert beside.encode() == raw
            assert DetachedMetadata.parse(raw, label="it").encode() == raw
            for key, text in texts.items():
                assert commit.metadata.get(key) == beside.get(key) == Variant("s", text)
        assert len(set(commits)) == 1


def part_of_this_machine(target: Path) -> int:
    """Copy directories of /usr/share, as many as the bounds allow; how many files that was."""
    files = size = 0
    for folder in sorted(Path("/usr/share").iterdir()):
        if folder.is_symlink() or not folder.is_dir():
            continue
        sizes = [
            os.lstat(os.path.join(above, name)).st_size
            for above, _, names in os.walk(folder)
            for name in names
        ]
        if files + len(sizes) <= MOST_FILES and size + sum(sizes) <= MOST_BYTES:
            subprocess.run(["cp", "-a", folder, target], check=True)
            files, size = files + len(sizes), size + sum(sizes)
    return files


@pytest.mark.parametrize("mode", MODES)
def test_a_part_of_this_machine(tmp_path: Path, mode: str) -> None:
    (tmp_path / "tree").mkdir()
    files = part_of_this_machine(tmp_path / "tree")
    assert files > MOST_FILES // 3
    committed(tmp_path / "repo", mode, tmp_path / "tree")
    found = check_objects(tmp_path / "repo")
    assert found["dirtree"] > 50
    assert found["file"] + found["filez"] > MOST_FILES // 10
