# SPDX-License-Identifier: Apache-2.0
"""One booted machine per kind, kept in the cache: a boot becomes a restore.

A snapshot is three files: `memory` (the guest's memory as it was mapped), `state` (the devices,
some MB) and `disk.qcow2` (what the boot wrote). A machine that starts from it maps the memory
copy-on-write and puts an overlay on the disk, so nothing is copied and machines side by side share
what they don't change.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from . import cache
from .engine import Engine
from .image import Image
from .qemu import Files, Hardware, make_overlay, version

_CODE = ("engine.py", "qemu.py", "snapshot.py")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A kept machine's files, read-only."""

    memory: Path
    state: Path
    disk: Path


def booted(image: Image, hardware: Hardware, *, timeout_s: float) -> Snapshot:
    """The snapshot of a booted machine of this image and hardware, made unless it's there."""
    path = image.path / "snapshots" / _key(image, hardware)
    cache.entry(path, lambda partial: _make(image, hardware, partial, timeout_s))
    return Snapshot(memory=path / "memory", state=path / "state", disk=path / "disk.qcow2")


def _key(image: Image, hardware: Hardware) -> str:
    code = [Path(__file__).with_name(name).read_text() for name in _CODE]
    # A layer may have several root disks.
    disk = str(image.root_disk.relative_to(image.path))
    return hashlib.sha256(repr((hardware, disk, version(), code)).encode()).hexdigest()[:16]


def _make(image: Image, hardware: Hardware, partial: Path, timeout_s: float) -> None:
    disk = partial / "disk.qcow2"
    make_overlay(disk, backing=image.root_disk, backing_format="raw")
    empty = partial / "empty"
    empty.mkdir()
    files = Files(
        vmlinuz=image.vmlinuz,
        initramfs=image.initramfs,
        disk=disk,
        console=partial / "console.log",
        exchange=empty,
        share=empty,
        memory=partial / "memory",
        memory_shared=True,
    )
    engine = Engine.booted(hardware, files, owned=None, timeout_s=timeout_s)
    try:
        engine.calm_down()
        engine.save_state(partial / "state")
    finally:
        engine.quit()
