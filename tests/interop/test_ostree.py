# SPDX-License-Identifier: Apache-2.0
"""Our reading and writing of OSTree repositories against stock ostree, in every mode.

The tree has what makes trees hard: names outside ASCII and around the sort trap, empty files and
directories, symlinks, hard links, set-id bits, xattrs, a directory of hundreds of names.
"""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from verity.formats.commit import Commit, DetachedMetadata, DirTree
from verity.formats.gvariant import Variant, decode, encode
from verity.formats.ostree_file import DirMeta, Xattrs
from verity.ports import many
from verity.ports.ostree_detached import _locked
from verity.ports.ostree_repo import Repository
from verity.values.errors import ContentError
from verity.verbs import contents

OSTREE, GPG = shutil.which("ostree"), shutil.which("gpg")

MODES = ["bare", "bare-user", "archive"]
PARSERS = {"commit": Commit.parse, "dirtree": DirTree.parse, "dirmeta": DirMeta.parse}


def ostree(repo: Path, *arguments: str, fails: bool = False, home: Path | None = None) -> str:
    """Run ostree; its output, or its complaint if it is to fail."""
    assert OSTREE is not None
    done = subprocess.run(
        [OSTREE, f"--repo={repo}", *arguments],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env=os.environ | {"LC_ALL": "C.UTF-8"} | ({"GNUPGHOME": str(home)} if home else {}),
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stderr if fails else done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("tree") / "top"
    for folder in ("a", "a/b", "empty", "many", "ü/ß", "sticky"):
        (top / folder).mkdir(parents=True, exist_ok=True)
    for name, data in {
        "a-b": b"before a/b",
        "a.b": b"",
        "a/b/c": b"x",
        "a0": b"behind a/b",
        "ü/ß/日本語": "日本語".encode(),
        "line\nfeed": b"1",
        "back\\slash": b"2",
        "n" * 250: b"a long name",
        "large": bytes(range(256)) * 12_000,
        "setuid": b"#!/bin/sh\n",
        "setgid": b"#!/bin/sh\necho\n",
        "xattrs": b"with xattrs",
        "secret": b"0600",
    }.items():
        (top / name).write_bytes(data)
    for number in range(600):
        (top / f"many/{number}").write_bytes(b"%d" % number)
    os.link(top / "a-b", top / "a/hard")
    (top / "link").symlink_to("a/b/c")
    (top / "dangling").symlink_to("/nowhere/" + "ü" * 140)
    (top / "a/up").symlink_to("..")
    (top / "setuid").chmod(0o4755)
    (top / "setgid").chmod(0o2711)
    (top / "secret").chmod(0o600)
    (top / "sticky").chmod(0o1777)
    for name, value in {"user.z": b"", "user.a": b"\0\xff" * 200, "user.ü": b"x"}.items():
        os.setxattr(top / "xattrs", name, value)
        os.setxattr(top / "sticky", name, value)
    if os.geteuid() == 0:
        os.chown(top / "secret", 1, 65534)
        os.setxattr(top / "link", "trusted.x", b"on a symlink", follow_symlinks=False)
    return top


@dataclass(frozen=True)
class Made:
    """A repository that stock ostree made, and its commit."""

    path: Path
    commit: str


def make(path: Path, mode: str, tree: Path) -> Made:
    ostree(path, "init", f"--mode={mode}")
    commit = ostree(
        path, "commit", "--branch=os/main", "--subject=Äpfel", "--body=two\nlines",
        "--timestamp=2024-01-02T03:04:05Z", "--add-metadata-string=version=1.0",
        "--add-metadata=things=[(byte 1, 'x', <uint64 7>), (2, '', <@as []>)]", str(tree),
    )  # fmt: skip
    return Made(path, commit.strip())


@pytest.fixture(scope="module", params=MODES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tree: Path
         ) -> Made:  # fmt: skip
    return make(tmp_path_factory.mktemp("made") / "repo", request.param, tree)


@pytest.fixture
def archive(tmp_path: Path, tree: Path) -> Made:
    """A repository of one test's own."""
    return make(tmp_path / "archive", "archive", tree)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A GnuPG home with one throw-away key; short, for the agent's socket."""
    with tempfile.TemporaryDirectory(prefix="gpg") as name:
        done = gpg(Path(name), "--quick-gen-key", "test@invalid", "ed25519", "sign", "never")
        assert done is not None
        yield Path(name)
        subprocess.run(["gpgconf", "--kill", "all"], env=os.environ | {"GNUPGHOME": name})


def gpg(home: Path, *arguments: str, data: bytes = b"") -> bytes:
    assert GPG is not None
    return subprocess.run(
        [GPG, "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode=loopback",
         "--passphrase=", *arguments],
        input=data, capture_output=True, check=True,
    ).stdout  # fmt: skip


# --- reading -------------------------------------------------------------------------------


def test_every_object_is_what_its_name_says_and_encodes_the_same(made: Made) -> None:
    kinds: dict[str, int] = {}
    with Repository(made.path) as repository:
        for checksum, kind in repository.loose_object_names():
            kinds[kind] = kinds.get(kind, 0) + 1
            if kind in ("file", "filez"):
                repository.verify_content(checksum)
                continue
            path = Path(repository.object_label(checksum, kind))
            parsed = PARSERS[kind](path.read_bytes(), label=kind)
            assert isinstance(parsed, (Commit, DirTree, DirMeta))
            assert parsed.encode() == path.read_bytes()
    assert kinds["commit"] == 1
    assert kinds["dirtree"] > 5
    assert kinds.get("file", 0) + kinds.get("filez", 0) > 600


def test_the_commit_is_the_tree(made: Made, tree: Path) -> None:
    with Repository(made.path) as repository:
        found = {
            path: seen(repository, content, meta)
            for path, content, meta in repository.paths(repository.resolve("os/main"))
        }
    assert found == dict(on_disk(tree))


Seen = tuple[int, int, int, Xattrs, bytes | None, int]
"""Mode, owner, group, xattrs, a symlink's target, a regular file's size."""


def seen(repository: Repository, content: str, meta: str) -> Seen:
    """What the repository says of a path with this content object, or with this dirmeta."""
    if meta:
        one = repository.read_dirmeta(meta)
        return (one.mode, one.uid, one.gid, one.xattrs, None, 0)
    with repository.open_content(content) as opened:
        header = opened.header
        size = opened.size
        return (header.mode, header.uid, header.gid, header.xattrs, header.target, size)


def on_disk(tree: Path) -> Iterator[tuple[bytes, Seen]]:
    """What lies on the disk, seen by os.walk."""
    top = os.fsencode(tree)
    paths = [b"/"]
    for folder, folders, files in os.walk(top):
        prefix = folder[len(top) :]
        paths += [prefix + b"/" + name for name in folders + files]
    for path in paths:
        file = top + path.rstrip(b"/")
        status = os.lstat(file)
        names = os.listxattr(file, follow_symlinks=False)
        xattrs = tuple(
            (os.fsencode(name), value)
            for name in sorted(names, key=os.fsencode)
            # ostree 2022.7 does not commit an xattr without a value.
            if (value := os.getxattr(file, name, follow_symlinks=False))
        )
        target = os.readlink(file) if stat.S_ISLNK(status.st_mode) else None
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        yield path, (status.st_mode, status.st_uid, status.st_gid, xattrs, target, size)


def test_commit_is_the_same_in_every_mode(made: Made, archive: Made) -> None:
    assert made.commit == archive.commit
    with Repository(made.path) as repository:
        _, commit = repository.read_commit(made.commit)
    assert (commit.subject, commit.body) == ("Äpfel", "two\nlines")
    assert commit.metadata.get("version") == Variant("s", "1.0")
    assert commit.metadata.get("things") == Variant(
        "a(ysv)", ((1, "x", Variant("t", 7)), (2, "", Variant("as", ())))
    )


def content_of(repository: Repository, commit: str, path: bytes) -> str:
    """The checksum of a file's content object."""
    return next(name for found, name, _ in repository.paths(commit) if found == path)


def test_bare_objects_can_be_measured(made: Made) -> None:
    """The descriptor is the file itself where a mode has it, and None where not."""
    with Repository(made.path) as repository:
        with repository.open_content(content_of(repository, made.commit, b"/large")) as content:
            if repository.mode == "archive":
                assert content.fd is None
            else:
                assert content.fd is not None
                assert os.fstat(content.fd).st_size == content.size > 0


def test_many_objects_in_a_call_are_read_as_one_by_one(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    at_once = many.read_files

    def watched(*args: Any, **more: Any) -> list[many.Named | None]:
        found = at_once(*args, **more)
        asked.extend(named is not None for named in found)
        return found

    def nothing(places: many.Packed, *args: Any, **more: Any) -> list[None]:
        return [None] * len(places.dirs)

    with Repository(made.path) as repository:
        monkeypatch.setattr(many, "read_files", watched)
        quick = contents.read(repository, made.commit, jobs=1)
        monkeypatch.setattr(many, "read_files", nothing)
        assert contents.read(repository, made.commit, jobs=1) == quick
    # Only symlinks and what has xattrs are left, in the one mode that this is for.
    assert (sum(asked) > 600, asked.count(False)) == ((True, 4) if asked else (False, 0))
    assert bool(asked) == (repository.mode == "bare")


def test_names_that_are_not_utf8_are_not_committed_by_stock_either(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/tree/\xff")).write_bytes(b"")
    ostree(tmp_path / "repo", "init", "--mode=archive")
    commit = ("commit", "--branch=b", str(tmp_path / "tree"))
    assert "UTF-8" in ostree(tmp_path / "repo", *commit, fails=True)


@pytest.mark.parametrize("change", ["contents", "mode", "owner", "xattr", "target"])
def test_replaced_object_is_found(tmp_path: Path, tree: Path, change: str) -> None:
    """In a bare repository, where everything lies in the inode."""
    bare = make(tmp_path / "bare", "bare", tree)
    with Repository(bare.path) as repository:
        path = b"/link" if change == "target" else b"/a/b/c"
        checksum = content_of(repository, bare.commit, path)
        file = Path(repository.object_label(checksum, "file"))
        match change:
            case "contents":
                file.write_bytes(b"y")
            case "mode":
                file.chmod(0o4755)
            case "owner":
                os.chown(file, 7, 7)
            case "xattr":
                os.setxattr(file, "user.more", b"x")
            case "target":
                file.unlink()
                file.symlink_to("elsewhere")
        with pytest.raises(ContentError, match="its name says") as caught:
            repository.verify_content(checksum)
        damaged = contents.read(repository, bare.commit, jobs=1).damaged
    assert caught.value.code == "damaged-object"
    assert [(path, error.code) for path, error in damaged] == [(path, "damaged-object")]


# --- writing -------------------------------------------------------------------------------


def test_stock_works_on_after_our_writing(made: Made, tmp_path: Path) -> None:
    with Repository(made.path) as repository:
        before = repository.read_detached(made.commit)
        after = before.with_value("test.text", Variant("s", "it's us")).with_bytes("b", b"\1\2")
        repository.write_detached(made.commit, after, expected=before)
    show = ("show", "--print-detached-metadata-key")
    assert ostree(made.path, *show, "test.text", made.commit) == '"it\'s us"\n'
    assert ostree(made.path, *show, "b", made.commit) == "[byte 0x01, 0x02]\n"
    assert "Äpfel" in ostree(made.path, "show", made.commit)
    ostree(made.path, "fsck")
    ostree(made.path, "prune", "--refs-only")
    ostree(tmp_path / "copy", "init", "--mode=archive")
    ostree(tmp_path / "copy", "pull-local", str(made.path), "os/main")
    ostree(tmp_path / "copy", "fsck")
    ostree(tmp_path / "copy", "checkout", "--user-mode", "os/main", str(tmp_path / "out"))
    assert (tmp_path / "out/a-b").read_bytes() == b"before a/b"
    with Repository(tmp_path / "copy") as copy:
        assert copy.read_detached(made.commit).encode() == after.encode()


def test_dictionaries_with_many_types(archive: Made) -> None:
    """What stock prints for a value of ours is what we meant.

    No integers: ostree prints them byte-swapped. GLib itself is asked in test_gvariant_glib.
    """
    values = {
        "(ysv)": ((1, "ü", Variant("b", True)), '(byte 0x01, "ü", <true>)'),
        "aay": ((b"ab", b""), "[[byte 0x61, 0x62], []]"),
        "a{sv}": ((("k", Variant("as", ["", "v"])),), '{"k": <["", "v"]>}'),
    }  # fmt: skip
    for signature, (value, printed) in values.items():
        with Repository(archive.path) as repository:
            before = repository.read_detached(archive.commit)
            after = before.with_value("k", Variant(signature, value))
            repository.write_detached(archive.commit, after, expected=before)
        arguments = ("show", "--print-detached-metadata-key=k", archive.commit)
        assert ostree(archive.path, *arguments).strip().replace("'", '"') == printed
        assert decode(signature, encode(signature, value), label="it") == value


def test_stock_waits_for_our_lock(archive: Made, tree: Path) -> None:
    with (archive.path / "config").open("a") as config:
        config.write("lock-timeout-secs=1\n")
    fd = os.open(archive.path, os.O_RDONLY)
    commit = ("commit", "--branch=other", str(tree / "a"))
    with _locked(fd, "it"):
        assert "lock" in ostree(archive.path, *commit, fails=True).lower()
    os.close(fd)
    ostree(archive.path, *commit)


# --- OpenPGP -------------------------------------------------------------------------------


def test_we_read_what_ostree_gpg_sign_wrote(archive: Made, home: Path, tmp_path: Path) -> None:
    ostree(archive.path, "gpg-sign", f"--gpg-homedir={home}", archive.commit, "test@invalid")
    with Repository(archive.path) as repository:
        raw, _ = repository.read_commit(archive.commit)
        detached = repository.read_detached(archive.commit)
    stored = archive.path / "objects" / archive.commit[:2] / f"{archive.commit[2:]}.commitmeta"
    assert detached.encode() == stored.read_bytes()
    (signature,) = detached.get_byte_arrays("ostree.gpgsigs")
    (tmp_path / "sig").write_bytes(signature)
    gpg(home, "--verify", str(tmp_path / "sig"), "-", data=raw)


def pull_verified(archive: Made, client: Path, key: Path, *, fails: bool = False) -> str:
    ostree(client, "init", "--mode=archive")
    remote = ("remote", "add", f"--gpg-import={key}", "--set=gpg-verify=true", "r")
    ostree(client, *remote, f"file://{archive.path}")
    return ostree(client, "pull", "r", "os/main", fails=fails)


def test_stock_accepts_our_gpg_signature(archive: Made, home: Path, tmp_path: Path) -> None:
    """It verifies beside keys that stock does not know, and a pull keeps them all."""
    key = tmp_path / "key.gpg"
    key.write_bytes(gpg(home, "--export"))
    said = pull_verified(archive, tmp_path / "unsigned", key, fails=True)
    assert "no signatures found" in said
    with Repository(archive.path) as repository:
        raw, _ = repository.read_commit(archive.commit)
        before = repository.read_detached(archive.commit)
        signature = gpg(home, "--detach-sign", data=raw)
        after = before.with_bytes("verity.x", b"1").with_appended(
            "ostree.gpgsigs", "aay", signature
        )
        repository.write_detached(archive.commit, after, expected=before)
    pull_verified(archive, tmp_path / "signed", key)
    shown = ostree(archive.path, "show", f"--gpg-homedir={home}", archive.commit)
    assert "Found 1 signature" in shown
    with Repository(tmp_path / "signed") as repository:
        assert repository.resolve("r:os/main") == archive.commit
        assert repository.read_detached(archive.commit).encode() == after.encode()


def test_stock_refuses_our_signature_of_something_else(
    archive: Made, home: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key.gpg"
    key.write_bytes(gpg(home, "--export"))
    signature = gpg(home, "--detach-sign", data=b"another commit")
    with Repository(archive.path) as repository:
        before = DetachedMetadata()
        after = before.with_byte_arrays("ostree.gpgsigs", [signature])
        repository.write_detached(archive.commit, after, expected=before)
    assert "BAD signature" in pull_verified(archive, tmp_path / "client", key, fails=True)
