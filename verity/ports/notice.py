# SPDX-License-Identifier: Apache-2.0
"""What who logs in reads while a host is unlocked: a file for pam_motd, in /run.

It says until when; nobody rewrites it meanwhile, and it is gone with the boot.
"""

import contextlib
import os
from pathlib import Path

from verity.ports.folder import Folder
from verity.ports.osfile import translate_oserror

PLACE = Path("run/motd.d/verity-unlock")


def write(root: Path, text: str) -> None:
    """Put it there, or with no text take it away. HostError if that can't be."""
    with Folder.opened(root, PLACE.parent, create=0o755) as folder:
        if text:
            folder.replace(PLACE.name, text.encode(), mode=0o644)
            return
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(PLACE.name, dir_fd=folder.fd)
        except OSError as error:
            raise translate_oserror(error, str(root / PLACE)) from error
