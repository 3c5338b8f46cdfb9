# SPDX-License-Identifier: Apache-2.0
"""Keyrings on disk: ``DIR/PARTY/N.keyring.json`` for each version, ``N.keys`` beside it.

Also where a host has them, below any root. A version exists when its ``N.keyring.json`` has its
name, which is the last thing that is written; whatever else is there is no version. A version that
has not enough signatures yet has ``.part`` behind both names. Nothing is parsed or verified here.
"""

import errno
import fcntl
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from verity.formats.bundle import MAX_BLOB
from verity.formats.grants import Party
from verity.formats.statement import MAX_ENVELOPE
from verity.ports.osfile import (
    closing,
    read_file,
    replace_file,
    sync_directory,
    translate_oserror,
    write_new_file,
)
from verity.ports.places import USER_PIN, VENDOR_PIN
from verity.values.errors import ContentError, HostError

DIRECTORIES = (Path("usr/lib/verity/keyrings"), Path("etc/verity/keyrings"))
"""Where a host has keyrings: what came with the system, and what its owner added."""
PINS: Mapping[Party, Path] = {Party.VENDOR: VENDOR_PIN, Party.USER: USER_PIN}
MAX_VERSIONS = 4096

_DOCUMENT = ".keyring.json"
_KEYS = ".keys"
_PART = ".part"
_NAME = re.compile(r"([1-9][0-9]{0,15})\.keyring\.json(\.part)?")
_MODE = 0o644


@dataclass(frozen=True, kw_only=True)
class VersionFile:
    """The envelope of one version; ``number`` is what its file's name says."""

    number: int
    path: Path
    data: bytes


def read_versions(directories: Sequence[Path], party: Party) -> list[VersionFile]:
    """The versions of a party in these directories, oldest first; none if there are none.

    The same number may be in several directories only with the same bytes.
    """
    found: dict[int, VersionFile] = {}
    for directory in directories:
        for number, path in _names(directory / _name(party), part=False):
            version = VersionFile(
                number=number, path=path, data=read_file(path, max_size=MAX_ENVELOPE)
            )
            before = found.setdefault(number, version)
            if before.data != version.data:
                raise ContentError(
                    "bad-chain",
                    f"{path}: another version {number} than {before.path}",
                    hint="one of them is not what its party published: compare both with it",
                )
    return [found[number] for number in sorted(found)]


def read_part(directory: Path, party: Party) -> tuple[VersionFile, bytes] | None:
    """The version that waits for signatures, if there is one: its envelope, and its keys."""
    parts = _names(directory / _name(party), part=True)
    if not parts:
        return None
    number, path = max(parts)
    data = read_file(path, max_size=MAX_ENVELOPE)
    keys = read_file(_path(directory, party, number, _KEYS + _PART), max_size=2 * MAX_BLOB)
    return VersionFile(number=number, path=path, data=data), keys


def write_version(directory: Path, party: Party, number: int, *, data: bytes, keys: bytes) -> Path:
    """Write a version that is complete, durably; ``lock`` must be held. Overwrites no version."""
    target = _path(directory, party, number, _DOCUMENT)
    if target.exists():
        raise HostError("exists", f"{target}: exists already and is not overwritten")
    # Without its document it is no version: what a crash leaves here is replaced next time.
    replace_file(_path(directory, party, number, _KEYS), keys, mode=_MODE)
    write_new_file(target, data, mode=_MODE)
    remove_part(directory, party, number)
    return target


def write_part(directory: Path, party: Party, number: int, *, data: bytes, keys: bytes) -> Path:
    """Write a version that waits for signatures, or one more signature of it."""
    target = _path(directory, party, number, _DOCUMENT + _PART)
    replace_file(_path(directory, party, number, _KEYS + _PART), keys, mode=_MODE)
    replace_file(target, data, mode=_MODE)
    return target


def remove_part(directory: Path, party: Party, number: int) -> None:
    """Remove what waited for signatures, the document first; fine if there is nothing."""
    try:
        for kind in (_DOCUMENT, _KEYS):
            with suppress(FileNotFoundError):
                os.unlink(_path(directory, party, number, kind + _PART))
    except OSError as error:
        raise translate_oserror(error, str(directory)) from error


@contextmanager
def lock(directory: Path, party: Party) -> Iterator[None]:
    """Keep others from making a version of this party meanwhile; the directory is made if need be,
    and is gone again if the block fails and leaves nothing in it.

    The lock is the directory's own (flock), so it ends with the process.
    """
    path = directory / _name(party)
    made: list[Path] = []
    try:
        try:
            _make(path, made)
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise translate_oserror(error, str(path)) from error
        with closing(fd):
            _lock(fd, path)
            yield
    except BaseException:
        for one in reversed(made):
            with suppress(OSError):  # something is in it, so it stays
                os.rmdir(one)
        raise


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK:
            raise translate_oserror(error, str(path)) from error
        raise HostError(
            "locked",
            f"{path}: another process is making a version",
            hint="try again when it has ended",
        ) from error


def _make(path: Path, made: list[Path]) -> None:
    """A directory and what is above it, durably; ``made`` hears of each that was not there."""
    if os.path.isdir(path):
        return
    _make(path.parent, made)
    try:
        os.mkdir(path, 0o755)
        made.append(path)
    except FileExistsError:
        pass  # another process was faster
    sync_directory(path.parent)


def _names(directory: Path, *, part: bool) -> list[tuple[int, Path]]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise translate_oserror(error, str(directory)) from error
    matched = [match for match in map(_NAME.fullmatch, names) if match is not None]
    found = [
        (int(match[1]), directory / match[0]) for match in matched if (match[2] is not None) is part
    ]
    if len(found) > MAX_VERSIONS:
        raise ContentError(
            "bad-chain", f"{directory}: {len(found)} versions, at most {MAX_VERSIONS} are read"
        )
    return found


def _path(directory: Path, party: Party, number: int, kind: str) -> Path:
    return directory / _name(party) / f"{number}{kind}"


def _name(party: Party) -> str:
    return party.name.lower()
