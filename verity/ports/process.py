# SPDX-License-Identifier: Apache-2.0
"""When a process of this host began, on the clock that starts with the boot."""

import os
from pathlib import Path

from verity.ports.gate_files import small_text

_START = 19  # of the fields behind the name, which ends with the last parenthesis (proc(5))


def started_ms(root: Path, pid: int) -> int | None:
    """Milliseconds since boot, not above the true time; None if there is no such process."""
    text = small_text(root / f"proc/{pid}/stat")
    if text is None:
        return None
    fields = text.rpartition(")")[2].split()
    if len(fields) <= _START or not fields[_START].isdigit():
        return None
    return int(fields[_START]) * 1000 // os.sysconf("SC_CLK_TCK")
