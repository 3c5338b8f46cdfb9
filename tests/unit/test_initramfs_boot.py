# SPDX-License-Identifier: Apache-2.0
"""policy/initramfs/verity-boot with a host and a loader that are played: what is put into place.

That a host boots by it is seen in machines (tests/vm/test_boot_stage.py).
"""

import subprocess
from pathlib import Path

import pytest

BOOT = Path(__file__).parents[2] / "policy/initramfs/verity-boot"
PLACES = ("/dev/kmsg", "/proc/mounts", "/proc/cmdline", "/proc/sysrq-trigger", "/sys/", "/run/")
UUID = "0b1c2d3e-0000-4000-8000-000000000001"
FAILED = f"<3>verity: /boot can't be mounted: {UUID}\n"


class Played:
    """A root with an update that waits, or is counted, and the tools of an initramfs."""

    def __init__(self, folder: Path, state: str) -> None:
        self.folder = folder
        for path in ("bin", "own", "etc", "run", "sys/fs/bpf", "proc", "dev", "root/boot"):
            (folder / path).mkdir(parents=True)
        (folder / f"root/var/lib/verity/{state}").mkdir(parents=True)
        (folder / "proc/mounts").write_text(f"/dev/a {folder}/root ext4 ro,relatime 0 0\n")
        (folder / "proc/cmdline").write_text("quiet\n")
        (folder / "etc/boot-devices").write_text(f"12AB-34CD /boot/efi\n{UUID} /boot\n")
        text = BOOT.read_text().replace("own=/usr/lib/verity", f"own={folder}/own")
        text = text.replace("/etc/verity", f"{folder}/etc").replace(">/dev/kmsg", ">>/dev/kmsg")
        for place in PLACES:
            text = text.replace(place, f"{folder}{place}")
        (folder / "boot").write_text(text)
        for name in ("umount", "sync", "sleep"):
            self.tool(f"bin/{name}", "")
        self.tool("own/verity-load", f'echo "$1" >>{folder}/loaded; echo stage applied')

    def tool(self, name: str, body: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def boots(self, *, unmounted: str, status: int = 0) -> tuple[str, str, bool]:
        """What the loader was asked, what was said, and whether a reboot was."""
        self.tool("bin/mount", f'case "$1" in *{unmounted}) exit 32 ;; esac')
        done = subprocess.run(
            ["sh", self.folder / "boot", self.folder / "root"],
            env={"PATH": f"{self.folder}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, done.stderr
        loaded = self.folder / "loaded"
        return (
            loaded.read_text() if loaded.exists() else "",
            (self.folder / "dev/kmsg").read_text(),
            (self.folder / "proc/sysrq-trigger").exists(),
        )


@pytest.mark.parametrize(
    ("refused", "by_confirmed"), [("none", False), ("boot.bundle", True), ("", False)]
)
def test_a_bundle_that_is_refused_is_told_to_the_host(
    tmp_path: Path, refused: str, by_confirmed: bool
) -> None:
    """It comes up by the confirmed one then, and must not take that one's place."""
    played = Played(tmp_path, "confirmed")
    for name in ("boot.bundle", "confirmed/boot.bundle"):
        (tmp_path / "root/var/lib/verity" / name).touch()
    body = f'case "$*" in --mode*) ;; *verity/{refused}*) exit 1 ;; esac; echo state observe'
    played.tool("own/verity-load", body)
    (tmp_path / "etc/sealed").write_text("7\n")
    _, said, _ = played.boots(unmounted="none", status=1)
    assert ("not loaded from" in said) == (refused != "none")
    assert (tmp_path / "run/verity-by-confirmed").exists() == by_confirmed


@pytest.mark.parametrize(("state", "asked"), [("next", "--stage\n"), ("tries", "--try\n")])
def test_it_goes_on_without_the_esp(tmp_path: Path, state: str, asked: str) -> None:
    loaded, said, rebooted = Played(tmp_path, state).boots(unmounted="12AB-34CD")
    assert (loaded, rebooted) == (asked, True)
    assert FAILED not in said


@pytest.mark.parametrize("state", ["next", "tries"])
def test_nothing_is_put_into_place_or_taken_back_without_boot(tmp_path: Path, state: str) -> None:
    loaded, said, rebooted = Played(tmp_path, state).boots(unmounted=UUID)
    assert (loaded, rebooted) == ("", False)
    assert FAILED in said
