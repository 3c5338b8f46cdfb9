# SPDX-License-Identifier: Apache-2.0
"""The OSTree repository port, on repositories made here byte by byte: no ostree, no root."""

import os
import zlib
from pathlib import Path

import pytest

from tests.ostree_world import LINK, World, deflated, refused
from verity.formats.commit import DirTree, checksum_of
from verity.formats.ostree_file import DirMeta
from verity.ports import ostree_repo
from verity.ports.ostree_repo import Repository
from verity.values.errors import CallerError, ContentError, HostError


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "repo")


# --- reading -------------------------------------------------------------------------------


def test_paths_of_a_commit(world: World) -> None:
    with Repository(world.path) as repository:
        found = sorted(repository.paths(repository.resolve("main")))
    assert [path.decode() for path, _, _ in found] == [
        "/", "/a", "/a-b", "/a/f", "/l", "/é", "/é/f",
    ]  # fmt: skip
    assert [bool(content) is not bool(meta) for _, content, meta in found] == [True] * 7
    assert found[0] == (b"/", "", world.meta)
    assert [content for _, content, _ in found[2:5]] == [world.file, world.file, world.link]


def test_headers_of_content_objects(world: World) -> None:
    with Repository(world.path) as repository:
        with repository.open_content(world.file) as content:
            assert (content.header.is_symlink, content.size) == (False, 891)
        with repository.open_content(world.link) as content:
            assert (content.header, content.size) == (LINK, 0)


def test_content_at_a_path(world: World) -> None:
    with Repository(world.path) as repository:
        contents = {path: content for path, content, _ in repository.paths(world.commit)}
        for path, content in contents.items():  # a directory has none
            assert repository.content_at(world.commit, path) == content
        assert {contents[path] for path in (b"/a/f", b"/l")} == {world.file, world.link}
        for path in (b"/none", b"/none/x", b"/a/f/x"):
            assert repository.content_at(world.commit, path) == ""


def test_contents_at_some_paths(world: World) -> None:
    asked = (b"/a/f", b"/l", b"/a", b"/none", b"/a-b/x", b"/\xc3\xa9/f")
    with Repository(world.path) as repository:
        found = dict(repository.contents_at(world.commit, asked))
        assert found == {b"/a/f": world.file, b"/l": world.link, b"/\xc3\xa9/f": world.file}
        # What is on no way to them is not read.
        world.object(world.leaf, "dirtree").unlink()
    with Repository(world.path) as repository:
        assert dict(repository.contents_at(world.commit, (b"/l",))) == {b"/l": world.link}


def test_verify_content(world: World) -> None:
    pieces: list[bytes] = []
    with Repository(world.path) as repository:
        repository.verify_content(world.file, lambda piece: pieces.append(bytes(piece)))
        assert b"".join(pieces) == b"contents " * 99
        assert repository.verify_content(world.link) == LINK
        with repository.open_content(world.link) as content:
            assert content.fd is None
            assert list(content.pieces()) == []


def test_metadata_objects_and_names(world: World) -> None:
    with Repository(world.path) as repository:
        found = list(repository.metadata_objects(world.commit))
        assert len(found) == len(set(found)) == 4
        names = list(repository.loose_object_names())
    assert set(found) < set(names)
    assert names == sorted(names)
    assert (world.file, "filez") in names


def test_a_large_file_comes_in_pieces(world: World) -> None:
    contents = os.urandom(1 << 10) * 2500
    name = world.put_file(contents)
    with Repository(world.path) as repository, repository.open_content(name) as content:
        assert b"".join(map(bytes, content.pieces())) == contents


def test_closing_twice(world: World) -> None:
    before = len(os.listdir("/proc/self/fd"))
    repository = Repository(world.path)
    list(repository.paths(world.commit))
    repository.close()
    repository.close()
    assert len(os.listdir("/proc/self/fd")) == before


# --- revisions -----------------------------------------------------------------------------


def test_resolve(world: World) -> None:
    for ref in ("heads/a/b", "remotes/r/x/y", "mirrors/org.x/z"):
        path = world.path / "refs" / ref
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(world.commit + "\n")
    (world.path / "refs/heads/a/alias").symlink_to("../main")
    with Repository(world.path) as repository:
        for revision in (
            world.commit, world.commit[:8], "main", "a/b", "r:x/y", "r/x/y", "org.x/z", "a/alias",
        ):  # fmt: skip
            assert repository.resolve(revision) == world.commit


@pytest.mark.parametrize("revision", ["", "../main", "a//b", "/etc", "a\0b", "x:../y", "a b", ".a"])
def test_resolve_no_name(world: World, revision: str) -> None:
    with Repository(world.path) as repository:
        refused(CallerError, "bad-ref", lambda: repository.resolve(revision))


def test_resolve_missing(world: World) -> None:
    for number in range(9):
        (world.path / f"refs/heads/other{number}").write_text(world.commit + "\n")
    with Repository(world.path) as repository:
        for revision in ("nope", "main/deeper", "a", "x:main", "abcdef"):
            error = refused(HostError, "no-such-ref", lambda r=revision: repository.resolve(r))  # type: ignore[misc]  # one of a loop
            assert revision in error.message
        assert error.hint == "it has main, other0, other1, other2, other3, ..."


@pytest.mark.parametrize("data", ["", "x", "0" * 63, "0" * 64 + "\n\n", "0" * 65, "G" * 64])
def test_resolve_bad_ref(world: World, data: str) -> None:
    (world.path / "refs/heads/main").write_text(data)
    with Repository(world.path) as repository:
        refused(ContentError, "bad-ref", lambda: repository.resolve("main"))


@pytest.mark.parametrize("target", ["/etc/passwd", "../../config", "loop"])
def test_resolve_bad_alias(world: World, target: str) -> None:
    (world.path / "refs/heads/loop").symlink_to(target)
    with Repository(world.path) as repository:
        refused(ContentError, "bad-ref", lambda: repository.resolve("loop"))


def test_resolve_does_not_leave_the_repository(world: World, tmp_path: Path) -> None:
    """Not even for a file that holds the name of a commit, and not by a folder."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/main").write_text(world.commit + "\n")
    (world.path / "refs/heads/file").symlink_to(tmp_path / "outside/main")
    (world.path / "refs/heads/folder").symlink_to(tmp_path / "outside")
    with Repository(world.path) as repository:
        refused(ContentError, "bad-ref", lambda: repository.resolve("file"))
        refused(HostError, "no-such-ref", lambda: repository.resolve("folder/main"))


# --- what is no repository -----------------------------------------------------------------

CONFIGS = {
    "version 2": "[core]\nrepo_version=2\nmode=bare\n",
    "no version": "[core]\nmode=bare\n",
    "bare-user-only": "[core]\nrepo_version=1\nmode=bare-user-only\n",
    "unknown mode": "[core]\nrepo_version=1\nmode=\x1b[31m\n",
    "other group": "[other]\nrepo_version=1\n",
    "empty": "",
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_unknown_repository(world: World, config: str) -> None:
    (world.path / "config").write_text(config)
    error = refused(HostError, "unknown-repository", lambda: Repository(world.path))
    assert error.message.isprintable()


def test_not_a_repository(world: World, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "no-objects").mkdir()
    (tmp_path / "no-objects/config").write_text("[core]\nrepo_version=1\n")
    (world.path / "config").rename(tmp_path / "elsewhere")
    (world.path / "config").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "empty", tmp_path / "no-objects", tmp_path / "gone", world.path):
        error = refused(HostError, "not-a-repository", lambda p=path: Repository(p))  # type: ignore[misc]  # one of a loop
        assert str(path) in error.message
        assert error.hint is not None
        assert "ostree --repo=DIR init --mode=bare" in error.hint


# --- damaged objects -----------------------------------------------------------------------


def deeper(world: World) -> str:
    """A commit of 2^40 paths in 40 small objects."""
    tree = world.leaf
    for _ in range(40):
        both = ((b"a", tree, world.meta), (b"b", tree, world.meta))
        tree = world.put("dirtree", DirTree(dirs=both).encode())
    return world.commit_of(DirTree(dirs=((b"a", tree, world.meta),)))


def nested(world: World) -> str:
    """A commit of one path that is too long."""
    tree = world.leaf
    for _ in range(50):
        tree = world.put("dirtree", DirTree(dirs=((b"n" * 100, tree, world.meta),)).encode())
    return world.commit_of(DirTree(dirs=((b"a", tree, world.meta),)))


def test_directories_that_multiply(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ostree_repo, "MAX_ENTRIES", 10_000)
    with Repository(world.path) as repository:
        refused(ContentError, "too-large", lambda: list(repository.paths(deeper(world))))
        refused(ContentError, "too-large", lambda: list(repository.paths(nested(world))))
        assert len(list(repository.metadata_objects(deeper(world)))) == 44


@pytest.mark.parametrize("kind", ["commit", "dirtree", "dirmeta", "filez"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "replaced", "symlink",
                                    "fifo", "directory"])  # fmt: skip
def test_damaged_object(world: World, kind: str, damage: str) -> None:
    name = {"commit": world.commit, "dirtree": world.leaf, "dirmeta": world.meta}.get(
        kind, world.file
    )
    path = world.object(name, kind)
    data = path.read_bytes()
    path.unlink()
    match damage:
        case "truncated":
            path.write_bytes(data[:-1])
        case "empty":
            path.write_bytes(b"")
        case "replaced":
            # A valid object of its kind, of another name.
            other = {
                "commit": lambda: world.commit_of(DirTree()),
                "dirtree": lambda: world.put("dirtree", DirTree().encode()),
                "dirmeta": lambda: world.put(
                    "dirmeta", DirMeta(uid=1, gid=0, mode=0o40755).encode()
                ),
                "filez": lambda: world.put_file(b"other"),
            }[kind]()
            world.object(other, kind).rename(path)
        case "symlink":
            path.with_suffix(".moved").write_bytes(data)
            path.symlink_to(path.with_suffix(".moved"))
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()

    def read_all() -> None:
        with Repository(world.path) as repository:
            for _, content, meta in sorted(repository.paths(world.commit)):
                if content:
                    repository.verify_content(content)
                else:
                    repository.read_dirmeta(meta)

    if damage == "missing":
        error = refused(HostError, "no-such-object", read_all)
    else:
        with pytest.raises(ContentError) as caught:
            read_all()
        error = caught.value
    assert name[2:] in error.message


BODIES: dict[str, tuple[int | None, bytes | None]] = {
    "says more": (100, None),
    "says less": (3, None),
    "says 2^63": (1 << 63, None),
    "says 0": (0, None),
    "cut off": (None, deflated(b"contents")[:-2]),
    "without a body": (None, b""),
    "no deflate": (None, b"\xff" * 20),
    "bytes behind": (None, deflated(b"contents") + b"x"),
    "a bomb": (8, deflated(bytes(100 << 20))),
    "zlib, not raw": (None, zlib.compress(b"contents")),
}


@pytest.mark.parametrize(("size", "body"), BODIES.values(), ids=BODIES.keys())
def test_filez_that_lies(world: World, size: int | None, body: bytes | None) -> None:
    name = world.put_file(b"contents", size=size, body=body)
    heard = bytearray()
    with Repository(world.path) as repository:
        refused(
            ContentError, "damaged-object", lambda: repository.verify_content(name, heard.extend)
        )
    assert len(heard) <= 8


def test_filez_symlink_with_a_body(world: World) -> None:
    name = world.put_file(b"", LINK, body=b"x")
    with Repository(world.path) as repository:
        refused(ContentError, "damaged-object", lambda: repository.verify_content(name))


def test_filez_with_a_huge_header(world: World) -> None:
    name = world.put("filez", b"\xff\xff\xff\xff\0\0\0\0abc")
    with Repository(world.path) as repository:
        refused(ContentError, "damaged-object", lambda: repository.open_content(name))


def test_huge_metadata_object(world: World) -> None:
    path = world.object(world.put("dirtree", b"x"), "dirtree")
    os.truncate(path, (128 << 20) + 1)
    with Repository(world.path) as repository:
        refused(ContentError, "too-large", lambda: repository.read_dirtree(checksum_of(b"x")))


def test_symlink_in_place_of_a_prefix(world: World) -> None:
    folder = world.object(world.commit, "commit").parent
    folder.rename(world.path / "moved")
    folder.symlink_to(world.path / "moved")
    with Repository(world.path) as repository:
        refused(ContentError, "damaged-object", lambda: repository.read_commit(world.commit))


@pytest.mark.parametrize("name", ["", "x", "../../../etc/passwd", "A" * 64, "0" * 63])
def test_only_checksums_become_paths(world: World, name: str) -> None:
    with Repository(world.path) as repository:
        refused(CallerError, "bad-checksum", lambda: repository.read_commit(name))


def test_bare_user_object_without_its_xattr(world: World) -> None:
    (world.path / "config").write_text("[core]\nrepo_version=1\nmode=bare-user\n")
    name = world.put("file", b"x")
    with Repository(world.path) as repository:
        error = refused(ContentError, "damaged-object", lambda: repository.open_content(name))
    assert "user.ostreemeta" in error.message
