# SPDX-License-Identifier: Apache-2.0
"""Which files ``verity enable`` is about: those that the caller names, or all below a directory.

It lists; it opens no file and turns nothing on.
"""

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from verity.formats import dump
from verity.formats.dump import printable
from verity.ports import content, many
from verity.ports.regular import Below, Found
from verity.values.digest import Digest, HashAlgorithm
from verity.values.errors import CallerError, ContentError, HostError, VerityError
from verity.verbs.enable import Target


@dataclass(frozen=True)
class Listed:
    """The targets, what could not be listed (label and why), and what was skipped, by kind."""

    targets: list[Target] = field(default_factory=list)
    errors: list[tuple[str, VerityError]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def expected_by(manifest: bytes) -> Mapping[bytes, Digest]:
    """The digest of each regular file, by its path in the manifest (``bad-manifest``)."""
    return {
        entry.path: Digest(HashAlgorithm.SHA256, entry.digest)
        for entry in dump.parse(manifest)
        if entry.digest is not None
    }


@contextlib.contextmanager
def listed(
    paths: Sequence[str], *, recursive: bool, expected: Mapping[bytes, Digest] | None = None
) -> Iterator[Listed]:
    """The targets of these paths, which can be opened while inside.

    ``recursive``: a directory stands for all regular files below it, on its file system. With
    ``expected``, which is about one such directory, a file that isn't in it and one that it alone
    names are errors.
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
                _walk(below, found, expected)
                if expected is not None:
                    _missing(path, found, expected)
        yield found


def _walk(below: Below, found: Listed, expected: Mapping[bytes, Digest] | None) -> None:
    for item in below.walk():
        if not isinstance(item, Found):
            found.errors.append((item.label, item.error))
            continue
        digest = None
        if expected is not None:
            digest = expected.get(b"/" + os.fsencode(item.place.name))
            if digest is None:
                found.errors.append((item.label, _unknown(item.label)))
                continue
        found.targets.append(
            Target(
                label=item.label,
                open=partial(content.open_regular_below, item.place, label=item.label),
                expected=digest,
                place=item.place,
                size=item.size,
            )
        )
    found.skipped.update(below.skipped)


def _missing(root: str, found: Listed, expected: Mapping[bytes, Digest]) -> None:
    """What the manifest names and nobody found; a further name of a file is there all the same."""
    there = {target.label for target in found.targets}
    for path in expected:
        label = f"{root.rstrip('/')}{os.fsdecode(path)}"
        if label not in there and not os.path.lexists(label):
            shown = printable(os.fsencode(label))
            error = HostError("not-found", f"{shown}: the manifest names it, it isn't there")
            found.errors.append((label, error))


def _unknown(label: str) -> ContentError:
    return ContentError(
        "not-in-manifest",
        f"{printable(os.fsencode(label))}: not a file of the manifest, so left as it is",
        hint="remove it, or make a manifest that has it: `verity manifest make`",
    )


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
