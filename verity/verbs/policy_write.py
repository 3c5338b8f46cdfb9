# SPDX-License-Identifier: Apache-2.0
"""A signed policy on the disk: OUT is what the gate is told, OUT.json the document beside it.

It verifies nothing: whoever calls it has done that.
"""

from pathlib import Path

from verity.ports.osfile import write_new_file
from verity.values.errors import VerityError

DOCUMENT = ".json"
_MODE = 0o644


def document_of(target: Path) -> Path:
    """Where the document is, if ``target`` is what the gate is told."""
    return target.with_name(target.name + DOCUMENT)


def write(target: Path, fragment: bytes, envelope: bytes) -> None:
    """Write both as new files; neither if one of them can't be written."""
    document = document_of(target)
    write_new_file(document, envelope, mode=_MODE)
    try:
        write_new_file(target, fragment, mode=_MODE)
    except VerityError:
        document.unlink()
        raise
