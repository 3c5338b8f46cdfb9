# SPDX-License-Identifier: Apache-2.0
"""A file that several people change in turn: replaced only if it is still what was read.

Nothing is locked while its holder thinks: the lock is taken to compare and to replace, and is on
the very file that is compared, so that of two who read the same one comes through.
"""

import os
import stat
from pathlib import Path

from verity.ports.osfile import closing, lock, replace_file, translate_oserror
from verity.values.errors import HostError


def exchange(path: Path, new: bytes, *, expected: bytes) -> None:
    """Replace a file that holds ``expected``, durably; HostError ``changed-meanwhile`` if not.

    1. Lock the file that has the name.
    2. It still has the name, and still holds what was read.
    3. Replace it, with its mode.
    """
    try:
        # 1. Lock.
        with closing(os.open(path, os.O_RDONLY | os.O_CLOEXEC)) as fd:
            lock(fd, label=str(path))
            # 2. Compare.
            opened, named = os.fstat(fd), os.stat(path)
            with open(fd, "rb", closefd=False) as file:
                found = file.read(len(expected) + 1)
            if (opened.st_dev, opened.st_ino) != (named.st_dev, named.st_ino) or found != expected:
                raise HostError(
                    "changed-meanwhile",
                    f"{path}: it was changed by somebody else since it was read; nothing was"
                    " written",
                    hint="run it again: it starts from what is there now",
                )
            # 3. Replace.
            replace_file(path, new, mode=stat.S_IMODE(opened.st_mode))
    except OSError as error:
        raise translate_oserror(error, str(path)) from error
