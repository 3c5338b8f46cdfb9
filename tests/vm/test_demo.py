# SPDX-License-Identifier: Apache-2.0
"""The demo tells the truth: it passes on a real Debian, and fails where a link is broken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_on_a_real_debian(vm_image: Image) -> None:
    status, out, errors = demo()
    assert status == 0, out[-3000:] + errors
    assert "demo: every line as claimed" in out


BREAKS = {
    "key": ("Verify the commit", "signature", "bad-signature"),
    "manifest": ("Verify the commit", "manifest", "wrong-manifest"),
    "object": ("Verify the commit", "object", "damaged-object"),
    "verity": ("The kernel's digests", "object", "no-verity"),
    # The boot goes on, unsealed: none of these needs a commit that the host can boot from.
    "grants": ("Boot with the gate", "grants", "3032 threshold"),
    "pin": ("Boot with the gate", "pin or keys", "3032 threshold"),
    "policy": ("Boot with the gate", "policy", "mode observe"),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_link_is_named(vm_image: Image, tmp_path: Path, broken: str) -> None:
    step, link, check = BREAKS[broken]
    status, out, errors = demo("--break", broken, "--tree", str(small_tree(tmp_path / "tree")))
    assert status == 1, out + errors
    assert f"({step})" in errors
    assert f"link of the chain: {link}" in errors
    assert check in errors
    assert "every line as claimed" not in out


@pytest.mark.full
@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_link_is_named_on_a_real_debian(vm_image: Image, broken: str) -> None:
    status, _, errors = demo("--break", broken)
    assert status == 1
    assert f"link of the chain: {BREAKS[broken][1]}" in errors
