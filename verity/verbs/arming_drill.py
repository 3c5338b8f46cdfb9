# SPDX-License-Identifier: Apache-2.0
"""Whether an unlock was ever practised on a host: by the gate that runs, or by the ledger's text.

A hint and no proof: nobody is kept from sealing without it. It only looks for the word, so that a
ledger of another version counts, too.
"""

from pathlib import Path

from verity.ports import gate_files, places
from verity.ports.osfile import read_file
from verity.values.errors import HostError

_MOST = 16 << 20


def practised(root: Path) -> bool:
    """Whether anything says so."""
    try:
        status = gate_files.read_status(root)
    except HostError:
        status = None
    if status is not None and b"\ndrill " in status:
        return True
    try:
        return b"drill" in read_file(root / places.LEDGER, max_size=_MOST)
    except HostError:
        return False
