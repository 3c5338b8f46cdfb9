# SPDX-License-Identifier: Apache-2.0
"""Which files ``verity enable`` is about: those that the caller names, or all below a directory.

It lists; it opens no file and turns nothing on.
"""

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from verity.ports import content, many
from verity.ports.regular import Below, Found
from verity.values.errors import CallerError, VerityError
from verity.verbs.enable import Target


@dataclass(frozen=True)
class Listed:
    """The targets, what could not be listed (label and why), and what was skipped, by kind."""

    targets: list[Target] = field(default_factory=list)
    errors: list[tuple[str, VerityError]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


@contextlib.contextmanager
def listed(paths: Sequence[str], *, recursive: bool) -> Iterator[Listed]:
    """The targets of these paths, which can be opened while inside.

    ``recursive``: a directory stands for all regular files below it, on its file system.
    """
    found = Listed()
    seen: set[tuple[int, int]] = set()
    with contextlib.ExitStack() as roots:
        for path in paths:
            if not _is_directory(path):
                opener = partial(content.open_regular, path)
                place = many.Place.of_path(path)
                found.targets.append(Target(label=path, open=opener, place=place))
            elif not recursive:
                found.errors.append((path, _directory(path)))
            else:
                try:
                    below = Below(path, seen)
                except VerityError as error:
                    found.errors.append((path, error))
                    continue
                roots.callback(below.close)
                _walk(below, found)
        yield found


def _walk(below: Below, found: Listed) -> None:
    for item in below.walk():
        if isinstance(item, Found):
            opener = partial(content.open_regular_below, item.place, label=item.label)
            found.targets.append(
                Target(label=item.label, open=opener, place=item.place, size=item.size)
            )
        else:
            found.errors.append((item.label, item.error))
    found.skipped.update(below.skipped)


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False  # opening it says what is wrong


def _directory(path: str) -> CallerError:
    return CallerError(
        "is-a-directory",
        f"{path} is a directory, expected a regular file",
        hint="`verity enable -r` takes all files below it",
    )
