# SPDX-License-Identifier: Apache-2.0
"""Unit files of systemd: bytes -> the lines that say what is run, as whom, and where from.

Continued lines are joined, comments passed by, as systemd.syntax(7) has it. It knows no unit types,
merges no drop-ins, and expands nothing.
"""

import re
from collections.abc import Mapping

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
    section = b""
    for line in _joined(data):
        if line.startswith(b"["):
            section = line
            continue
        key, equals, value = line.partition(b"=")
        key = key.strip()
        if equals and _KEY.fullmatch(key):
            text = "(not shown)" if _HIDDEN.fullmatch(key) else readable(value.strip())
            found.setdefault(readable(section + b" " + key), []).append(text)
    return {name: "\n".join(values) for name, values in found.items()}


def _joined(data: bytes) -> list[bytes]:
    lines: list[bytes] = []
    open_line = b""
    for raw in data.split(b"\n"):
        line = raw.strip()
        if line.startswith((b"#", b";")):
            continue  # also in the middle of a continued line
        if line.endswith(b"\\"):
            open_line += line[:-1] + b" "
            continue
        lines.append(open_line + line)
        open_line = b""
    if open_line:
        lines.append(open_line)
    return [line for line in lines if line]
