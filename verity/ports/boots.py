# SPDX-License-Identifier: Apache-2.0
"""What the gate refused in the last boots, a small file for each: written by the reader of denials.

A file is the state of that reader (``formats.denial_state``) as the boot left it. Nobody signs it
and nothing is decided by it: the arming proof tells of it. The newest ``KEPT`` are kept.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from verity.formats import denial_state
from verity.formats.denial_state import State
from verity.ports.osfile import read_file, replace_file, translate_oserror
from verity.values.errors import VerityError

FOLDER = Path("var/lib/verity/boots")
KEPT = 16
_NAME = re.compile(r"[0-9a-f]{32}\.json")
_MODE = 0o644


def keep(folder: Path, state: State) -> None:
    """Write what this boot has refused so far, durably; the oldest beyond ``KEPT`` go."""
    name = f"{state.boot}.json"
    replace_file(folder / name, denial_state.encode(state, None), mode=_MODE)
    for old in newest(folder)[KEPT:]:
        try:
            os.unlink(old)
        except OSError as error:
            raise translate_oserror(error, str(old)) from error


def newest(folder: Path) -> list[Path]:
    """The files, the last one written first; none if there is no such folder."""
    try:
        with os.scandir(folder) as found:
            named = [one for one in found if _NAME.fullmatch(one.name)]
            times = {one.name: one.stat(follow_symlinks=False).st_mtime_ns for one in named}
    except FileNotFoundError:
        return []
    except OSError as error:
        raise translate_oserror(error, str(folder)) from error
    return [folder / name for name in sorted(times, key=lambda name: -times[name])]


def read(folder: Path, most: int) -> Iterator[tuple[Path, State | VerityError]]:
    """The last ``most`` boots, the last one first, or what is wrong with a file."""
    for path in newest(folder)[:most]:
        try:
            yield path, denial_state.parse(read_file(path, max_size=denial_state.MAX_SIZE))[0]
        except VerityError as error:
            yield path, error
