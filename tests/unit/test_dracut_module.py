# SPDX-License-Identifier: Apache-2.0
"""policy/initramfs/99verity, with dracut's functions and verity's programs played.

That a host boots by it is seen in machines (tests/vm/test_boot.py, test_boot_trial.py).
"""

import shutil
import subprocess
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[2] / "policy/initramfs/99verity"
_DRACUT = """
dfatal() { echo "fatal: $*"; }
inst_multiple() { echo "inst_multiple $*"; [ -z "$missing" ]; }
inst_hook() { echo "inst_hook $*"; }
moddir=/module initdir=/initdir do_strip=yes
"""
_PIVOT = """
NEWROOT=/root
getarg() { echo /sbin/init; }
emergency_shell() { echo "shell, $(cat etc/cmdline.d/*)"; SHELL; }
"""


def play(folder: Path, shell: str, script: str, **tools: str) -> list[str]:
    """What a script said, with verity's programs in a directory of its own."""
    (folder / "own").mkdir()
    for name, body in tools.items():
        path = folder / "own" / f"verity-{name}"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    script = script.replace("/usr/lib/verity", f"{folder}/own").replace("/etc/cmd", "etc/cmd")
    done = subprocess.run(
        [shell, "-c", script], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    return [*done.stdout.splitlines(), f"status {done.returncode}"]


@pytest.mark.parametrize(
    ("fills", "missing", "made"), [("", "", True), ("exit 1", "", False), ("", "umount", False)]
)
def test_an_initramfs_that_would_not_load_the_gate_is_not_made(
    tmp_path: Path, fills: str, missing: str, made: bool
) -> None:
    """dracut goes on when install() only returns."""
    module = (MODULE / "module-setup.sh").read_text()
    script = f"{_DRACUT}missing={missing}\n{module}\ninstall || :\necho made, strip $do_strip"
    said = play(tmp_path, "bash", script, initramfs=fills)
    if made:
        assert said[-3:] == [
            "inst_hook pre-pivot 99 /module/verity-pivot.sh",
            "made, strip no",
            "status 0",
        ]
    else:
        assert said[-1] == "status 1" and said[-2].startswith("fatal: verity: ")


@pytest.mark.parametrize(("cp", "status"), [("", 0), ("cp() { false; }", 1)])
def test_an_initramfs_that_nobody_may_write_is_replaced(
    tmp_path: Path, cp: str, status: int
) -> None:
    """dracut would delete it. Here it is a program that runs; with fs-verity in test_dracut.py."""
    old = tmp_path / "boot/initrd.img-6"
    old.parent.mkdir()
    shutil.copy("/bin/sleep", old)
    module = (MODULE / "module-setup.sh").read_text()
    script = f"{_DRACUT}{cp}\noutfile={old}\n{module}\ncheck; : >>{old} && echo writable"
    with subprocess.Popen([old, "60"]) as running:
        said = play(tmp_path, "bash", script)
        running.kill()
    assert said[-1] == f"status {status}"
    assert ("writable" in said) == (status == 0)
    assert old.read_bytes() == Path("/bin/sleep").read_bytes()
    assert [path.name for path in old.parent.iterdir()] == [old.name]


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("ends", [":", "exit 1"])
def test_the_root_is_entered_only_when_it_may_be(tmp_path: Path, shell: str, ends: str) -> None:
    """Also when dracut's shell ends the script that called it: behind that the root is entered."""
    pivot = (MODULE / "verity-pivot.sh").read_text()
    boot = "echo boot $*; [ -e tried ] || { : >tried; exit 1; }"
    script = f"{_PIVOT.replace('SHELL', ends)}{pivot}\necho entered; ls etc/cmdline.d"
    assert play(tmp_path, shell, script, boot=boot) == [
        "boot /root /sbin/init",
        "shell, SYSTEMD_SULOGIN_FORCE=1",
        "boot /root /sbin/init",
        "entered",
        "status 0",
    ]
