# SPDX-License-Identifier: Apache-2.0
"""The program's own files: the package with its C extension, and the interpreter that runs it.

Told as they lie on this machine, with the digest that the kernel or a hash gives. Whether they are
signed is not known here. What the interpreter has loaded besides (its standard library, shared
libraries, other packages) is not looked at.
"""

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import verity
from verity.ports import tree
from verity.ports.hashing import Files
from verity.ports.many import Place, measure_files
from verity.ports.osfile import closing, translate_oserror
from verity.values.digest import CANONICAL

_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_COMPILED = "/__pycache__/"
_JOBS = 8


@dataclass(frozen=True, kw_only=True)
class ToolFile:
    """One file: its fs-verity digest (32 bytes), and whether that is the kernel's word.

    Of what Python keeps compiled only the kernel is asked: without its word ``digest`` is empty. A
    hash would tell of nothing, for these files belong to no version.
    """

    path: str
    digest: bytes
    by_kernel: bool


def files() -> tuple[ToolFile, ...]:
    """All of them, sorted by path. Raises HostError for one that can't be read."""
    top = _top()
    names = {os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names}
    # Where the package is built in place the extension lies elsewhere.
    extension = sys.modules.get("verity._kernel")
    others = {path for path in (getattr(extension, "__file__", None), sys.executable) if path}
    paths = sorted(names | {os.path.realpath(path) for path in others})
    found = dict(zip(paths, measure_files(list(map(Place.of_path, paths))), strict=True))
    hashed = _hashed([path for path, kernel in found.items() if not kernel and not _cached(path)])
    hashed |= dict.fromkeys(filter(_cached, paths), b"")
    return tuple(
        ToolFile(path=path, digest=kernel.value, by_kernel=True)
        if kernel
        else ToolFile(path=path, digest=hashed[path], by_kernel=False)
        if path in hashed
        else _read(path)
        for path, kernel in found.items()
    )


def digest(found: tuple[ToolFile, ...]) -> str:
    """SHA-256 (hex) over the sorted lines ``digest name`` of the package's files; names are below
    the package, so that the same program has the same digest wherever it lies."""
    top = _top() + "/"
    lines = sorted(
        f"{one.digest.hex()} {one.path.removeprefix(top)}\n"
        for one in found
        if one.path.startswith(top) and not _cached(one.path)
    )
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _top() -> str:
    return os.path.realpath(Path(verity.__file__).parent)


def _cached(path: str) -> bool:
    return _COMPILED in path


def _hashed(paths: Sequence[str]) -> dict[str, bytes]:
    """The digest of each file that could be hashed with the others."""
    names = b"".join(os.fsencode(path) + b"\0" for path in paths)
    work = Files(names, len(paths), CANONICAL, jobs=min(len(os.sched_getaffinity(0)), _JOBS))
    work.wait()
    return {
        path: bytes(work.digests[32 * at : 32 * at + 32])
        for at, path in enumerate(paths)
        if work.done[at]
    }


def _read(path: str) -> ToolFile:
    """One by itself: a link, or what the calls for many files don't take."""
    path = os.path.realpath(path)
    try:
        with closing(os.open(path, _OPEN)) as fd:
            found = tree.measured(fd, os.fsencode(path))
    except OSError as error:
        raise translate_oserror(error, path) from error
    return ToolFile(path=path, digest=found.digest, by_kernel=found.by_kernel)
