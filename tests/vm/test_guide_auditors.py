# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/guide-auditors.md, one after the other, as a reader would type them."""

from __future__ import annotations

from pathlib import Path

from tests.daily import in_turn
from tests.quality.test_documents import typed

from .audited import OWN, audited, make_disk
from .image import Image

GUIDE = Path("docs/guide-auditors.md")


@in_turn(1, one_in=3)
def test_the_guide_runs(vm_image: Image, tmp_path: Path) -> None:
    commands = typed(GUIDE.read_text(), "verity")
    assert len(commands) >= 10
    with audited(vm_image, make_disk(vm_image, tmp_path)) as system:
        for command in commands:
            done = system.machine.run(command, cwd=OWN, check=False, timeout_s=120)
            assert done.status == 0, (command, done.stdout.decode(), done.stderr.decode())
        page = system.machine.run(["cat", "audit.html"], cwd=OWN).text
    assert page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>")
