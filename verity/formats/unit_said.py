# SPDX-License-Identifier: Apache-2.0
"""What a unit of systemd says that it runs, as whom, and where from, for people.

It knows no unit types, merges no drop-ins, and expands nothing.
"""

import re
from collections.abc import Mapping

from verity.formats import unit_file
from verity.formats.escaped import readable

MAX_SIZE = 1 << 20

_KEY = re.compile(
    rb"(?:Exec[A-Za-z]*|User|Group|What|Where|Unit|Service|ListenStream|ListenFIFO|RootDirectory"
    rb"|RootImage|BindPaths|EnvironmentFile|Environment|AmbientCapabilities)"
)
_HIDDEN = re.compile(rb"Environment")
"""Whose values may be secret: that they are there is said, and not what they are."""


def said(data: bytes) -> Mapping[str, str]:
    """``[Section] Key`` -> the values, in their order, each on a line of its own."""
    found: dict[str, list[str]] = {}
    for one in unit_file.parse(data, b""):
        if _KEY.fullmatch(one.key):
            text = "(not shown)" if _HIDDEN.fullmatch(one.key) else readable(one.value)
            name = readable(b"[" + one.section + b"] " + one.key)
            found.setdefault(name, []).append(text)
    return {name: "\n".join(values) for name, values in found.items()}
