# SPDX-License-Identifier: Apache-2.0
"""The demo tells the truth: it passes on a real Debian, and fails where a link is broken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daily import in_turn
from tests.vm import Image
from tests.vm.test_chain import small_tree


def demo(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo", *arguments],
        capture_output=True,
        timeout=900,
        env=dict(os.environ),
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@in_turn(0, one_in=3)
def test_on_a_real_debian(vm_image: Image) -> None:
    status, out, errors = demo()
    assert status == 0, out[-3000:] + errors
    assert "demo: every line as claimed" in out


# Step, what names the link, and the check. In the first half the link is in verity's own finding.
BREAKS = {
    "key": ("Verify the commit", "link of the chain: signature", "bad-signature"),
    "manifest": ("Verify the commit", "link of the chain: manifest", "wrong-manifest"),
    "object": ("Verify the commit", "link of the chain: object", "damaged-object"),
    "verity": ("The kernel's digests", "link of the chain: object", "no-verity"),
}
# The boot goes on, unsealed: none of these needs a commit that the host can boot from. In
# `make full`, because each boots for real; the loader's refusals have tests of their own.
GATE_BREAKS = {
    "grants": ("Boot with the gate", "broken link: grants", "3032 threshold"),
    "pin": ("Boot with the gate", "broken link: pin or keys", "3032 threshold"),
    "policy": ("Boot with the gate", "broken link: policy", "mode observe"),
}


@pytest.mark.parametrize(
    "broken",
    [
        "key",
        "verity",
        *(
            pytest.param(name, marks=pytest.mark.full)
            for name in BREAKS | GATE_BREAKS
            if name not in ("key", "verity")
        ),
    ],
)
def test_a_broken_link_is_named(vm_image: Image, tmp_path: Path, broken: str) -> None:
    step, link, check = (BREAKS | GATE_BREAKS)[broken]
    tree = small_tree(tmp_path / "tree")
    # Stock fsverity's lines hold names as they are, and the demo reads them by line.
    (tree / "etc/name with\nnewline").unlink()
    status, out, errors = demo("--break", broken, "--tree", str(tree))
    assert status == 1, out + errors
    assert f"({step})" in errors
    assert link in errors
    assert check in errors
    assert "every line as claimed" not in out


@pytest.mark.full
@pytest.mark.parametrize("broken", BREAKS | GATE_BREAKS)
def test_a_broken_link_is_named_on_a_real_debian(vm_image: Image, broken: str) -> None:
    status, _, errors = demo("--break", broken)
    assert status == 1
    assert (BREAKS | GATE_BREAKS)[broken][1] in errors
