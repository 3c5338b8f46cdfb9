# SPDX-License-Identifier: Apache-2.0
"""The directory in which an update waits for the next boot: written whole, or not at all.

What may be in it is for ``verity.verbs.lockdown_stage`` and, at the boot, for the loader to say.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from verity.ports import content, copying, kernel, osfile
from verity.values.errors import HostError

_BUNDLE = "boot.bundle"
_REPLACED = ".replaced"
_OLDER = re.compile(r"(applied|refused)\.[0-9]+")
"""What the loader calls a stage once there is a later one; each holds a kernel and an initramfs."""


def is_there(place: Path) -> bool:
    """Whether something waits, finished or not."""
    return os.path.lexists(place)


def put(place: Path, bundle: bytes, files: Mapping[str, Path]) -> None:
    """Make the directory with the bundle, and below ``boot`` copies of the files with fs-verity.

    What was there before goes first: between the two nothing waits. So does what is left of stages
    before the last one. HostError where a file can't be read, written or given fs-verity.
    """
    osfile.make_directories(place.parent, mode=0o755)
    _clear(place)
    _forget_older(place.parent)
    with osfile.new_directory(place) as there:
        for name, source in files.items():
            target = there / "boot" / name
            osfile.make_directories(target.parent, mode=0o755)
            _copy(source, target)
        osfile.write_new_file(there / _BUNDLE, bundle, mode=0o644)


def _clear(place: Path) -> None:
    aside = place.with_name(place.name + _REPLACED)
    try:
        if os.path.lexists(place):
            # One name at a time: half a stage must not be taken for a whole one.
            os.rename(place, aside)
            osfile.sync_directory(place.parent)
        if os.path.lexists(aside):
            shutil.rmtree(aside)
    except OSError as error:
        raise osfile.translate_oserror(error, str(place)) from error


def _forget_older(folder: Path) -> None:
    try:
        for entry in os.scandir(folder):
            if _OLDER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
    except OSError as error:
        raise osfile.translate_oserror(error, str(folder)) from error


def _copy(source: Path, target: Path) -> None:
    """The file with fs-verity on it, durably."""
    with osfile.closing(content.open_regular(source)) as fd:
        with osfile.new_file(target, mode=0o644) as out:
            written = copying.write(copying.pieces(fd, label=str(source)), out, label=str(target))
    with osfile.closing(content.open_regular(target)) as fd:
        kernel.enable(fd, label=str(target))
        if kernel.measure(fd, label=str(target)) != written:
            raise HostError("changed", f"{target}: was changed while it was staged")
        kernel.syncfs(fd, label=str(target))
