# SPDX-License-Identifier: Apache-2.0
"""`commit sign --reuse` signs what it signs without, byte for byte, whatever changed in between.

The repository is made byte by byte, of generated trees: the second tree is put together from parts
of the first, which so get other paths, names, neighbours and further links, and from new files.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner, SSlibKey

from tests import ostree_world
from tests.world import EXPIRES, ISSUED, VENDOR
from verity.formats import statement
from verity.formats.commit import DirTree
from verity.formats.ostree_file import DirMeta, FileHeader, Xattrs
from verity.ports.keystore import SigningKey
from verity.ports.ostree_repo import Repository
from verity.verbs import commit_sign, signed


@dataclass(frozen=True)
class File:
    """A regular file, or a symlink, whose contents are in its header."""

    header: FileHeader
    contents: bytes


@dataclass(frozen=True)
class Directory:
    meta: DirMeta
    entries: Mapping[bytes, "Node"]


Node = File | Directory

TREES = max(20, settings().max_examples // 4)  # each is three signatures, durably written
PROGRAM = bytes.fromhex("7f454c46020101") + bytes(9) + b"\3\0\x3e\0\1\0\0\0" + b"\1" * 40
CONTENTS = (b"", b"data", b"x" * 4097, b"#!/bin/sh\n", PROGRAM)
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
NAMES = st.sampled_from([b"a", b"a-b", b"b", b"m.ko", "ä".encode(), b"s p", b"\\"])
XATTRS: st.SearchStrategy[Xattrs] = st.sampled_from(
    [(), ((b"user.a", b"1"),), ((b"security.capability", CAPABILITY),), ((b"trusted.t", b""),)]
)
OWNERS = st.sampled_from([0, 7])
FILES = st.builds(
    lambda mode, uid, gid, xattrs, contents: File(
        FileHeader(uid=uid, gid=gid, mode=0o100000 | mode, xattrs=xattrs), contents
    ),
    st.sampled_from([0o644, 0o755, 0o4755, 0o2711]),
    OWNERS,
    OWNERS,
    XATTRS,
    st.sampled_from(CONTENTS),
)
LINKS = st.builds(
    lambda uid, target: File(FileHeader(uid=uid, gid=0, mode=0o120777, target=target), b""),
    OWNERS,
    st.sampled_from([b"a", b"../b", "é -".encode()]),
)
METAS = st.builds(
    lambda mode, uid, xattrs: DirMeta(uid=uid, gid=0, mode=0o40000 | mode, xattrs=xattrs),
    st.sampled_from([0o755, 0o1777]),
    OWNERS,
    XATTRS,
)


def directories(inside: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.builds(Directory, METAS, st.dictionaries(NAMES, inside, max_size=5))


def trees(leaves: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return directories(st.recursive(leaves, directories, max_leaves=12))


def parts(node: Node) -> list[Node]:
    """The node and all below."""
    if isinstance(node, File):
        return [node]
    return [node, *(part for one in node.entries.values() for part in parts(one))]


@st.composite
def two_trees(draw: st.DrawFn) -> tuple[Node, Node]:
    old = draw(trees(FILES | LINKS))
    return old, draw(trees(st.sampled_from(parts(old)) | FILES | LINKS))


def put(world: ostree_world.World, node: Node) -> tuple[str, ...]:
    """Its objects; the checksum of a file, the two of a directory."""
    if isinstance(node, File):
        return (world.put_file(node.contents, node.header),)
    below = {name: put(world, node.entries[name]) for name in sorted(node.entries)}
    tree = DirTree(
        files=tuple((name, one[0]) for name, one in below.items() if len(one) == 1),
        dirs=tuple((name, *one) for name, one in below.items() if len(one) == 2),
    )
    return world.put("dirtree", tree.encode()), world.put("dirmeta", node.meta.encode())


def commit(world: ostree_world.World, tree: Node) -> str:
    root, world.meta = put(world, tree)
    files = DirTree.parse(world.object(root, "dirtree").read_bytes(), label="root")
    return world.commit_of(files)


KEY = SigningKey(
    public=VENDOR.public,
    signer=CryptoSigner(
        VENDOR.private,
        SSlibKey.from_crypto(
            VENDOR.private.public_key(), VENDOR.public.key_id, "ecdsa-sha2-nistp256"
        ),
    ),
)


def documents(
    repository: Repository, revision: str, reuse: str | None, *, serial: int
) -> tuple[bytes, ...]:
    """Sign, and give what was signed."""
    request = commit_sign.Request(
        revision=revision,
        stream="os",
        serial=serial,
        issued=ISSUED,
        expires=EXPIRES,
        replace=True,
        reuse=reuse,
    )
    commit_sign.sign(repository, request, [KEY], jobs=1)
    detached = repository.read_detached(revision)
    (envelope,) = signed.envelopes(detached, revision)
    return (
        statement.parse_envelope(envelope).payload,
        signed.manifest_bytes(detached, revision),
        signed.grants_bytes(detached, revision),
    )


# Of a failure hypothesis prints both trees, and warns if they are large: that is no other failure.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@given(two_trees())
@settings(max_examples=TREES, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_the_same_documents(both: tuple[Node, Node]) -> None:
    with tempfile.TemporaryDirectory(prefix="reuse") as name:
        world = ostree_world.World(Path(name) / "repo")
        old, new = (commit(world, tree) for tree in both)
        with Repository(world.path) as repository:
            documents(repository, old, None, serial=1)
            whole = documents(repository, new, None, serial=2)
            assert documents(repository, new, old, serial=2) == whole
