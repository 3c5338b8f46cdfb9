# SPDX-License-Identifier: Apache-2.0
"""A signed update of /boot, for a test to stage: the files, and the bundle that grants them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from verity.formats.fsverity import digest_bytes
from verity.formats.grants import ConfigEntry, ConfigKind

from . import boot_world
from .image import Image
from .trust_world import trust_world


def grants_of(files: Mapping[str, bytes]) -> list[ConfigEntry]:
    """What puts these files below /boot; names are relative to it."""
    return [
        ConfigEntry(
            path=f"/boot/{name}".encode(), kind=ConfigKind.FILE, digest=digest_bytes(data).value
        )
        for name, data in files.items()
    ]


def make_update(
    image: Image, folder: Path, files: Mapping[str, bytes], *, stream: str, tree_stream: str
) -> Path:
    """`folder` with boot/ and boot.bundle, as a builder ships them.

    stream       what grants the files
    tree_stream  what grants the host's own programs, as in its bundle of before
    """
    for name, data in files.items():
        (folder / "boot" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "boot" / name).write_bytes(data)
    trees = {tree_stream: boot_world.tree(image)}
    signed = trust_world(image, trees, config={stream: grants_of(files)}, serial=2)
    shutil.copyfile(signed.host / "boot.bundle", folder / "boot.bundle")
    return folder
