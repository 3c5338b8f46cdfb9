# SPDX-License-Identifier: Apache-2.0
"""An installation that is taken away, and cut on the way."""

import os
from pathlib import Path

import pytest

from verity.formats.host_record import Installation
from verity.ports.installation import Installed

STATE = "var/lib/verity"
BUNDLES = tuple(f"{STATE}/{name}boot.bundle" for name in ("next/", "confirmed/", ""))
MOST = 40


class CutError(Exception):
    """The power goes."""


def made(root: Path) -> Installed:
    """A host with an update that waits, one that is on trial, and one that was confirmed."""
    files = (*BUNDLES, f"{STATE}/tries", f"{STATE}/previous/boot.bundle", "etc/verity/host-id")
    for name in (*files, f"{STATE}/ledger", f"{STATE}/ledger.head", f"{STATE}/boots/1"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    found = Installation(
        self_vendor=True, complete=True, streams=("a", "b", "c"), files=(files[-1],), links=()
    )
    installed = Installed(root, found)
    installed.save()
    return installed


def comes_back(root: Path) -> bool:
    """Whether an initramfs would find a bundle, now or once its count of boots is at an end."""
    previous = (root / STATE / "previous/boot.bundle").exists()
    return any((root / name).exists() for name in BUNDLES) or (
        previous and (root / STATE / "tries").exists()
    )


@pytest.mark.parametrize("call", ["unlink", "rmdir", "fsync"])
def test_once_the_bundle_is_gone_no_boot_loads_a_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Cut before any call, it is whole or off; and the same again takes the rest away."""
    real = getattr(os, call)
    for number in range(MOST):
        root = tmp_path / str(number)
        installed, left = made(root), number

        def cut(*args: object, **more: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise CutError
            real(*args, **more)

        with monkeypatch.context() as patched:
            patched.setattr(os, call, cut)
            try:
                installed.take_away()
            except CutError:
                assert (root / BUNDLES[-1]).exists() or not comes_back(root)
                assert Installed.read(root) is not None or call == "fsync"
        again = Installed.read(root)
        if again is not None:
            again.take_away()
        assert {path.name for path in (root / STATE).iterdir()} == {"ledger", "ledger.head"}
        assert not (root / "etc/verity").exists()
        if left >= 0:
            return
    pytest.fail("it never comes to its end")
