# SPDX-License-Identifier: Apache-2.0
"""The OSTree repository port, on repositories made here byte by byte: no ostree, no root."""

import fcntl
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from verity.formats.commit import Commit, DetachedMetadata, DirTree, Metadata, checksum_of
from verity.formats.ostree_file import ContentHasher, DirMeta, FileHeader
from verity.ports import ostree_detached, ostree_repo
from verity.ports.ostree_repo import Repository
from verity.values.errors import CallerError, ContentError, HostError, VerityError

LINK = FileHeader(uid=0, gid=0, mode=0o120777, target=b"f")


class World:
    """An archive repository with a commit of a few paths, in the reach of a test's hands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for folder in ("objects", "refs/heads", "refs/remotes/r", "refs/mirrors", "tmp"):
            (path / folder).mkdir(parents=True)
        (path / "config").write_text("[core]\nrepo_version=1\nmode=archive-z2\n")
        self.meta = self.put("dirmeta", DirMeta(uid=0, gid=0, mode=0o40755).encode())
        self.file = self.put_file(b"contents " * 99)
        self.link = self.put_file(b"", LINK)
        self.leaf = self.put("dirtree", DirTree(files=((b"f", self.file),)).encode())
        self.commit = self.commit_of(
            DirTree(
                files=((b"a-b", self.file), (b"l", self.link)),
                dirs=((b"a", self.leaf, self.meta), (b"\xc3\xa9", self.leaf, self.meta)),
            )
        )
        (path / "refs/heads/main").write_text(self.commit + "\n")

    def object(self, checksum: str, kind: str) -> Path:
        return self.path / "objects" / checksum[:2] / f"{checksum[2:]}.{kind}"

    def put(self, kind: str, data: bytes, name: str | None = None) -> str:
        name = name or checksum_of(data)
        self.object(name, kind).parent.mkdir(exist_ok=True)
        self.object(name, kind).write_bytes(data)
        return name

    def put_file(
        self, contents: bytes, header: FileHeader | None = None, *, name: str | None = None,
        size: int | None = None, body: bytes | None = None,
    ) -> str:  # fmt: skip
        """A .filez; ``size`` and ``body`` let it lie."""
        header = header or FileHeader(uid=0, gid=0, mode=0o100644)
        hasher = ContentHasher(header)
        hasher.update(contents)
        front = header.encode_filez(len(contents) if size is None else size)
        if body is None:
            body = b"" if header.is_symlink else deflated(contents)
        frame = len(front).to_bytes(4, "big") + bytes(4)
        return self.put("filez", frame + front + body, name or hasher.checksum())

    def commit_of(self, tree: DirTree) -> str:
        commit = Commit(
            metadata=Metadata(),
            parent=None,
            subject="",
            body="",
            timestamp=0,
            root_dirtree=self.put("dirtree", tree.encode()),
            root_dirmeta=self.meta,
        )
        return self.put("commit", commit.encode())


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "repo")


def refused(kind: type[VerityError], code: str, call: Callable[[], object]) -> VerityError:
    """The error of a call, of this family and code, on one line."""
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code == code
    assert "\n" not in caught.value.message
    return caught.value


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


# --- detached metadata ---------------------------------------------------------------------

NONE = DetachedMetadata()


def test_detached(world: World) -> None:
    path = world.object(world.commit, "commitmeta")
    with Repository(world.path) as repository:
        assert repository.read_detached(world.commit).entries == ()
        one = NONE.with_bytes("k", b"1")
        repository.write_detached(world.commit, one, expected=NONE)
        assert path.read_bytes() == one.encode()
        assert path.stat().st_mode & 0o7777 == 0o644
        found = repository.read_detached(world.commit)
        repository.write_detached(world.commit, found.with_bytes("k", b"2"), expected=found)
        found = repository.read_detached(world.commit)
        assert found.get_bytes("k") == b"2"
        repository.write_detached(world.commit, found.without("k"), expected=found)
        assert not path.exists()
    assert os.listdir(world.path / "tmp") == []


def test_detached_changed_meanwhile(world: World) -> None:
    path = world.object(world.commit, "commitmeta")
    one, two = NONE.with_bytes("k", b"1"), NONE.with_bytes("k", b"2")
    with Repository(world.path) as repository:
        write = repository.write_detached
        refused(HostError, "changed-meanwhile", lambda: write(world.commit, two, expected=one))
        assert not path.exists()
        write(world.commit, one, expected=NONE)
        for expected in (NONE, two):
            refused(
                HostError,
                "changed-meanwhile",
                lambda e=expected: write(world.commit, two, expected=e),  # type: ignore[misc]  # one of a loop
            )
        assert path.read_bytes() == one.encode()


def test_detached_made_by_one_who_takes_no_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ostree sign` between the comparison and the link: its signature stays."""
    path = world.object(world.commit, "commitmeta")
    theirs = NONE.with_bytes("theirs", b"")
    real = ostree_detached._write_new

    def late(tmp: int, name: str, data: bytes) -> None:
        path.write_bytes(theirs.encode())
        real(tmp, name, data)

    monkeypatch.setattr(ostree_detached, "_write_new", late)
    with Repository(world.path) as repository:
        refused(
            HostError,
            "changed-meanwhile",
            lambda: repository.write_detached(
                world.commit, NONE.with_bytes("ours", b""), expected=NONE
            ),
        )
    assert path.read_bytes() == theirs.encode()
    assert os.listdir(world.path / "tmp") == []


@pytest.mark.parametrize("step", ["fsync", "rename", "fchmod"])
def test_detached_failure_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = world.object(world.commit, "commitmeta")
    one = NONE.with_bytes("k", b"1")

    def fail(*args: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    with Repository(world.path) as repository:
        repository.write_detached(world.commit, one, expected=NONE)
        monkeypatch.setattr(os, step, fail)
        refused(
            HostError,
            "no-space",
            lambda: repository.write_detached(
                world.commit, one.with_bytes("k", b"2"), expected=one
            ),
        )
    assert path.read_bytes() == one.encode()
    assert os.listdir(world.path / "tmp") == []


def test_detached_after_a_crash(world: World) -> None:
    """What a killed writer left in tmp is in nobody's way."""
    (world.path / f"tmp/verity-{world.commit}.commitmeta").write_bytes(b"half")
    with Repository(world.path) as repository:
        repository.write_detached(world.commit, NONE.with_bytes("k", b"1"), expected=NONE)
    assert os.listdir(world.path / "tmp") == []


@pytest.mark.parametrize("kind", [fcntl.F_RDLCK, fcntl.F_WRLCK], ids=["shared", "exclusive"])
def test_detached_waits_for_the_lock(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    monkeypatch.setattr(ostree_detached, "_ATTEMPTS", 3)
    monkeypatch.setattr(ostree_detached, "_PAUSE", 0.01)
    one = NONE.with_bytes("k", b"1")
    with Repository(world.path) as repository, open(world.path / ".lock", "a+b") as held:
        fcntl.fcntl(held, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, 0, 0, 0, 0))
        refused(
            HostError, "locked", lambda: repository.write_detached(world.commit, one, expected=NONE)
        )
        held.close()
        repository.write_detached(world.commit, one, expected=NONE)
