# SPDX-License-Identifier: Apache-2.0
"""Where the gate's BPF object is in this installation, or why it is not there.

It looks for files and reads one line; it does not load, check or build the object.
"""

from dataclasses import dataclass
from pathlib import Path

import verity

_OBJECT = "gate.bpf.o"
_REASON = "gate.bpf.missing"  # written by cffi-build/CMakeLists.txt instead of the object
_HEADER = "verity.h"
_MAX_REASON = 4096


@dataclass(frozen=True)
class GateObject:
    """The object is here."""

    path: Path


@dataclass(frozen=True, kw_only=True)
class GateObjectMissing:
    """The object is not here, for this reason; everything but the gate works."""

    reason: str
    hint: str


def find(folders: list[Path] | None = None) -> GateObject | GateObjectMissing:
    """Look in the ``_gate`` folder of every place that the package is made of.

    An editable install is made of two: the source folder and what was built.
    """
    places = (
        folders if folders is not None else [Path(place) / "_gate" for place in verity.__path__]
    )
    for place in places:
        if (place / _OBJECT).is_file():
            return GateObject(place / _OBJECT)
    for place in places:
        if (place / _REASON).is_file():
            with (place / _REASON).open("rb") as file:
                reason = file.read(_MAX_REASON).decode("utf-8", "replace")
            return GateObjectMissing(
                reason=" ".join(reason.split()),
                hint="install clang and libbpf-dev, then install this package again",
            )
    searched = ", ".join(map(str, places)) or "no folder"
    return GateObjectMissing(
        reason=f"there is no {_OBJECT} in this installation (looked in {searched})",
        hint="install the package again; in a source checkout:"
        " pip install --no-build-isolation -e .",
    )
