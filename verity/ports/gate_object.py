# SPDX-License-Identifier: Apache-2.0
"""Where the gate's BPF object and its loader are in this installation, or why they are not.

It looks for files and reads one line; it does not load, run, check or build anything.
"""

from dataclasses import dataclass
from pathlib import Path

import verity

_OBJECT = "gate.bpf.o"
_LOADER = "verity-load"
# Written by cffi-build/CMakeLists.txt instead of what it could not build: the reason.
_REASON = "gate.bpf.missing"
_LOADER_REASON = "verity-load.missing"
_MAX_REASON = 4096


@dataclass(frozen=True)
class GateObject:
    """The object is here."""

    path: Path


@dataclass(frozen=True)
class GateLoader:
    """The loader is here."""

    path: Path


@dataclass(frozen=True, kw_only=True)
class Missing:
    """It is not here, for this reason; everything but the gate works."""

    reason: str
    hint: str


def find(folders: list[Path] | None = None) -> GateObject | Missing:
    """Look for the object in the ``_gate`` folder of every place that the package is made of.

    An editable install is made of two: the source folder and what was built.
    """
    found = _find(
        _OBJECT, _REASON, "install clang and libbpf-dev, then install this package again", folders
    )
    return GateObject(found) if isinstance(found, Path) else found


def find_loader(folders: list[Path] | None = None) -> GateLoader | Missing:
    """Likewise the program that loads the object."""
    found = _find(
        _LOADER,
        _LOADER_REASON,
        "install libbpf-dev, libelf-dev and zlib1g-dev, then install this package again",
        folders,
    )
    return GateLoader(found) if isinstance(found, Path) else found


def _find(name: str, reason_name: str, hint: str, folders: list[Path] | None) -> Path | Missing:
    places = (
        folders if folders is not None else [Path(place) / "_gate" for place in verity.__path__]
    )
    for place in places:
        if (place / name).is_file():
            return place / name
    for place in places:
        if (place / reason_name).is_file():
            with (place / reason_name).open("rb") as file:
                reason = file.read(_MAX_REASON).decode("utf-8", "replace")
            return Missing(reason=" ".join(reason.split()), hint=hint)
    searched = ", ".join(map(str, places)) or "no folder"
    return Missing(
        reason=f"there is no {name} in this installation (looked in {searched})",
        hint="install the package again; in a source checkout:"
        " pip install --no-build-isolation -e .",
    )
