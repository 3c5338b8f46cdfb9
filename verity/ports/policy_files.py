# SPDX-License-Identifier: Apache-2.0
"""Reading drop-ins: every ``*.toml`` of a directory, and those that come with the program.

A link to /dev/null is an empty drop-in, which masks one of the same name. A directory that isn't
there holds none; a drop-in that can't be read is an error, never one that is left out. What is in
them is read by ``verity.formats.etc_rules``.
"""

import os
from pathlib import Path

import verity
from verity.formats.etc_rules import MAX_SIZE, DropIn
from verity.ports.osfile import closing, translate_oserror
from verity.values.errors import HostError

_SUFFIX = ".toml"
_MASK = "/dev/null"


def read(directory: Path) -> list[DropIn]:
    """The drop-ins of a directory. Raises HostError for what can't be read."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(_SUFFIX))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise translate_oserror(error, str(directory)) from error
    return [_read(directory / name) for name in names]


def built_in() -> list[DropIn]:
    """The drop-ins of this installation.

    An editable one is made of two folders: the source and what was built.
    """
    for place in verity.__path__:
        found = read(Path(place) / "_rules")
        if found:
            return found
    raise HostError(
        "no-rules",
        "this installation has no default rules for /etc (verity/_rules)",
        hint="install the package again; in a source checkout:"
        " pip install --no-build-isolation -e .",
    )


def _read(path: Path) -> DropIn:
    try:
        if path.is_symlink() and os.readlink(path) == _MASK:
            return DropIn(name=path.name, origin=str(path), data=b"")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        with closing(os.open(path, flags)) as fd, open(fd, "rb", closefd=False) as file:
            data = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise translate_oserror(error, str(path)) from error
    return DropIn(name=path.name, origin=str(path), data=data)
