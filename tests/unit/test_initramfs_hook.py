# SPDX-License-Identifier: Apache-2.0
"""What policy/initramfs/verity-initramfs puts into an initramfs, by what findmnt and blkid say."""

import subprocess
from pathlib import Path

import pytest

HOOK = Path(__file__).parents[2] / "policy/initramfs/verity-initramfs"
UUID = "0b1c2d3e-0000-4000-8000-000000000001"


class Host:
    """A host with a loader and pins, whose tools are played."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own, etc = folder / "own", folder / "etc"
        for path in (own / "gate.bpf.o", own / "verity-boot", etc / "pins/vendor.pin"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
        (etc / "pins/user.pin").write_text("x")
        (folder / "boot.bundle").write_text("x")
        (folder / "bin").mkdir()
        self.tool("findfs", 'echo "$1"')
        self.tool("blkid", f'[ "$5" = /dev/a ] && echo {UUID}')
        self.says({})
        self.mode("observe 3")
        text = HOOK.read_text().replace("own=/usr/lib/verity", f"own={own}")
        text = text.replace("etc=/etc/verity", f"etc={etc}")
        text = text.replace("bundle=/var/lib/verity/boot.bundle", f"bundle={folder}/boot.bundle")
        (folder / "hook").write_text(text)

    def tool(self, name: str, body: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def says(self, mounted: dict[str, str]) -> None:
        """What findmnt says of each mount point; of all others it fails."""
        lines = [f"{place}) printf '{text}\\n' ;;" for place, text in mounted.items()]
        self.tool(
            "findmnt",
            "\n".join(
                (
                    'case "$*" in *--fstab*) exit 1 ;; esac',
                    "shift 3",
                    'case "$1" in',
                    *lines,
                    "*) exit 1 ;;",
                    "esac",
                )
            ),
        )

    def mode(self, text: str) -> None:
        path = self.folder / "own/verity-load"
        path.write_text(f"#!/bin/sh\necho '{text}'\n")
        path.chmod(0o755)

    def make(self) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", self.folder / "hook", self.folder / "to"],
            env={"PATH": f"{self.folder}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def made(self, name: str) -> str:
        return Path(f"{self.folder}/to{self.folder}/etc/{name}").read_text()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_what_is_booted_from(host: Host) -> None:
    host.says({"/boot": "/dev/a", "/boot/efi": "UUID=12AB-34CD"})
    done = host.make()
    assert (done.returncode, done.stderr) == (0, "")
    assert host.made("boot-devices") == f"{UUID} /boot\n12AB-34CD /boot/efi\n"


def test_an_automount_stands_before_what_it_mounts(host: Host) -> None:
    host.says({"/efi": "systemd-1\\n/dev/a"})
    assert host.make().returncode == 0
    assert host.made("boot-devices") == f"{UUID} /efi\n"


@pytest.mark.parametrize("mode", ["observe 3", "sealed 4"])
def test_no_host_is_sealed_with_a_device_that_is_not_found(host: Host, mode: str) -> None:
    """Its initramfs would load no gate, and then not enter the root."""
    host.mode(mode)
    host.says({"/efi": "systemd-1"})
    done = host.make()
    assert done.returncode == (1 if mode == "sealed 4" else 0)
    assert "booted from have no UUID: /efi on systemd-1\n  hint: mount them" in done.stderr


def test_the_serial_of_a_seal(host: Host) -> None:
    host.mode("sealed 4")
    assert host.make().returncode == 0
    assert host.made("sealed") == "4\n"
