# SPDX-License-Identifier: Apache-2.0
"""What an initramfs in /boot has of a host's trust: pins, a boot bundle if somebody put one in, and
whether it enters no root without the gate.

On a host of level B1 its initramfs loads the gate, with the pins in it and the boot bundle of the
root file system (policy/initramfs). It judges nothing. A name that is there twice is what the later
archive says, as for the kernel. Boot loaders look for one in /boot, in directories of it such as
OSTree's, and in /efi; what is built into a kernel isn't seen.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from verity.formats.grants import Party
from verity.ports import initramfs, places
from verity.ports.osfile import translate_oserror
from verity.values.errors import HostError, VerityError

REMAKE = (
    "make it anew (update-initramfs -u, dracut --force), and sign what changed, before a reboot"
)
"""What to do where the policy says sealed, and an initramfs doesn't know it."""
_NAMES = re.compile(r"(initrd|initramfs)([.-].*)?")
_PLACES = ("boot", "efi")
_PINS = {
    os.fsencode(places.VENDOR_PIN): Party.VENDOR,
    os.fsencode(places.USER_PIN): Party.USER,
}
_BUNDLE = os.fsencode(places.BUNDLE)
_SEALED = b"etc/verity/sealed"
_HOST_ID = os.fsencode(places.HOST_ID)
_WANTED = {*_PINS, _BUNDLE, _SEALED, _HOST_ID}


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What one initramfs has: the pins by party, whether there is a boot bundle in it, whether its
    owner has sealed the host, and whether it knows the host's id; or why it, or a directory of
    them, can't be read."""

    path: Path
    pins: Mapping[Party, bytes]
    bundle: bool = False
    sealed: bool = False
    host_id: bool = False
    unread: VerityError | None = None


def paths(root: Path) -> tuple[list[Path], list[HostError]]:
    """Each initramfs that a boot loader of the host finds, and why a directory can't be read."""
    found: list[Path] = []
    refused: list[HostError] = []

    def unread(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            refused.append(translate_oserror(error, str(error.filename)))

    for place in _PLACES:
        for folder, folders, names in os.walk(root / place, onerror=unread):
            folders.sort()
            found += [Path(folder, name) for name in sorted(names) if _NAMES.fullmatch(name)]
    return found, refused


def read(root: Path) -> Iterator[Carried]:
    """What each of them has."""
    found, refused = paths(root)
    for problem in refused:
        yield Carried(path=root / _PLACES[0], pins={}, unread=problem)
    for path in found:
        pins: dict[Party, bytes] = {}
        others = set()
        try:
            for file in initramfs.files(path, lambda name: _plain(name) in _WANTED):
                name = _plain(file.name)
                if name in _PINS:
                    pins[_PINS[name]] = file.data
                others.add(name)
        except VerityError as error:
            yield Carried(path=path, pins={}, unread=error)
            continue
        yield Carried(
            path=path,
            pins=pins,
            bundle=_BUNDLE in others,
            sealed=_SEALED in others,
            host_id=_HOST_ID in others,
        )


def _plain(name: bytes) -> bytes:
    return name.removeprefix(b"./").removeprefix(b"/")
