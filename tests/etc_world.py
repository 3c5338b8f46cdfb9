# SPDX-License-Identifier: Apache-2.0
"""A small host with a signed /etc, for tests that change it: made by the program, as a user would.

Serial 1 and serial 2 differ in every way that an apply has to bring about.
"""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from tests.cli.program import Done, verity
from verity.ports import keystore, places
from verity.verbs import etc_sign
from verity.verbs.etc_intent import Host
from verity.verbs.sign_prepare import Spot

KEY = ("--root", "root", "--key", "etc.pem.pub")
STREAM = "etc-test"

State = dict[str, tuple[object, ...]]


class EtcWorld:
    """A directory with ``root/etc``, a key pair ``etc.pem`` and another, ``other.pem``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.etc = path / "root/etc"
        self.state = path / "root" / places.STATE
        self.store = path / "root" / places.STORE

    def run(self, verb: str, *more: str) -> Done:
        """`verity etc VERB` as the owner of the public key."""
        return verity("etc", verb, *KEY, *more, cwd=self.path)

    def sign(self, serial: int, *more: str) -> Done:
        """`verity etc sign`."""
        options = ("--root", "root", "--key", "etc.pem", "--stream", STREAM)
        return verity("etc", "sign", *options, "--serial", str(serial), *more, cwd=self.path)

    def must_sign(self, serial: int, *more: str) -> None:
        """The same, which must succeed."""
        done = self.sign(serial, *more)
        assert done.status == 0, done.err

    def files(self) -> State:
        """Everything below /etc but times."""
        return state_of(self.etc)

    def current(self) -> str:
        """The serial that is the intent, as the file has it."""
        return (self.state / "current").read_text().split()[0]


def state_of(top: Path) -> State:
    """Every file below: mode, owner, xattrs, contents or target."""
    found: State = {}
    for folder, names, files in os.walk(top):
        for name in [".", *files, *(one for one in names if (Path(folder) / one).is_symlink())]:
            path = Path(folder) / name
            status = os.lstat(path)
            held: bytes | str = b""
            if stat.S_ISREG(status.st_mode):
                held = path.read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                held = os.readlink(path)
            xattrs = tuple(
                (one, os.getxattr(path, one, follow_symlinks=False))
                for one in sorted(os.listxattr(path, follow_symlinks=False))
            )
            key = os.path.relpath(path, top)
            found[key] = (status.st_mode, status.st_uid, status.st_gid, xattrs, held)
    return found


def write(path: Path, data: str, mode: int = 0o644) -> None:
    """A file of this mode, with the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data)
    path.chmod(mode)


def relink(path: Path, target: str | Path) -> None:
    """Put a symlink in the place of what is there."""
    path.unlink()
    path.symlink_to(target)


def make_first(etc: Path) -> None:
    """What serial 1 is of."""
    write(etc / "motd", "welcome\n")
    write(etc / "app/old.conf", "old = 1\n")
    write(etc / "app/deep/er/old.conf", "old = 2\n")
    write(etc / "kind/was-directory/inside", "x\n")
    write(etc / "kind/was-file", "y\n")
    write(etc / "hosts", "127.0.0.1 localhost\n")
    write(etc / "ssh/ssh_host_ed25519_key", "secret\n", 0o600)
    write(etc / "shadow", "root:*:1::::::\n", 0o640)
    write(etc / "resolv.conf", "nameserver 192.0.2.1\n")
    (etc / "link").symlink_to("motd")
    os.setxattr(etc / "hosts", "user.note", b"first")
    os.setxattr(etc / "kind", "user.note", b"first")
    (etc / "app").chmod(0o755)


def make_second(etc: Path) -> None:
    """The changes to serial 2: contents, metadata, types, names."""
    write(etc / "motd", "welcome again\n" * 1000)
    (etc / "app/old.conf").unlink()
    (etc / "app/deep/er/old.conf").unlink()
    (etc / "app/deep/er").rmdir()
    (etc / "app/deep").rmdir()
    write(etc / "new/dir/new.conf", "new = 1\n", 0o600)
    (etc / "kind/was-directory/inside").unlink()
    (etc / "kind/was-directory").rmdir()
    write(etc / "kind/was-directory", "a file now\n")
    (etc / "kind/was-file").unlink()
    write(etc / "kind/was-file/inside", "a directory now\n")
    relink(etc / "link", "hosts")
    os.setxattr(etc / "hosts", "user.note", b"second")
    os.removexattr(etc / "kind", "user.note")
    os.setxattr(etc / "app", "user.note", b"a directory's")
    (etc / "app").chmod(0o750)
    if os.geteuid() == 0:
        os.chown(etc / "hosts", 1, 2)
        os.chown(etc / "app", 3, 4)
        os.lchown(etc / "link", 5, 6)


def make_etc_world(path: Path, *changes: Callable[[Path], None]) -> EtcWorld:
    """A host signed after each of these, from serial 1 on."""
    world = EtcWorld(path)
    world.etc.mkdir(parents=True)
    for name in ("etc", "other"):
        assert verity("key", "generate", f"{name}.pem", cwd=path).status == 0
    for serial, change in enumerate(changes, 1):
        change(world.etc)
        world.must_sign(serial)
    return world


def sign_at(world: EtcWorld, serial: int, *, expired: bool) -> None:
    """Sign by the library, as of another time."""
    now = int(time.time())
    expires = now - 3600 if expired else now + 3600
    spot = Spot(stream=STREAM, serial=serial, issued=now - 7200, expires=expires)
    key = keystore.load_signer(str(world.path / "etc.pem"))
    etc_sign.sign(spot, Host.at(world.path / "root", None), (), [key])


def stored(world: EtcWorld, contents: bytes) -> Path:
    """The file of the content store that holds these."""
    return next(
        path for path in world.store.rglob("*") if path.is_file() and path.read_bytes() == contents
    )
