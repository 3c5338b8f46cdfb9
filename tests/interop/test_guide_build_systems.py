# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/guide-build-systems.md, run as they stand there, with SoftHSM."""

import os
import re
import subprocess
from pathlib import Path

from tests.hsm import CONFIG, MODULE

GUIDE = Path("docs/guide-build-systems.md")
SECRETS = {
    "ann.pass": "correct horse of ann",
    "bob.pass": "correct horse of bob",
    "build.pin": "73914826",
    "so.pin": "55555555",
}


def test_the_guide_runs_from_ceremony_to_compromise(tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 12
    for name, secret in SECRETS.items():
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(f"{secret}\n")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(CONFIG.format(path=tmp_path))
    tree = tmp_path / "tree/usr/bin"
    tree.mkdir(parents=True)
    (tree / "tool").write_text("#!/bin/sh\necho tool\n")
    (tree / "tool").chmod(0o755)
    bin_folder = Path("build/venv/bin").absolute()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "MODULE": MODULE,
            "SOFTHSM2_CONF": str(tmp_path / "softhsm2.conf"),
        },
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    assert "refused: 1\n" in done.stdout
    assert done.stdout.count("good: debian/trixie is as signed") == 4
    assert re.search(r"it names the key '[0-9a-f]{64}' \(revoked\)", said)
    for secret in SECRETS.values():
        assert secret not in said
