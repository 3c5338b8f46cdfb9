# SPDX-License-Identifier: Apache-2.0
"""Runs in the machine: the areas running and posture, with the grants beside it, as JSON.

    running_audit.py FOLDER [--also=FLAG=FILE | --without=FILE]...

FOLDER holds grants blobs, NAME.grants; whose signatures hold is the test's word. `--also` grants
the file's digest a flag that its own grants don't have, `--without` takes all away from it.
"""

import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "usr/lib/python3/dist-packages"))

from verity.formats import grants
from verity.formats.grants import Code, CodeEntry
from verity.ports.content import digest_path
from verity.verbs import audit_posture, audit_running
from verity.verbs.audit_host import AuditedHost


def main() -> None:
    """One line: for each area its result and the seconds that it took."""
    folder, *options = sys.argv[1:]
    held = [grants.parse(path.read_bytes()) for path in sorted(Path(folder).glob("*.grants"))]
    for option in options:
        kind, _, named = option.partition("=")
        flag, _, path = named.rpartition("=")
        digest = digest_path(Path(path)).value
        if kind == "--also":
            added = CodeEntry(digest, Code[flag.upper()])
            held.append(replace(held[0], code=(added,), elevate=()))
        else:
            held = [
                replace(one, code=tuple(code for code in one.code if code.digest != digest))
                for one in held
            ]
    host = AuditedHost(root=Path("/"), live=True, now=0, clock=0, grants=tuple(held))
    said = {}
    for name, area in (("running", audit_running), ("posture", audit_posture)):
        begun = time.monotonic()
        result = area.examine(host)
        said[name] = {
            "findings": [asdict(one) | {"path": None} for one in result.findings],
            "gaps": [asdict(one) | {"path": None} for one in result.not_evaluated],
            "not_applicable": dict(result.not_applicable),
            "counts": dict(result.counts),
            "coverage": dict(result.coverage),
            "seconds": time.monotonic() - begun,
        }
    sys.stdout.write(json.dumps(said))


main()
