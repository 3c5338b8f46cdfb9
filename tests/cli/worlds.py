# SPDX-License-Identifier: Apache-2.0
"""Small real repositories, made by stock ostree and signed by the program."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.cli.program import copy, stock, verity
from verity.formats.commit import DetachedMetadata
from verity.ports import keystore
from verity.ports.ostree_repo import Repository
from verity.verbs import commit_sign

MODES = ("bare", "bare-user", "archive")
REF = "debian/trixie"
OTHER_REF = "debian/forky"
UNSIGNED_REF = "debian/sid"
BIG = bytes(range(256)) * 40  # more than two blocks
# Lines that would look like ours, a cursor movement, and a name that is hard to quote.
NAMES = ("with space", "two\nlines", "\x1b[2Jclear", "back\\slash", "-", "ünïcode", "a'\"$(b)")


def make_tree(tree: Path) -> None:
    """A tree with one of everything that a commit can hold."""
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/share/names").mkdir(parents=True)
    tool = tree / "usr/bin/tool"
    tool.write_bytes(Path("/bin/true").read_bytes())
    tool.chmod(0o755)
    sudo = tree / "usr/bin/sudo"
    sudo.write_bytes(Path("/bin/false").read_bytes())
    sudo.chmod(0o4755)
    script = tree / "usr/bin/script"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    (tree / "usr/share/big").write_bytes(BIG)
    (tree / "usr/share/empty").write_bytes(b"")
    (tree / "usr/share/copy").write_bytes(BIG)
    (tree / "usr/share/link").symlink_to("../bin/tool")
    for name in NAMES:
        (tree / "usr/share/names" / name).write_text(name)


def commit(repo: Path, tree: Path, ref: str, *more: str) -> str:
    """`ostree commit`; the checksum."""
    said = stock("ostree", f"--repo={repo}", "commit", "-b", ref, *more, tree, cwd=repo.parent)
    return said.split()[-1]


def sign(cwd: Path, *args: str, repo: str = "repo", key: str = "vendor.pem") -> None:
    """`verity commit sign`, which must succeed."""
    done = verity("commit", "sign", "--repo", repo, "--key", key, "--stream", "os", *args, cwd=cwd)
    assert done.status == 0, done.err


@dataclass(frozen=True)
class World:
    """A directory with `repo`, `tree`, `vendor.pem`, `other.pem`; change something, then look."""

    path: Path
    mode: str = "bare"

    @property
    def repo(self) -> Path:
        return self.path / "repo"

    def checksum(self, ref: str = REF) -> str:
        return (self.repo / "refs/heads" / ref).read_text().strip()

    def object(self, checksum: str, kind: str) -> Path:
        return self.repo / "objects" / checksum[:2] / f"{checksum[2:]}.{kind}"

    def commitmeta(self, ref: str = REF) -> Path:
        return self.object(self.checksum(ref), "commitmeta")

    def content(self, path: str) -> Path:
        """The content object of a file."""
        with Repository(self.repo) as repository:
            names = {found: name for found, name, _ in repository.paths(self.checksum())}
        kind = "filez" if self.mode == "archive" else "file"
        return self.object(names[path.encode()], kind)

    def detached(self, ref: str = REF) -> DetachedMetadata:
        return DetachedMetadata.parse(self.commitmeta(ref).read_bytes(), label="test")

    def attach(self, metadata: DetachedMetadata, ref: str = REF) -> None:
        self.commitmeta(ref).write_bytes(metadata.encode())

    def sign_at(self, *, issued: int, expires: int, ref: str = REF, serial: int = 7) -> None:
        """Sign by the library, as of another time."""
        with Repository(self.repo) as repository:
            commit_sign.sign(
                repository,
                commit_sign.Request(
                    revision=ref,
                    stream="os",
                    serial=serial,
                    issued=issued,
                    expires=expires,
                    replace=True,
                ),
                [keystore.load_signer(str(self.path / "vendor.pem"))],
                jobs=1,
            )

    def expire(self) -> None:
        now = int(time.time())
        self.sign_at(issued=now - 7200, expires=now - 3600)


def make_keys(path: Path) -> None:
    """vendor.pem and other.pem by the program; keys of other kinds beside them."""
    for name in ("vendor", "other"):
        assert verity("key", "generate", f"{name}.pem", cwd=path).status == 0
    ed = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    p384 = ec.derive_private_key(5, ec.SECP384R1())
    p256 = ec.derive_private_key(5, ec.SECP256R1())
    secret = BestAvailableEncryption(b"correct horse")
    for name, data in (
        ("ed25519", ed.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
        ("encrypted", p256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)),
        ("garbage", b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n"),
    ):
        file = path / f"{name}.pem"
        file.write_bytes(data)
        file.chmod(0o600)
    for name, public in (("ed25519", ed.public_key()), ("p384", p384.public_key())):
        (path / f"{name}.pem.pub").write_bytes(
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
    (path / "garbage.pub").write_text("nonsense\n")


def make_world(path: Path, mode: str, keys: Path) -> World:
    """Two signed commits and an unsigned one, in a repository of this mode."""
    for key in keys.iterdir():
        copy(key, path / key.name)
    tree = path / "tree"
    tree.mkdir()
    make_tree(tree)
    repo = path / "repo"
    stock("ostree", "--repo=repo", "init", f"--mode={mode}", cwd=path)
    more = [] if os.geteuid() == 0 else ["--owner-uid=0", "--owner-gid=0"]
    commit(repo, tree, REF, "--add-detached-metadata-string=vendor.note=kept", *more)
    commit(repo, tree, OTHER_REF, "--subject=another", *more)
    commit(repo, tree, UNSIGNED_REF, "--subject=unsigned", *more)
    sign(path, "--serial", "1", REF)
    sign(path, "--serial", "2", OTHER_REF)
    return World(path, mode)
