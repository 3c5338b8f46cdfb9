# SPDX-License-Identifier: Apache-2.0
"""Makes the test VM's own initramfs from a Debian tree: busybox, a few modules, the guest agent.

Not compressed: under emulation, copying 20 MB is quicker than unpacking 8. The modules are unpacked
because busybox's insmod takes them so; their signatures are inside and stay.
"""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
from pathlib import Path

from .errors import VmError

_INIT = Path(__file__).with_name("init.sh")
# What is needed to mount the root disk; all others come from there when the kernel asks for them.
# ext4 asks for crc32c by name, which modules.dep does not tell.
_MODULES = "virtio_blk crc32c_generic ext4".split()
_DIRECTORIES = (
    "bin sbin usr/bin usr/sbin lib64 lib/x86_64-linux-gnu dev proc sys run tmp sysroot modules etc"
    " root"
)
_MODPROBE = '#!/bin/sh\nexec /bin/busybox chroot /sysroot /sbin/modprobe "$@"\n'


def kernel_release(tree: Path) -> str:
    """The one kernel that the tree holds."""
    releases = sorted(path.name for path in (tree / "usr/lib/modules").iterdir())
    if len(releases) != 1:
        raise VmError(f"{tree}: found kernels {releases}, expected one")
    return releases[0]


def module_order(tree: Path) -> list[Path]:
    """The paths of _MODULES and all that they depend on, dependencies first."""
    root = tree / "usr/lib/modules" / kernel_release(tree)
    dependencies: dict[str, list[str]] = {}
    for line in (root / "modules.dep").read_text().splitlines():
        module, _, needs = line.partition(":")
        dependencies[module] = needs.split()
    by_name = {Path(module).name.split(".")[0]: module for module in dependencies}
    ordered: list[str] = []
    for name in _MODULES:
        if name not in by_name:
            raise VmError(f"{root}: module {name} is missing")
        # modules.dep lists what to load last first.
        for module in (*reversed(dependencies[by_name[name]]), by_name[name]):
            if module not in ordered:
                ordered.append(module)
    return [root / module for module in ordered]


def shared_libraries(tree: Path, program: str) -> list[tuple[str, Path]]:
    """(soname, file) of what `program` loads, asked of the tree's own dynamic linker."""
    loader = tree / "lib64/ld-linux-x86-64.so.2"
    libraries = tree / "usr/lib/x86_64-linux-gnu"
    listing = subprocess.run(
        [loader, "--library-path", libraries, "--list", tree / program],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout
    found = []
    for line in listing.splitlines():
        name, arrow, rest = line.strip().partition(" => ")
        if arrow and name.startswith("lib"):
            found.append((name, Path(rest.rsplit(" (", 1)[0])))
    return found


def build_initramfs(tree: Path, out: Path, *, scratch: Path) -> None:
    """Writes the cpio archive `out`; `scratch` is a directory that is made, filled, removed."""
    root = scratch
    for directory in _DIRECTORIES.split():
        (root / directory).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    busybox = root / "bin/busybox"
    shutil.copy2(tree / "usr/bin/busybox", busybox)
    applets = subprocess.run(
        [busybox, "--list"], check=True, capture_output=True, text=True, timeout=30
    ).stdout.split()
    for applet in applets:
        if applet not in ("busybox", "modprobe"):
            (root / "bin" / applet).symlink_to("busybox")
    _script(root / "sbin/modprobe", _MODPROBE)
    _script(root / "init", _INIT.read_text())
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")

    order = []
    for module in module_order(tree):
        name = module.name.removesuffix(".xz")
        (root / "modules" / name).write_bytes(lzma.decompress(module.read_bytes()))
        order.append(name)
    (root / "modules.order").write_text("\n".join(order) + "\n")

    shutil.copy2(tree / "usr/sbin/qemu-ga", root / "usr/sbin/qemu-ga")
    shutil.copy2(tree / "lib64/ld-linux-x86-64.so.2", root / "lib64/ld-linux-x86-64.so.2")
    for soname, library in shared_libraries(tree, "usr/sbin/qemu-ga"):
        # On Debian's linker's built-in path, so neither cache nor environment are needed.
        shutil.copy2(library, root / "lib/x86_64-linux-gnu" / soname)

    names = sorted(
        os.path.relpath(os.path.join(directory, name), root)
        for directory, directories, files in os.walk(root)
        for name in (*directories, *files)
    )
    with out.open("wb") as archive:
        subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc", "--owner=0:0", "--reproducible"],
            input="\n".join(names).encode() + b"\n",
            stdout=archive,
            cwd=root,
            check=True,
            timeout=120,
        )
    shutil.rmtree(root)


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
