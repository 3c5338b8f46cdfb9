# SPDX-License-Identifier: Apache-2.0
"""Builds the guest's image and keeps it: a Debian tree, its kernel, our initramfs, a root disk.

Two layers in the cache, so that a new wheel costs seconds:
- images/RECIPE/tree: the Debian tree without our wheel (mmdebstrap, about a minute);
- images/RECIPE/layers/LAYER/: that tree hard-linked with the wheel put in, the root disk of it,
  kernel, initramfs, and the snapshots of machines booted from them.

Rules:
- RECIPE is a hash over the recipe and the code that applies it; LAYER over the wheel's content and
  the code that builds the layer;
- trees are read-only to everybody: their files are hard links of each other. Copy before a change;
- there are two recipes, of PACKAGES and of SERVER_PACKAGES;
- when a new recipe is built, entries of older recipes go; of the layers the newest few stay;
- Debian's updates arrive when the recipe changes or the cache is cleared, never by themselves.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import cache, recipe, wheel
from .debian import build_tree, run
from .errors import VmToolMissing
from .initramfs import build_initramfs, kernel_release

APT_PACKAGES = ("cpio", "e2fsprogs", "mmdebstrap", "qemu-system-x86", "qemu-utils")

_PROGRAMS = ("cpio", "mke2fs", "mmdebstrap", "qemu-img", "qemu-system-x86_64")
_TREE_CODE = ("debian.py", "recipe.py")
_LAYER_CODE = ("image.py", "initramfs.py", "init.sh", "wheel.py")
_KEEP_LAYERS = 2
# Fixed, so that the same tree gives the same disk.
_UUID = "76657269-7479-4000-8000-000000000001"


@dataclass(frozen=True, kw_only=True)
class Image:
    """What a machine is started from. Everything in it is read-only.

    `tree` is the unpacked Debian tree, owned by root, that `root_disk` holds as ext4 with verity.
    """

    path: Path
    tree: Path
    root_disk: Path
    vmlinuz: Path
    initramfs: Path
    kernel_release: str


def build_image(
    wheel_path: Path | None = None, *, packages: Sequence[str] = recipe.PACKAGES
) -> Image:
    """The image with the wheel in it (or none), from the cache or built, which needs root.

    packages    what Debian's tree is made of: recipe.PACKAGES or recipe.SERVER_PACKAGES

    Raises VmToolMissing when the host lacks something, VmError when a step of the build fails.
    """
    base = _base(packages)
    if not base.is_dir():
        _check_host()
    if cache.entry(base, lambda partial: build_tree(partial, packages)):
        _prune_recipes(base.parent)
    wanted = wheel.read_wheel(wheel_path) if wheel_path is not None else None
    layer = base / "layers" / _key(_LAYER_CODE, wanted.digest if wanted is not None else "")
    if not layer.is_dir():
        _check_host()
    if cache.entry(layer, lambda partial: _build_layer(base / "tree", wanted, partial)):
        os.utime(layer)
        _prune_layers(layer.parent, keep=_KEEP_LAYERS)
    os.utime(layer)
    return Image(
        path=layer,
        tree=layer / "tree",
        root_disk=layer / "root.img",
        vmlinuz=layer / "vmlinuz",
        initramfs=layer / "initramfs",
        kernel_release=kernel_release(layer / "tree"),
    )


def prune(*, everything: bool = False) -> list[str]:
    """Removes other recipes' images, all but the newest layers, and what killed runs left.

    With `everything`, all that no running machine uses. Returns what was removed.
    """
    root = cache.cache_root()
    before = _entries(root)
    with cache.locked(root / "prune.lock"):
        for work in (root / "work").glob("*/"):
            cache.remove_if_unused(work)
        if (root / "images").is_dir():
            _prune_recipes(root / "images", everything=everything)
        for current in filter(Path.is_dir, _current()):
            _prune_layers(current / "layers", keep=0 if everything else _KEEP_LAYERS)
        if everything and (root / "dependencies").is_dir():
            cache.remove_tree(root / "dependencies")
    return sorted(str(path) for path in before - _entries(root))


def _base(packages: Sequence[str]) -> Path:
    chosen = "\n".join((recipe.mirror(), *packages))
    return cache.cache_root() / "images" / _key(_TREE_CODE, chosen)


def _current() -> tuple[Path, ...]:
    return tuple(_base(packages) for packages in (recipe.PACKAGES, recipe.SERVER_PACKAGES))


def _entries(root: Path) -> set[Path]:
    patterns = ("work/*/", "images/*/", "images/*/layers/*/", "dependencies/*/")
    return {path for pattern in patterns for path in root.glob(pattern)}


def _key(code: tuple[str, ...], content: str) -> str:
    state = hashlib.sha256(content.encode())
    for name in code:
        state.update(hashlib.sha256(Path(__file__).with_name(name).read_bytes()).digest())
    return state.hexdigest()[:16]


def _build_layer(base_tree: Path, wanted: wheel.Wheel | None, partial: Path) -> None:
    tree = partial / "tree"
    # Hard links: no second copy of 450 MB. What the wheel brings are new files.
    run(["cp", "-al", str(base_tree), str(tree)])
    if wanted is not None:
        wheel.install(wanted, tree)
    shutil.copyfile(tree / f"boot/vmlinuz-{kernel_release(tree)}", partial / "vmlinuz")
    build_initramfs(tree, partial / "initramfs", scratch=partial / "scratch")
    # Building the whole disk anew takes about as long as copying one and writing into it.
    options = f"root_owner=0:0,hash_seed={_UUID},assume_storage_prezeroed=1"
    run(
        [
            *("mke2fs", "-q", "-t", "ext4", "-O", "verity", "-b", recipe.ROOT_BLOCK_SIZE),
            *("-U", _UUID, "-L", "verity-root", "-E", options, "-d", str(tree)),
            *(str(partial / "root.img"), recipe.ROOT_SIZE),
        ]
    )


def _check_host() -> None:
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        raise VmToolMissing(
            f"missing on this host: {', '.join(missing)}; apt install {' '.join(APT_PACKAGES)}"
        )
    if os.geteuid() != 0:
        raise VmToolMissing("building the image needs root: the tree holds files of several owners")


def _prune_recipes(images: Path, *, everything: bool = False) -> None:
    with cache.locked(images / "prune.lock"):
        for other in images.glob("*/"):
            if (other not in _current() or everything) and not cache.is_partial(other):
                gone = [cache.remove_if_unused(layer) for layer in (other / "layers").glob("*/")]
                if all(gone):
                    cache.remove_tree(other)


def _prune_layers(layers: Path, *, keep: int) -> None:
    # One at a time: who comes second looks for what the first removes.
    with cache.locked(layers.with_name("layers.lock")):
        whole = [path for path in layers.glob("*/") if not cache.is_partial(path)]
        whole.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for layer in whole[keep:]:
            cache.remove_if_unused(layer)
