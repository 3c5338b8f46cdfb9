# SPDX-License-Identifier: Apache-2.0
"""The reports of a hand-made audit with every state, as they are to be.

`python -m tests.goldens` writes tests/golden/ anew: look at the difference before you commit it.
"""

import io
from pathlib import Path

from tests.audit_samples import clean, everything
from verity.cli.audit_report import write
from verity.values.audit import Audit

FOLDER = Path("tests/golden")

# file: (the audit, the format, whether all is asked for)
FILES = {
    "audit.txt": (everything, "text", False),
    "audit-all.txt": (everything, "text", True),
    "clean.txt": (clean, "text", False),
    "audit.jsonl": (everything, "json", False),
    "audit.sarif": (everything, "sarif", False),
    "audit.xml": (everything, "junit", False),
    "audit.html": (everything, "html", False),
}


def report(audit: Audit, format: str, *, everything: bool = False) -> bytes:
    """A report as a file gets it."""
    stream = io.BytesIO()
    write(audit, format, stream, everything=everything)
    return stream.getvalue()


def made(name: str) -> bytes:
    """What a golden file must be."""
    audit, format, all_of_it = FILES[name]
    return report(audit(), format, everything=all_of_it)


if __name__ == "__main__":
    for name in FILES:
        (FOLDER / name).write_bytes(made(name))
