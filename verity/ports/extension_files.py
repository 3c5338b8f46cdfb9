# SPDX-License-Identifier: Apache-2.0
"""The files of a signed extension: a directory with three of them (docs/formats.md section 13).

Nothing is verified here.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle, dump
from verity.formats.records import Fragment
from verity.formats.statement import MAX_ENVELOPE
from verity.ports import places
from verity.ports.osfile import check_below, read_file, translate_oserror

STATEMENT, MANIFEST, GRANTS = "statement.json", "manifest", "grants"


@dataclass(frozen=True, kw_only=True)
class Files:
    """What they hold; the grants with their signatures."""

    envelope: bytes
    manifest: bytes
    fragment: Fragment


def read(folder: Path) -> Files:
    """The three files. Raises HostError, ContentError for grants that are none."""
    path = folder / GRANTS
    return Files(
        envelope=read_file(folder / STATEMENT, max_size=MAX_ENVELOPE),
        manifest=read_file(folder / MANIFEST, max_size=dump.MAX_SIZE),
        fragment=bundle.parse_fragment(read_file(path, max_size=bundle.MAX_SIZE), label=str(path)),
    )


def kept(root: Path) -> tuple[str, ...]:
    """The names of the directories that a host keeps. Raises HostError."""
    check_below(root, places.EXTENSIONS)
    try:
        names = os.listdir(root / places.EXTENSIONS)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise translate_oserror(error, str(root / places.EXTENSIONS)) from error
    return tuple(sorted(name for name in names if not name.startswith(".")))
