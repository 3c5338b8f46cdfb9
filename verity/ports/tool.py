# SPDX-License-Identifier: Apache-2.0
"""The program's own files: the package with its C extension, and the interpreter that runs it.

Told as they lie on this machine, with the digest that the kernel or a hash gives. Whether they are
signed is not known here. What the interpreter has loaded besides (its standard library, shared
libraries, other packages) is not looked at.
"""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import verity
from verity.ports import tree
from verity.ports.osfile import closing, translate_oserror

_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


@dataclass(frozen=True, kw_only=True)
class ToolFile:
    """One file: its fs-verity digest (32 bytes), and whether that is the kernel's word."""

    path: str
    digest: bytes
    by_kernel: bool


def files() -> tuple[ToolFile, ...]:
    """All of them, sorted by path. Raises HostError for one that can't be read."""
    package = Path(verity.__file__).parent
    found = {os.path.join(folder, name) for folder, _, names in os.walk(package) for name in names}
    # Where the package is built in place the extension lies elsewhere.
    extension = sys.modules.get("verity._kernel")
    found |= {path for path in (getattr(extension, "__file__", None), sys.executable) if path}
    return tuple(_read(os.path.realpath(path)) for path in sorted(found))


def digest(found: tuple[ToolFile, ...]) -> str:
    """SHA-256 (hex) over the sorted lines ``digest name`` of the package's files; names are below
    the package, so that the same program has the same digest wherever it lies."""
    top = os.path.realpath(Path(verity.__file__).parent) + "/"
    lines = sorted(
        f"{one.digest.hex()} {one.path.removeprefix(top)}\n"
        for one in found
        if one.path.startswith(top) and "/__pycache__/" not in one.path
    )
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _read(path: str) -> ToolFile:
    try:
        with closing(os.open(path, _OPEN)) as fd:
            found = tree.measured(fd, os.fsencode(path))
    except OSError as error:
        raise translate_oserror(error, path) from error
    return ToolFile(path=path, digest=found.digest, by_kernel=found.by_kernel)
