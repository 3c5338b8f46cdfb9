# SPDX-License-Identifier: Apache-2.0
"""What an initramfs in /boot has of a host's trust: pins, and a boot bundle if somebody put one in.

On a host of level B1 its initramfs loads the gate, with the pins in it and the boot bundle of the
root file system (policy/initramfs). It judges nothing. A name that is there twice is what the later
archive says, as for the kernel.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from verity.formats.grants import Party
from verity.ports import initramfs, places
from verity.values.errors import VerityError

_NAMES = re.compile(r"(initrd|initramfs)[.-].*")
_PINS = {
    os.fsencode(places.VENDOR_PIN): Party.VENDOR,
    os.fsencode(places.USER_PIN): Party.USER,
}
_BUNDLE = os.fsencode(places.BUNDLE)
_WANTED = {*_PINS, _BUNDLE}


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What one initramfs has: the pins by party, and whether there is a boot bundle in it; or why
    it can't be read."""

    path: Path
    pins: Mapping[Party, bytes]
    bundle: bool = False
    unread: VerityError | None = None


def paths(root: Path) -> list[Path]:
    """Each initramfs in /boot of a host."""
    try:
        names = sorted(os.listdir(root / "boot"))
    except OSError:
        return []
    return [root / "boot" / name for name in names if _NAMES.fullmatch(name)]


def read(root: Path) -> Iterator[Carried]:
    """What each of them has."""
    for path in paths(root):
        pins: dict[Party, bytes] = {}
        bundle = False
        try:
            for file in initramfs.files(path, lambda name: _plain(name) in _WANTED):
                name = _plain(file.name)
                if name in _PINS:
                    pins[_PINS[name]] = file.data
                bundle |= name == _BUNDLE
        except VerityError as error:
            yield Carried(path=path, pins={}, unread=error)
            continue
        yield Carried(path=path, pins=pins, bundle=bundle)


def _plain(name: bytes) -> bytes:
    return name.removeprefix(b"./").removeprefix(b"/")
