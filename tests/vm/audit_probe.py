# SPDX-License-Identifier: Apache-2.0
"""Runs in a test machine: audit_probe.py IMAGE DIRECTORY makes a tree on a file system with
fs-verity, of which IMAGE is the loop device's file, and audits it after one change at a time;
prints a JSON object of what each case gave. audit_probe.py user DIRECTORY audits it as who can't
read all."""

import json
import mmap
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from verity.formats import dump
from verity.ports import tree
from verity.ports.signed_tree import State
from verity.ports.tree import Node, Tree
from verity.trust.verified import VerifiedManifest
from verity.verbs import audit_files
from verity.verbs.audit_files import Compared, How
from verity.verbs.audit_overlays import Overlays

BLOCK = 4096
_MANIFEST = "manifest"


def shell(command: str) -> str:
    return subprocess.run(["sh", "-ec", command], check=True, capture_output=True, text=True).stdout


def make(root: Path) -> None:
    """A tree of files with fs-verity, and one of what else there is."""
    for folder in ("dir/deep", "mounts/signed", "mounts/empty", "private"):
        (root / folder).mkdir(parents=True)
    files = ("dir/file", "dir/deep/tool", "dir/empty", "mounts/signed/file", "private/file")
    for name in (*files, "mapped"):
        (root / name).write_bytes(name.encode() * 5000 * (name != "dir/empty"))
        shell(f"fsverity enable {root / name}")
    (root / "link").symlink_to("dir/file")
    shell(f"mknod {root}/null c 1 3 && setfacl -m u:1000:r {root}/dir/deep/tool")
    shell(f"setcap cap_net_raw=ep {root}/dir/deep/tool && chmod 0700 {root}/private")
    os.setxattr(root / "dir", "user.test", b"\0 \xff")
    os.sync()


def audit(root: Path, data: bytes, **how: Any) -> Compared:
    manifest = cast(VerifiedManifest, SimpleNamespace(data=data))
    return audit_files.compare(root, manifest, How(**how))


def said(found: Compared) -> list[str]:
    """Each finding and each gap, shortly."""
    return [
        *(f"{one.check} {one.object}" for one in found.findings),
        *(f"gap {gap.check} {gap.object}" for gap in found.gaps),
    ]


class Probe:
    """The cases, each undone after it."""

    def __init__(self, image: Path, root: Path) -> None:
        self.image, self.root = image, root
        make(root)
        with Tree(root) as opened:
            nodes = [item for item in opened.walk(tree.measured) if isinstance(item, Node)]
        self.digests = {node.path: node.entry.digest for node in nodes}
        self.data = dump.serialise([node.entry for node in nodes])
        (root.parent / _MANIFEST).write_bytes(self.data)
        self.found: dict[str, Any] = {}

    def case(self, name: str, **how: Any) -> Compared:
        found = audit(self.root, self.data, **how)
        self.found[name] = said(found)
        return found

    def change(self, name: str, command: str, undo: str) -> None:
        """One change in the shell, below the tree."""
        shell(f"cd {self.root}; {command}")
        self.case(name)
        shell(f"cd {self.root}; {undo}")

    @contextmanager
    def replaced(self, name: str, options: str = "", more: bytes = b"") -> Iterator[None]:
        """A copy in place of a file, with these options of `fsverity enable`, or without it."""
        path, kept = self.root / name, self.root.parent / "kept"
        path.rename(kept)
        shutil.copy2(kept, path)
        with path.open("ab") as file:
            file.write(more)
        if options:
            shell(f"fsverity enable {options} {path}")
        yield
        path.unlink()
        kept.rename(path)

    def metadata(self) -> None:
        self.change("mode", "chmod 4755 dir/file", "chmod 0644 dir/file")
        self.change("owner", "chown 1:2 dir", "chown 0:0 dir")
        tool = "dir/deep/tool"
        self.change("acl", f"setfacl -m u:1001:r {tool}", f"setfacl -x u:1001 {tool}")
        self.change("default acl", "setfacl -dm u:1:r dir", "setfacl -k dir")
        net, all_of_it = f"setcap cap_net_raw=ep {tool}", f"setcap cap_sys_admin=ep {tool}"
        self.change("capabilities", all_of_it, net)
        self.change("xattrs", "setfattr -n user.more dir", "setfattr -x user.more dir")
        self.change("target", "ln -sfn dir/filf link", "ln -sfn dir/file link")
        self.change("device", "rm null; mknod null c 1 5", "rm null; mknod null c 1 3")
        self.change("type", "rm null; mkfifo null", "rm null; mknod null c 1 3")

    def contents(self) -> None:
        enabled = "--hash-alg=sha256"
        for name, options, more in (
            ("plain", "", b""),
            ("altered", enabled, b"x"),
            ("altered and plain", "", b"x"),
            ("small blocks", "--block-size=1024", b""),
            ("small blocks, altered", "--block-size=1024", b"x"),
            ("salted", "--salt=abcd", b""),
            ("sha512", "--hash-alg=sha512", b""),
        ):
            with self.replaced("dir/file", options, more):
                self.case(name)
        with self.replaced("dir/file", "--block-size=1024"):
            found = audit(self.root, self.data).findings
            self.found["parameters"] = [one.found for one in found]

    def mounts(self) -> None:
        for name in ("empty", "signed"):
            at = self.root / "mounts" / name
            shell(f"mount -t tmpfs none {at} && chmod 0755 {at} && touch {at}/more")
            self.case(f"mounted on {name}")
            shell(f"umount {at}")
        shell(f"mount --bind {self.root}/dir {self.root}/mounts/empty")
        found = audit(self.root, self.data)
        self.found["bind mount"] = sorted({one.check for one in found.findings})
        shell(f"umount {self.root}/mounts/empty")
        deep, above = self.root / "dir/deep", self.root.parent / "above"
        shell(f"mkdir -m 0755 {above}; touch {above}/more")
        shell(f"mount -t overlay -o ro,lowerdir={above}:{deep} sysext {deep}")
        self.case("overlay", overlays=Overlays(self.root))
        shell(f"umount {deep}")

    def disk(self) -> None:
        """What the disk holds, and what the page cache does."""
        found = self.case("deep", deep=True)
        self.found["counts"] = found.counts
        with (self.root / "mapped").open("rb") as file:
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                self.found["sum"] = sum(mapped[::BLOCK])
                self.case("mapped, deep", deep=True)
        # The first block, below the mounted file system: the file's inode stays in memory.
        extent = shell(f"filefrag -v -b{BLOCK} {self.root}/dir/file").splitlines()[3].split()
        at = int(extent[3].rstrip(".")) * BLOCK
        self._flip(at)
        self.case("damaged")
        self.case("damaged, deep", deep=True)
        self._flip(at)
        self.case("mended, deep", deep=True)

    def _flip(self, at: int) -> None:
        with self.image.open("r+b", buffering=0) as image:
            image.seek(at)
            byte = image.read(1)
            image.seek(at)
            image.write(bytes([byte[0] ^ 1]))
            os.fsync(image.fileno())

    def counted(self) -> None:
        digest = self.digests[b"/dir/file"]
        found = audit(self.root, self.data, granted=[digest, bytes(32)])
        names = Counter(State(one).name for one in found.states)
        self.found["states"] = dict(names)


def main(mode: str, directory: str) -> None:
    root = Path(directory) / "root"
    if mode == "user":
        found = audit(root, (root.parent / _MANIFEST).read_bytes())
        json.dump(said(found), sys.stdout)
        return
    probe = Probe(Path(mode), root)
    probe.case("as signed")
    parts: list[Callable[[], None]] = [
        probe.metadata,
        probe.contents,
        probe.mounts,
        probe.disk,
        probe.counted,
    ]
    for part in parts:
        part()
    probe.case("at the end")
    json.dump(probe.found, sys.stdout)


main(sys.argv[1], sys.argv[2])
