# SPDX-License-Identifier: Apache-2.0
"""Hosts whose gate is loaded by the initramfs that their own Debian makes: level B1.

The harness boots with an initramfs of its own; here it is Debian's, by initramfs-tools or dracut,
made in the host's tree with what an installation puts there: loader, object, hooks, pins and boot
bundle. QEMU gives the kernel this initramfs, so what stands in the host's /boot plays no part.

It doesn't decide what is in the bundle: `trust_world` and `server_world` do.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from verity.ports import gate_object

from . import cache, debs
from .debian import run
from .errors import VmError
from .image import Image

Maker = Literal["initramfs-tools", "dracut"]

APPEND = "root=/dev/vda rw"
"""What Debian's own initramfs wants on the command line."""
INITRAMFS = Path(__file__).parents[2] / "policy" / "initramfs"
_OWN = "usr/lib/verity"
_HOOKS = "usr/share/initramfs-tools"
_DRACUT = "usr/lib/dracut/modules.d/99verity"
INSTALL = "dpkg --unpack --force-depends /run/debs/*.deb >/dev/null 2>&1"
_MODULES = "virtio_blk virtio_pci ext4 crc32c_generic"
_MAKE = {
    # The few modules that a machine here needs: unpacking those of any host takes half a minute.
    "initramfs-tools": f"printf '%s\\n' {_MODULES} >/etc/initramfs-tools/modules"
    " && echo MODULES=list >/etc/initramfs-tools/conf.d/verity-tests"
    " && mkinitramfs -o /run/made {release}",
    "dracut": f"{INSTALL} && dracut --force --no-hostonly --no-hostonly-cmdline --quiet"
    f" --drivers '{_MODULES}' /run/made {{release}}",
}


def installed() -> dict[str, Path]:
    """What an installation puts on a host for its initramfs: place below the root -> file."""
    files = {
        f"{_OWN}/verity-boot": INITRAMFS / "verity-boot",
        f"{_OWN}/verity-initramfs": INITRAMFS / "verity-initramfs",
        f"{_OWN}/verity-confirm": INITRAMFS / "verity-confirm",
        f"{_HOOKS}/hooks/verity": INITRAMFS / "initramfs-tools/hook",
        f"{_HOOKS}/scripts/init-bottom/verity": INITRAMFS / "initramfs-tools/init-bottom",
        f"{_DRACUT}/module-setup.sh": INITRAMFS / "99verity/module-setup.sh",
        f"{_DRACUT}/verity-pivot.sh": INITRAMFS / "99verity/verity-pivot.sh",
    }
    for name, found in (
        ("verity-load", gate_object.find_loader()),
        ("gate.bpf.o", gate_object.find()),
    ):
        if isinstance(found, gate_object.Missing):
            raise VmError(f"{name}: {found.reason}; {found.hint}")
        files[f"{_OWN}/{name}"] = found.path
    files[f"{_OWN}/verity-unlock"] = files[f"{_OWN}/verity-load"].with_name("verity-unlock")
    return files


def tree(image: Image) -> Path:
    """What an installation has for its initramfs, as a tree to be signed; named by its contents."""
    files = installed()
    state = hashlib.sha256(b"".join(path.read_bytes() for path in files.values()))
    made = image.path / f"boot-files-{state.hexdigest()[:16]}"
    cache.entry(made, lambda partial: lay(partial))
    return made


def lay(folder: Path) -> None:
    """Puts what is installed below a folder."""
    for name, source in installed().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
        (folder / name).chmod(0o755)


def with_initramfs(
    image: Image, host: Path, maker: Maker, changed: str = "", *, ours: bool = True
) -> Image:
    """The image with an initramfs that `maker` makes of its tree, from the cache or made.

    host     a tree that is laid over the image's: pins and boot bundle
    changed  shell lines that are run in the tree before
    ours     what is installed is put there; no: the image has it from its wheel
    """
    files = installed() if ours else {}
    state = hashlib.sha256(Path(__file__).read_bytes() + maker.encode() + changed.encode())
    overlaid = {str(path.relative_to(host)): path for path in host.rglob("*") if path.is_file()}
    for name, path in sorted((files | overlaid).items()):
        state.update(f"\0{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    made = image.path / f"initramfs-{state.hexdigest()[:16]}"
    cache.entry(made, lambda partial: _build(image, host, maker, changed, partial, ours=ours))
    return dataclasses.replace(image, initramfs=made / "initramfs")


def _build(
    image: Image, host: Path, maker: Maker, changed: str, partial: Path, *, ours: bool
) -> None:
    with above(image.tree, partial) as root:
        run(["cp", "-a", f"{host}/.", str(root)])
        if ours:
            lay(root)
        if maker == "dracut":
            shutil.copytree(debs.packages(image, "dracut-core"), root / "run/debs")
        make = _MAKE[maker].format(release=image.kernel_release)
        run(["chroot", str(root), "sh", "-ec", f"{changed}\n{make}"])
        shutil.copyfile(root / "run/made", partial / "initramfs")


def unpacked(image: Image, initramfs: Path, out: Path) -> Path:
    """What an initramfs holds, below `out`: of each archive in it what is verity's."""
    out.mkdir()
    with above(image.tree, out) as root:
        shutil.copyfile(initramfs, root / "run/made")
        run(["chroot", str(root), "unmkinitramfs", "/run/made", "/run/out"])
        # The early archives, and then the one with the programs; or that one alone.
        for found in (*(root / "run/out").glob("*/"), root / "run/out"):
            for part in ("etc/verity", "usr/lib/verity"):
                if (found / part).is_dir():
                    shutil.copytree(found / part, out / part, dirs_exist_ok=True)
    return out


def recovery_entry(image: Image, host: Path, lines: str, scratch: Path) -> str:
    """What GRUB's configuration gets of ours in the host's tree, and GRUB's own check of it."""
    scratch.mkdir()
    with above(image.tree, scratch) as root:
        run(["cp", "-a", f"{host}/.", str(root)])
        shutil.copytree(debs.packages(image, "grub-common"), root / "run/debs")
        shutil.copyfile(INITRAMFS / "grub.d/42_verity", root / "run/42_verity")
        given = "pkgdatadir=/usr/share/grub GRUB_DEVICE_UUID=root-uuid GRUB_CMDLINE_LINUX=quiet"
        script = f"{given} GRUB_DEVICE_BOOT_UUID=boot-uuid sh /run/42_verity >/run/entry"
        check = "[ ! -s /run/entry ] || grub-script-check /run/entry"
        run(["chroot", str(root), "sh", "-ec", f"{INSTALL}\n{lines}\n{script}\n{check}"])
        return (root / "run/entry").read_text()


@contextlib.contextmanager
def above(tree: Path, partial: Path, *, mounts: bool = True) -> Iterator[Path]:
    """A root over the tree, which stays as it is; with `mounts` what programs in it expect."""
    root, upper, work = (partial / name for name in ("root", "upper", "work"))
    for folder in (root, upper, work):
        folder.mkdir()
    layers = f"lowerdir={tree},upperdir={upper},workdir={work}"
    run(["mount", "-t", "overlay", "-o", layers, "overlay", str(root)])
    try:
        if mounts:
            run(["mount", "-t", "tmpfs", "tmpfs", str(root / "run")])
            run(["mount", "-t", "proc", "proc", str(root / "proc")])
            run(["mount", "--bind", "/dev", str(root / "dev")])
        yield root
    finally:
        run(["umount", "-R", str(root)])
        for folder in (root, upper, work):
            cache.remove_tree(folder)
