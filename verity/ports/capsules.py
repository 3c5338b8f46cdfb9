# SPDX-License-Identifier: Apache-2.0
"""Capsules on disk: an envelope of evidence in a file, read whole within a bound, written whole.

It looks no further than whether there is such an envelope; nothing is verified here.
"""

from dataclasses import dataclass
from pathlib import Path

from verity.formats import evidence
from verity.ports.osfile import read_file, write_new_file
from verity.trust.evidence import payload_of
from verity.values.errors import ContentError

_MODE = 0o600  # findings tell an attacker where to begin


@dataclass(frozen=True, kw_only=True)
class CapsuleFile:
    """The envelope as it is in the file, and the payload that it holds."""

    sealed: bytes
    payload: bytes

    @property
    def digest(self) -> bytes:
        """By which the next capsule names it."""
        return evidence.digest(self.payload)


def read(path: Path) -> CapsuleFile:
    """Read one. ContentError (``bad-document``) with the file's name for anything else."""
    data = read_file(path, max_size=evidence.MAX_SEALED)
    try:
        return CapsuleFile(sealed=data, payload=payload_of(data))
    except ContentError as error:
        raise ContentError(error.code, f"{path}: {error.message}", hint=error.hint) from error


def write(path: Path, sealed: bytes) -> None:
    """Write a new one, for its owner alone; overwrites nothing."""
    write_new_file(path, sealed, mode=_MODE)
