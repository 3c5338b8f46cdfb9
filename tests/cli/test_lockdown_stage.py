# SPDX-License-Identifier: Apache-2.0
"""verity lockdown stage: what it refuses, and in which words; nothing is left behind then."""

import os
from pathlib import Path

import pytest

from tests.cli.forge import BUNDLE, run
from tests.cli.program import assert_clean_error, verity


@pytest.fixture
def host(forged: Path) -> Path:
    """A boot bundle, out, a directory boot with a kernel, and a host."""
    run(forged, *BUNDLE, "--root", "host", "out")
    (forged / "boot").mkdir()
    (forged / "boot/vmlinuz-2").write_text("a kernel")
    (forged / "host").mkdir(exist_ok=True)
    return forged


@pytest.mark.parametrize(
    ("arguments", "status", "said", "hint"),
    [
        (
            ("--bundle", "out", "--boot", "boot"),
            1,
            "boot/vmlinuz-2: the bundle's grants put no such file at /boot/vmlinuz-2",
            "sign it for this path",
        ),
        (("--bundle", "missing"), 3, "missing", "check the path"),
        (("--bundle", "host.policy"), 1, "host.policy: it grants nothing", "lockdown bundle"),
        (("--bundle", "boot/vmlinuz-2"), 1, "boot/vmlinuz-2: bundle: ", "verity lockdown bundle"),
        (("--bundle", "out", "--boot", "tree/missing"), 2, "0 files, expected 1 to 64", "kernel"),
    ],
)
def test_refused(host: Path, arguments: tuple[str, ...], status: int, said: str, hint: str) -> None:
    done = verity("lockdown", "stage", "--root", "host", *arguments, cwd=host)
    assert done.status == status
    assert_clean_error(done, [said], hint=bool(hint))
    assert hint in done.err
    assert not os.path.lexists(host / "host/var/lib/verity/next")


def test_a_bundle_alone_waits_until_it_is_replaced(host: Path) -> None:
    stage = ("lockdown", "stage", "--root", "host", "--bundle", "out")
    done = verity(*stage, cwd=host)
    assert (done.status, done.err) == (0, "")
    staged = host / "host/var/lib/verity/next/boot.bundle"
    assert staged.read_bytes() == (host / "out").read_bytes()
    assert (
        done.out == f"bundle of {staged.stat().st_size} bytes: the next boot puts it into place\n"
    )
    again = verity(*stage, cwd=host)
    assert again.status == 2
    assert_clean_error(again, ["an update waits there already"], hint=True)
    assert verity(*stage, "--replace", "--json", cwd=host).of_type("bundle") == [
        {"v": 1, "type": "bundle", "bytes": staged.stat().st_size}
    ]
    assert [path.name for path in staged.parent.parent.iterdir()] == ["next"]


def test_what_is_left_of_older_stages_goes(host: Path) -> None:
    """Each has a kernel and an initramfs, and none else takes them away."""
    state = host / "host/var/lib/verity"
    for name in ("applied", "applied.1", "refused", "refused.12", "applied.x", "previous.1"):
        (state / name / "boot").mkdir(parents=True)
        (state / name / "boot/vmlinuz-1").touch()
    (host / "elsewhere").mkdir()
    (state / "refused.3").symlink_to(host / "elsewhere")
    done = verity("lockdown", "stage", "--root", "host", "--bundle", "out", cwd=host)
    assert done.status == 0
    left = {path.name for path in state.iterdir()}
    assert left == {"applied", "refused", "applied.x", "previous.1", "refused.3", "next"}
    assert (host / "elsewhere").exists()
