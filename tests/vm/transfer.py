# SPDX-License-Identifier: Apache-2.0
"""Files between host and guest.

Small files go through the agent; the rest through the machine's exchange directory, a 9p mount that
exists only while it is used (a mounted one would block snapshots). Directories travel as a tar.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .machine import Machine

# Base64 in JSON through a serial port: quicker than a mount up to about this size.
_SMALL_BYTES = 256 * 1024
_TAR = "tar.bin"


def push(machine: Machine, local: Path, remote: str, *, timeout_s: float) -> None:
    """Copies `local` into the guest; see Machine.push."""
    _absolute(remote)
    if local.is_dir():
        with machine.exchange() as (host, guest):
            archive = host / _TAR
            _tar(["-cf", str(archive), "-C", str(local), "."], timeout_s)
            unpack = f'mkdir -p "$REMOTE" && tar {_flags(machine)} -xpf {guest}/{_TAR} -C "$REMOTE"'
            machine.run(unpack, env={"REMOTE": remote}, timeout_s=timeout_s)
            archive.unlink()
        return
    mode = local.stat().st_mode & 0o7777
    # Into place by renaming: the guest never sees half a file, nor a running program overwritten.
    place = f'chmod {mode:o} "$REMOTE.part" && mv -f "$REMOTE.part" "$REMOTE"'
    environment = {"REMOTE": remote}
    if local.stat().st_size <= _SMALL_BYTES:
        content = local.read_bytes()
        machine.run(f'cat >"$REMOTE.part" && {place}', input=content, env=environment)
        return
    with machine.exchange() as (host, guest):
        shutil.copyfile(local, host / _TAR)
        copy = f'cp {guest}/{_TAR} "$REMOTE.part" && {place}'
        machine.run(copy, env=environment, timeout_s=timeout_s)
        (host / _TAR).unlink()


def pull(machine: Machine, remote: str, local: Path, *, timeout_s: float) -> None:
    """Copies `remote` out of the guest; see Machine.pull."""
    _absolute(remote)
    environment = {"REMOTE": remote}
    ask = '[ -d "$REMOTE" ] && echo dir || stat -L -c "%s %a" "$REMOTE"'
    about = machine.run(ask, env=environment)
    if about.text == "dir":
        with machine.exchange() as (host, guest):
            pack = f'tar {_flags(machine)} -cf {guest}/{_TAR} -C "$REMOTE" .'
            machine.run(pack, env=environment, timeout_s=timeout_s)
            local.mkdir(parents=True, exist_ok=True)
            _tar(["-xpf", str(host / _TAR), "-C", str(local)], timeout_s)
            (host / _TAR).unlink()
        return
    size, mode = about.text.split()
    if int(size) <= _SMALL_BYTES:
        local.write_bytes(machine.run('cat "$REMOTE"', env=environment).stdout)
    else:
        with machine.exchange() as (host, guest):
            machine.run(f'cp "$REMOTE" {guest}/{_TAR}', env=environment, timeout_s=timeout_s)
            shutil.copyfile(host / _TAR, local)
            (host / _TAR).unlink()
    local.chmod(int(mode, 8))


def _absolute(remote: str) -> None:
    if not remote.startswith("/"):
        raise ValueError(f"{remote!r}: expected an absolute path of the guest")


def _flags(machine: Machine) -> str:
    """For the guest's tar: busybox's, in the initramfs, knows no xattrs."""
    return "" if machine.kind == "bare" else "--xattrs --xattrs-include='*' --numeric-owner"


def _tar(arguments: list[str], timeout_s: float) -> None:
    flags = ["--xattrs", "--xattrs-include=*", "--numeric-owner"]
    subprocess.run(["tar", *flags, *arguments], check=True, timeout=timeout_s)
