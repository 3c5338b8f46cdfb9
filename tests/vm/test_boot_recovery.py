# SPDX-License-Identifier: Apache-2.0
"""The initramfs's emergency shell on a sealed host: a token opens it there, and nothing else does.

What a person would type there is a script that an initramfs runs before it starts the shell
(scripts/panic, dracut's emergency hooks); a stick is a directory of this side. `exit` is the end of
that shell. dracut's is started by sulogin, which first waits for Enter, and nobody can press that
here: what it asks for is looked at, and ended.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.program import verity
from verity.formats import challenge

from . import boot_world
from .boot_world import Maker
from .errors import VmTimeout
from .gate_machine import Gate, value
from .image import Image
from .machine import Machine
from .test_boot import HOST_ID, STREAM, host_files, installed, refused
from .trust_world import trust_world

pytestmark = pytest.mark.full  # each test is two boots of minutes

_TIMEOUT_S = 400.0
_ENTER, _LOCKED = "Press Enter for system maintenance", "the root account is locked"
_HELPER = "/usr/lib/verity/verity-unlock"
_INIT = "/usr/lib/systemd/systemd"
_SHELL = "panic="  # without a value initramfs-tools starts a shell, and doesn't reboot
_RESCUE = f"""#!/bin/sh
[ "$1" != prereqs ] || exit 0
mkdir -p /stick
mount -t 9p -o trans=virtio,version=9p2000.L exchange /stick
dmesg >/stick/dmesg
cat /sys/fs/bpf/verity/status >/stick/status
{_HELPER} >/stick/challenge
: >/stick/ready
until [ -e /stick/go ]; do sleep 1; done
[ ! -e /stick/token ] || {_HELPER} /stick/token >/stick/said 2>&1
umount /stick
while sleep 1; do
    shell=
    for one in /proc/[0-9]*; do
        SHELL && shell="$shell ${{one#/proc/}}"
    done
    [ -z "$shell" ] || {{ sleep 5; kill -9 $shell; exit; }}
done </dev/null >/dev/null 2>&1 &
"""
_TOOLS_SHELL = """case $(tr '\\0' ' ' <$one/cmdline) in "sh -i "*) ;; *) false ;; esac"""
_DRACUT_SHELL = "read -r comm <$one/comm && [ $comm = sulogin ]"
_TOOLS_HOOK = """#!/bin/sh
[ "$1" != prereqs ] || exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules 9p 9pnet_virtio
"""
_DRACUT_HOOK = """#!/bin/bash
check() { return 0; }
installkernel() { hostonly='' instmods 9p 9pnet_virtio; }
install() {
    inst_script "$moddir/rescue" /usr/bin/rescue
    inst_hook emergency 50 "$moddir/emergency.sh"
}
"""
_CHANGED: dict[Maker, str] = {
    "initramfs-tools": f"""
mkdir -p /etc/initramfs-tools/hooks /etc/initramfs-tools/scripts/panic
cat >/etc/initramfs-tools/hooks/stick <<'END'
{_TOOLS_HOOK}END
cat >/etc/initramfs-tools/scripts/panic/rescue <<'END'
{_RESCUE.replace("SHELL", _TOOLS_SHELL)}END
chmod 755 /etc/initramfs-tools/hooks/stick /etc/initramfs-tools/scripts/panic/rescue
""",
    "dracut": f"""
mkdir -p /usr/lib/dracut/modules.d/50stick
cd /usr/lib/dracut/modules.d/50stick
cat >module-setup.sh <<'END'
{_DRACUT_HOOK}END
cat >rescue <<'END'
{_RESCUE.replace("SHELL", _DRACUT_SHELL)}END
echo /usr/bin/rescue >emergency.sh
chmod 755 *
cd /
""",
}


@pytest.fixture(params=["initramfs-tools", "dracut"])
def maker(request: pytest.FixtureRequest) -> Maker:
    made: Maker = request.param
    return made


@contextmanager
def host(image: Image, folder: Path, maker: Maker, *, append: str = "") -> Iterator[Machine]:
    """A sealed host, off."""
    files = host_files(image, folder / "host")
    with installed(
        image, files, maker, changed=_CHANGED[maker], append=f"{_SHELL} {append}"
    ) as machine:
        yield machine


@contextmanager
def in_the_shell(machine: Machine, maker: Maker) -> Iterator[Path]:
    """It boots, and while the block runs the emergency shell waits; then it boots to the end."""
    stick = machine.work / "exchange"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        boot = pool.submit(machine.boot_again, "system", timeout_s=_TIMEOUT_S)
        try:
            deadline = time.monotonic() + _TIMEOUT_S
            while not (stick / "ready").exists() and not boot.done():
                if time.monotonic() > deadline:
                    raise VmTimeout("no emergency shell")
                time.sleep(0.1)
            if boot.done():
                boot.result()
                raise AssertionError("it booted without a shell")
            yield stick
        finally:
            (stick / "go").touch()
        boot.result()
    if maker == "dracut":
        assert machine.console_shows(_ENTER) and not machine.console_shows(_LOCKED)


def altered(machine: Machine, path: str) -> None:
    """A program of the host is one that nobody signed, and works as before."""
    machine.boot_again("bare")
    lines = f"cp {path} /run/p; printf x >>/run/p; cp --remove-destination /run/p {path}"
    machine.run(lines, chroot="/sysroot")
    machine.shutdown()


def test_a_host_whose_init_is_not_signed(gate_image: Image, tmp_path: Path, maker: Maker) -> None:
    """It isn't entered; a token for this boot opens it, and a relock closes it again."""
    key = trust_world(gate_image, {STREAM: boot_world.tree(gate_image)}).key("user-unlock")
    (tmp_path / "hosts.toml").write_text(f'[hosts.{HOST_ID}]\nname = "db7"\nowners = 1\n')
    with host(gate_image, tmp_path, maker) as machine:
        own = machine.image
        machine.image = gate_image
        altered(machine, _INIT)
        machine.image = own
        with in_the_shell(machine, maker) as stick:
            assert "/sbin/init isn't granted" in (stick / "dmesg").read_text()
            assert "state boot" in (stick / "status").read_text().splitlines()
            asked = challenge.parse((stick / "challenge").read_bytes())
            assert asked.host_id.hex() == HOST_ID
            how = ("--scope", "observe-only", "--for", "30m", "--reason", "db7 does not come up")
            done = verity(
                *("unlock", "sign", "--challenge", stick / "challenge", *how, "--yes"),
                *("--inventory", "hosts.toml", "-o", stick / "token", key),
                cwd=tmp_path,
            )
            assert done.status == 0, done.err
        assert (stick / "said").read_text().startswith("applying")
        assert "\nunlocked " in (stick / "said").read_text()
        status = Gate(machine).status()
        assert value(status, "state") == "sealed" and int(value(status, "entered_ms")) > 0
        # Before the token the loader asked for the init, and was refused; nothing was after it.
        lines = [line.split() for line in refused(machine)]
        assert {(line[2], line[7]) for line in lines if line[2] != "unlocked"} == {
            ("denied", "verity-load")
        }
        assert [line for line in lines if line[2] == "unlocked"]
        machine.run(f"cp /bin/true /opt/own && /opt/own && {_HELPER} --relock")
        assert machine.run("/opt/own", check=False).status != 0


def test_recovery_was_asked_for(gate_image: Image, tmp_path: Path, maker: Maker) -> None:
    """A shell with the gate loaded, once; the boot goes on as if it hadn't been."""
    with host(gate_image, tmp_path, maker, append="verity.recovery") as machine:
        with in_the_shell(machine, maker) as stick:
            assert "recovery was asked for" in (stick / "dmesg").read_text()
            assert "state boot" in (stick / "status").read_text().splitlines()
        assert value(Gate(machine).status(), "state") == "sealed"
        assert refused(machine) == []
