# SPDX-License-Identifier: Apache-2.0
"""The vendor's side of the demo: commit, keys, signatures. It runs on the host."""

import os
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.demo.story import BrokenLinkError, Story

BRANCH = "debian/trixie"
GPG_USER = "vendor@demo.example"
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Workshop:
    """The vendor's directory. ``shipped`` is what the host gets as a disk."""

    top: Path
    gpg: Path

    @property
    def shipped(self) -> Path:
        return self.top / "shipped"

    @property
    def repo(self) -> Path:
        return self.shipped / "mirror"

    @property
    def keys(self) -> Path:
        return self.top / "keys"

    @property
    def disk(self) -> Path:
        return self.top / "disk.img"


def run(story: Story, argv: Sequence[str], shop: Workshop, *, link: str, status: int = 0) -> str:
    """Run a host command in the workshop, shown as it is typed there; it has to end so."""
    story.command(argv, where="host")
    return quiet(argv, shop, link=link, status=status)


def run_into(
    name: str, story: Story, argv: Sequence[str] | str, shop: Workshop, *, link: str
) -> None:
    """A command, or a line of shell, whose output is bytes and goes into a file."""
    text = argv if isinstance(argv, str) else shlex.join(argv)
    story.command(f"{text} >{name}", where="host")
    (shop.top / name).write_bytes(_output(argv, shop, link=link, status=0))


def quiet(argv: Sequence[str], shop: Workshop, *, link: str, status: int = 0) -> str:
    """The same without showing it."""
    return _output(argv, shop, link=link, status=status).decode("utf-8", "replace")


def _output(argv: Sequence[str] | str, shop: Workshop, *, link: str, status: int) -> bytes:
    argv = ["sh", "-c", argv] if isinstance(argv, str) else argv
    program = Path("build/venv/bin/verity").absolute() if argv[0] == "verity" else argv[0]
    done = subprocess.run(
        [str(program), *argv[1:]],
        cwd=shop.top,
        capture_output=True,
        timeout=_TIMEOUT_S,
        env={**os.environ, "GNUPGHOME": str(shop.gpg)},
    )
    if done.returncode != status:
        text = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
        raise BrokenLinkError(link, f"`{' '.join(argv)}` ended with {done.returncode}:\n{text}")
    return done.stdout


def open_workshop(top: Path) -> Workshop:
    """An empty workshop; what an earlier demo left is removed meanwhile."""
    old = top.with_name(f"{top.name}.old")
    shutil.rmtree(old, ignore_errors=True)  # of a demo that was killed while removing
    if top.exists():
        top.rename(old)
        threading.Thread(target=shutil.rmtree, args=(old,)).start()
    # gpg's agent listens in its home: the path of a socket must be short.
    shop = Workshop(top, Path(tempfile.mkdtemp(prefix="verity-gpg-")))
    for folder in (shop.keys, shop.shipped):
        folder.mkdir(parents=True, mode=0o700)
    return shop


def commit_tree(story: Story, shop: Workshop, tree: Path) -> str:
    """Commit the real Debian tree to a repository; returns the checksum."""
    run(story, ["ostree", "--repo=shipped/mirror", "init", "--mode=bare"], shop, link="commit")
    story.say("(a repository for one demo need not survive a power cut)")
    unsafe = ["ostree", "--repo=shipped/mirror", "config", "set", "core.fsync", "false"]
    run(story, unsafe, shop, link="commit")
    return run(
        story,
        [
            "ostree",
            "--repo=shipped/mirror",
            "commit",
            f"--branch={BRANCH}",
            "--subject=Debian trixie",
            f"--tree=dir={tree}",
        ],
        shop,
        link="commit",
    ).strip()


def make_keys(story: Story, shop: Workshop) -> None:
    """A vendor key, a user key, and an OpenPGP key for stock ostree."""
    story.command(f"export GNUPGHOME={shop.gpg}", where="host")
    for name in ("vendor", "user"):
        out = run(story, ["verity", "key", "generate", f"keys/{name}.pem"], shop, link="key")
        story.show(out.splitlines()[0])
    generate = ["gpg", "--batch", "--quiet", "--passphrase=", "--quick-gen-key", GPG_USER]
    run(story, [*generate, "ed25519", "sign", "1y"], shop, link="key")
    export = ["gpg", "--batch", "--output=shipped/vendor.gpg", "--export", GPG_USER]
    run(story, export, shop, link="key")


def sign(story: Story, shop: Workshop, *, key: str = "vendor") -> None:
    """Sign the commit, for us and for stock ostree."""
    out = run(
        story,
        [
            "verity",
            "commit",
            "sign",
            "--repo=shipped/mirror",
            f"--key=keys/{key}.pem",
            "--stream=debian-trixie",
            "--serial=1",
            f"--gpg-sign={GPG_USER}",
            BRANCH,
        ],
        shop,
        link="signature",
    )
    story.show(out)


def foreign(story: Story, shop: Workshop) -> str:
    """The answer, as JSON, to whether the user's key has signed the commit."""
    argv = ["verity", "objects", "check", "--repo=shipped/mirror", "--key=keys/user.pem.pub"]
    return run(story, [*argv, "--json", BRANCH], shop, link="key", status=1)


def signed_digests(story: Story, shop: Workshop) -> tuple[str, str]:
    """How many digests of files were signed, and the SHA-256 of their sorted list."""
    show = ["verity", "commit", "show", "--repo=shipped/mirror", "--manifest", BRANCH]
    run_into("manifest", story, show, shop, link="manifest")
    digests = "cut -d' ' -f11 manifest | grep -v '^-$' | sort"
    run_into("signed.txt", story, digests, shop, link="manifest")
    count = run(story, ["wc", "-l", "signed.txt"], shop, link="manifest").split()[0]
    return count, run(story, ["sha256sum", "signed.txt"], shop, link="manifest").split()[0]


def ship(story: Story, shop: Workshop) -> None:
    """Put the repository and the public keys on a disk for the host: ext4 with verity."""
    shutil.copy(shop.keys / "vendor.pem.pub", shop.shipped / "vendor.pub")
    shutil.copy(shop.keys / "user.pem.pub", shop.shipped / "user.pub")
    argv = "mke2fs -q -t ext4 -b 4096 -O verity -d shipped disk.img 2G".split()
    run(story, argv, shop, link="commit")


def close_workshop(shop: Workshop) -> None:
    """End the gpg agent that signing started and remove its home; the rest stays for a look."""
    quiet(["gpgconf", "--kill", "all"], shop, link="key")
    shutil.rmtree(shop.gpg, ignore_errors=True)
