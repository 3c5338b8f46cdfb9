# SPDX-License-Identifier: Apache-2.0
"""What was acknowledged, on disk: one file in a directory of its own, replaced as a
whole and durable.

Readable by root alone: who may log in, and digests by which a password's change is seen, are in it.
Nothing here verifies it.
"""

from pathlib import Path

from verity.formats import acknowledged
from verity.formats.acknowledged import Stored
from verity.ports import places
from verity.ports.folder import Folder
from verity.ports.osfile import lock
from verity.values.errors import ContentError, HostError

_MODE = 0o600


def read(root: Path) -> Stored | None:
    """What is there; None before the first. Raises HostError, ContentError (``bad-document``)."""
    path = places.ACKNOWLEDGED
    try:
        with Folder.opened(root, path.parent) as folder:
            data = folder.read(path.name, max_size=acknowledged.MAX_SIZE)
    except HostError as error:
        if error.code == "not-found":
            return None
        raise
    try:
        return acknowledged.parse(data)
    except ContentError as error:
        raise ContentError(
            error.code,
            f"{root / path}: {error.message}",
            hint="look at what is there, and acknowledge it anew: `verity acknowledge`",
        ) from error


def write(root: Path, data: bytes) -> None:
    """Old or new, never between; what a killed run left goes."""
    path = places.ACKNOWLEDGED
    with Folder.opened(root, path.parent, create=0o700) as folder:
        lock(folder.fd, label=str(folder.label))
        folder.remove_temporary()
        folder.replace(path.name, data, mode=_MODE)
