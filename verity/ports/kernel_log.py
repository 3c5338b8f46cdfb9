# SPDX-License-Identifier: Apache-2.0
"""The kernel's log, written to: what must be said where no disk takes it. Nothing is read."""

import os
from pathlib import Path

from verity.ports.osfile import closing, translate_oserror

PLACE = Path("dev/kmsg")
_MOST = 900  # of one record, below what the kernel cuts
_WARNING = b"<4>verity: "


def write(root: Path, text: bytes) -> None:
    """One line of it, as a warning. HostError if the kernel doesn't take it."""
    path = root / PLACE
    try:
        with closing(os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)) as fd:
            os.write(fd, _WARNING + text.replace(b"\n", b" ")[:_MOST] + b"\n")
    except OSError as error:
        raise translate_oserror(error, str(path)) from error
