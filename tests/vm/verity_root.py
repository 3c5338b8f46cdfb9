# SPDX-License-Identifier: Apache-2.0
"""A root disk on which every regular file has fs-verity, as a host has it whose OS is signed.

Made once per layer, by a bare machine that enables what it finds on a copy of the layer's root
disk; about half a minute. `Image.tree` stays the description of what is on it: contents and modes
are the same.

Left without fs-verity is what the guest itself writes in place, since such a file would refuse it:
- /var and /home, which are state and not code;
- IN_PLACE, single files of /etc.
A file that is replaced by renaming another one over it needs no exception.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from . import cache
from .debian import run
from .errors import VmError
from .image import Image
from .machine import Machine

STATE = ("home", "var")
_ACCOUNTS = ("group", "gshadow", "passwd", "shadow", "subgid", "subuid")
IN_PLACE = (
    "etc/.pwd.lock",
    "etc/machine-id",
    # shadow's tools open these for writing before they rename, and write the old state to NAME-.
    *(f"etc/{name}{suffix}" for name in _ACCOUNTS for suffix in ("", "-")),
)

_HELPER = Path(__file__).with_name("verity_root.c")
_DISK = "root.img"
_ENABLE_TIMEOUT_S = 600.0


def verity_root(image: Image) -> Image:
    """The same image with fs-verity on the root disk's files, from the cache or made.

    Raises VmError when a step fails, also when the file system is not clean afterwards.
    """
    code = b"".join(path.read_bytes() for path in (Path(__file__), _HELPER))
    made = image.path / f"verity-root-{hashlib.sha256(code).hexdigest()[:16]}"
    cache.entry(made, lambda partial: _build(image, partial))
    return dataclasses.replace(image, root_disk=made / _DISK)


def verity_files(tree: Path) -> Iterator[str]:
    """The regular files of `tree` that get fs-verity, relative to it; a hard link each name."""
    for folder, folders, names in os.walk(tree):
        inside = Path(folder).relative_to(tree)
        if inside == Path():
            folders[:] = [name for name in folders if name not in STATE]
        for name in names:
            path = inside / name
            known = (tree / path).lstat()
            if known.st_mode & 0o170000 == 0o100000 and str(path) not in IN_PLACE:
                yield str(path)


def _build(image: Image, partial: Path) -> None:
    helper, listing, work = partial / "enable", partial / "files", partial / "work"
    run(["cc", "-static", "-O2", "-Wall", "-Werror", "-o", str(helper), str(_HELPER)])
    files = list(verity_files(image.tree))
    listing.write_bytes(b"".join(b"/sysroot/" + os.fsencode(path) + b"\0" for path in files))
    with Machine.boot("bare", image, work=work) as machine:
        machine.push(helper, "/run/enable")
        machine.push(listing, "/run/files")
        done = machine.run("/run/enable </run/files", timeout_s=_ENABLE_TIMEOUT_S)
        if int(done.text) != len(files):
            raise VmError(f"fs-verity on {done.text} files, expected {len(files)}")
        machine.shutdown()
    disk = partial / _DISK
    run(["qemu-img", "convert", "-O", "raw", str(work / "disk.qcow2"), str(disk)])
    checked = subprocess.run(["e2fsck", "-fn", disk], capture_output=True, text=True, timeout=120)
    if checked.returncode != 0:
        raise VmError(f"{disk}: e2fsck ends with {checked.returncode}\n{checked.stdout[-2000:]}")
    disk.chmod(0o444)
    cache.remove_tree(work)
    for scratch in (helper, listing):
        scratch.unlink()
