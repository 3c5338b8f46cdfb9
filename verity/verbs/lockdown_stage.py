# SPDX-License-Identifier: Apache-2.0
"""lockdown stage: what the next boot's initramfs is to put into place on a host of level B1.

Nobody writes to /boot while the gate is sealed, so an update waits in ``/var/lib/verity/next``: a
boot bundle, and below ``boot`` the files for /boot. The initramfs has a gate verify the bundle,
holds it to the present one, and does what ``policy/gate/loader/stage.c`` describes (ADR 54).

Here the same is asked of the files, so that a mistake is told now and not at the next boot; nothing
that is said here counts there. Signatures aren't verified: `lockdown bundle` has made the bundle.

1. The bundle is one, and has grants.
2. Each file stands in its grants at its path in /boot, with these contents.
3. None but an entry of a boot loader takes the place of another one in /boot.
4. All of it is copied, gets fs-verity, and has its name when it is whole and durable.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle as bundles
from verity.formats import grants
from verity.formats.grants import ConfigKind
from verity.formats.records import RecordKind
from verity.ports import boot_stage, content, osfile, places
from verity.values.digest import Digest
from verity.values.errors import CallerError, ContentError

MOST_FILES = 64
_BOOT = b"/boot/"
_LONGEST = 240


@dataclass(frozen=True, kw_only=True)
class StagedFile:
    """A file for /boot; ``path`` is where it will be."""

    path: bytes
    digest: Digest
    size: int


@dataclass(frozen=True, kw_only=True)
class Update:
    """What may be staged: the bundle, each file with where it is now, what is worth knowing."""

    bundle: bytes
    files: Mapping[StagedFile, Path]
    notes: tuple[str, ...] = ()


def examine(bundle: Path, boot: Path | None, root: Path) -> Update:
    """Whether a boot bundle, and the files of a directory for /boot, go together on this host.

    Raises ContentError ``bad-bundle`` or ``not-granted``, CallerError ``bad-arguments`` or
    ``would-replace``.
    """
    # 1.
    data = osfile.read_file(bundle, max_size=bundles.MAX_SIZE)
    try:
        granted = _granted(data)
    except ContentError as error:
        hint = error.hint or "`verity lockdown bundle` makes one"
        raise ContentError(error.code, f"{bundle}: {error.message}", hint=hint) from error
    # 2. and 3.
    names = [] if boot is None else _files(boot)
    sources = [boot / name for name in names if boot is not None]
    found = map(_check, sources, names, [granted] * len(names), [root] * len(names))
    files = dict(zip(found, sources, strict=True))
    return Update(bundle=data, files=files, notes=tuple(_uncounted(sources, names)))


def stage(update: Update, root: Path, *, replace: bool = False) -> None:
    """Stage it on the host at ``root``; CallerError ``already-staged``."""
    place = root / places.NEXT
    if boot_stage.is_there(place) and not replace:
        raise CallerError(
            "already-staged",
            f"{place}: an update waits there already",
            hint="reboot, or give --replace",
        )
    # 4.
    named = {os.fsdecode(file.path.removeprefix(_BOOT)): at for file, at in update.files.items()}
    boot_stage.put(place, update.bundle, named)


def _granted(data: bytes) -> Mapping[bytes, set[bytes]]:
    blobs = [one.blob for one in bundles.parse(data) if one.kind is RecordKind.GRANTS]
    if not blobs:
        raise ContentError("bad-bundle", "it grants nothing")
    found: dict[bytes, set[bytes]] = {}
    for blob in blobs:
        for entry in grants.parse(blob).config:
            if entry.kind is ConfigKind.FILE:
                found.setdefault(entry.path, set()).add(entry.digest)
    return found


def _uncounted(sources: list[Path], names: list[str]) -> Iterator[str]:
    """What GRUB is to start without counting its boots."""
    for source, name in zip(sources, names, strict=True):
        if name == "grub/grub.cfg" and b"/verity.env" not in source.read_bytes():
            yield f"{source}: GRUB won't count the boots of it: it lacks what 01_verity puts there"


def _files(boot: Path) -> list[str]:
    """The files of the directory, relative to it."""
    found = []
    for folder, folders, names in os.walk(boot):
        folders.sort()
        for name in sorted(names):
            found.append(os.path.relpath(os.path.join(folder, name), boot))
    if not found or len(found) > MOST_FILES:
        raise CallerError(
            "bad-arguments",
            f"{boot}: {len(found)} files, expected 1 to {MOST_FILES}",
            hint="a directory of what goes to /boot: kernel, initramfs, and the entry for them",
        )
    return sorted(found)


def is_entry(name: str) -> bool:
    """Whether it says to a boot loader what to start: the only thing that may be replaced."""
    return name.startswith("loader/") or (name.startswith("grub/") and name.endswith(".cfg"))


def _check(path: Path, name: str, granted: Mapping[bytes, set[bytes]], root: Path) -> StagedFile:
    where = _BOOT + os.fsencode(name)
    if len(where) > _LONGEST:
        raise CallerError(
            "bad-arguments", f"{path}: {len(where)} bytes in /boot, at most {_LONGEST}"
        )
    digest = content.digest_path(path)
    if digest.value not in granted.get(where, ()):
        raise ContentError(
            "not-granted",
            f"{path}: the bundle's grants put no such file at {os.fsdecode(where)}",
            hint="sign it for this path: where the policy guards /boot, `verity commit sign` grants"
            " what stands there",
        )
    there = root / "boot" / name
    if os.path.lexists(there) and not is_entry(name) and content.digest_path(there) != digest:
        raise CallerError(
            "would-replace",
            f"{path}: would take the place of {there}, which is booted from now",
            hint="give the new one another name, as kernels have their version in it",
        )
    return StagedFile(path=where, digest=digest, size=path.stat().st_size)
