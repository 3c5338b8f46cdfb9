# SPDX-License-Identifier: Apache-2.0
"""The area files where there is a million of something: it is counted, and takes bounded memory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MILLION = 1_000_000
_SIGNED = 3

_AUDIT = """
import json, resource, sys
from pathlib import Path
from tests.world import JUST_VENDOR, World
from verity.formats.fsverity import digest_bytes
from verity.ports import signed_tree
from verity.trust.verified import verify_manifest, verify_statement
from verity.verbs import audit_files

class Large(World):
    @property
    def manifest(self):
        digest = digest_bytes(b"").value.hex()
        lines = [b"/ 0 40755 1 0 0 0 0.0 - - -\\n"]
        for number in range(int(sys.argv[2])):
            lines.append(b"/%07d 0 100644 1 0 0 0 0.0 - - %b\\n" % (number, digest.encode()))
        return b"".join(lines)

world = Large(entries=())
statement = verify_statement([world.envelope], JUST_VENDOR)
signed = verify_manifest(world.manifest, statement, canonical=signed_tree.is_canonical)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
state = [one.encode() for one in sys.argv[3:]]
found = audit_files.compare(Path(sys.argv[1]), signed, audit_files.How(state=state))
checks = {}
for one in found.findings:
    checks[one.check] = checks.get(one.check, 0) + 1
print(json.dumps({
    "findings": checks,
    "last": found.findings[-1].problem,
    "gaps": len(found.gaps),
    "passed": found.passed,
    "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024,
}))
"""


def audited(root: Path, lines: int, *state: str) -> dict[str, Any]:
    """What an audit finds, and the MB that it took; of a process of its own."""
    argv = [sys.executable, "-c", _AUDIT, str(root), str(lines), *state]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with a few files that are signed."""
    (tmp_path / "root").mkdir(mode=0o755)
    for number in range(_SIGNED):
        (tmp_path / f"root/{number:07}").touch()
        (tmp_path / f"root/{number:07}").chmod(0o644)
    return tmp_path / "root"


@pytest.mark.full
def test_a_manifest_of_a_million_entries(root: Path) -> None:
    found = audited(root, MILLION)
    assert found["findings"] == {"missing": 10_001, "no-verity": _SIGNED}
    assert (found["gaps"], found["memory"] < 150) == (0, True), found


@pytest.mark.full
def test_a_directory_of_a_million_entries(root: Path) -> None:
    """None of them is signed: 10,000 are named, the others counted. In a directory of state all are
    only counted."""
    (root / "many").mkdir()
    here = os.open(root / "many", os.O_PATH)
    for number in range(MILLION):
        os.mknod(f"{number}\n\x1b[31m", dir_fd=here)
    os.close(here)
    found = audited(root, _SIGNED)
    assert found["findings"] == {"unsigned-file": 10_001, "no-verity": _SIGNED}
    assert found["last"].startswith(f"{MILLION + 1 - 10_000} further paths"), found
    assert (found["gaps"], found["memory"] < 150) == (0, True), found
    found = audited(root, _SIGNED, "/many")
    assert found["passed"] == MILLION
    assert (found["findings"]["no-verity"], found["memory"] < 150) == (_SIGNED, True), found
