# SPDX-License-Identifier: Apache-2.0
"""lockdown import: carry the signed blobs of a file to the gate that runs.

It carries bytes. What is signed by whom, and whether that is enough, is decided by the gate and by
nothing here; its refusal ends the file, because what follows in it may rest on what was refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verity.formats import records
from verity.ports import bpf
from verity.ports.osfile import read_file


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A blob that the gate has taken: its place in the file, kind, size in bytes, signatures."""

    number: int
    kind: str
    size: int
    signatures: int


def import_file(path: Path) -> Iterator[Imported]:
    """Hand over each blob in order; what was yielded is in force. Stops with the first error."""
    label = str(path)
    found = records.split(read_file(path, max_size=records.MAX_SIZE), label=label)
    for number, record in enumerate(found, 1):
        kind = record.kind.name.lower()
        bpf.import_blob(record.blob, record.signatures, label=f"{label}: blob {number} ({kind})")
        yield Imported(
            number=number, kind=kind, size=len(record.blob), signatures=len(record.signatures)
        )
