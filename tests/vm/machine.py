# SPDX-License-Identifier: Apache-2.0
"""A virtual machine as a caller sees it: boot, run, push, pull, cut the power, boot again.

Rules:
- a machine lives in a work directory with a disk of its own over the read-only image; the directory
  goes with the machine unless the caller named it, and then a later `boot(work=...)` goes on with
  that disk;
- every wait is bounded, and every time-out and death ends with the console's last lines;
- QEMU dies with the process that booted it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from . import cache, process, transfer
from .engine import Engine
from .errors import GuestCommandFailed, VmError, VmTimeout
from .image import Image
from .process import Completed, GuestProcess
from .qemu import EXCHANGE_TAG, SHARE_TAG, Disk, Files, Hardware, Kind, hotplug, make_overlay
from .snapshot import Snapshot, booted

BOOT_TIMEOUT_S = 180.0
_DISK = "disk.qcow2"
_POLL_S = 0.002
_HOTPLUG_TIMEOUT_S = 20.0
_FIND_VIRTIO = (
    'for disk in /sys/block/vd*; do [ "$(cat "$disk/serial")" = "$WANTED" ] &&'
    ' [ -b "/dev/${disk##*/}" ] && echo "/dev/${disk##*/}"; done; :'
)
_MOUNT_9P = "mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=mmap"


class Machine:
    """Made by `boot`; a context manager that ends the machine."""

    def __init__(
        self, image: Image, hardware: Hardware, *, work: Path | None, share: Path | None
    ) -> None:
        self.image = image
        self._hardware = hardware
        self._share = share
        self._disks: tuple[Disk, ...] = ()
        self._engine: Engine | None = None
        self._ephemeral = work is None
        self.work = work.absolute() if work is not None else _new_work_directory()
        for name in ("exchange", "empty"):
            (self.work / name).mkdir(parents=True, exist_ok=True)
        self._locks = [cache.InUse(image.path), cache.InUse(self.work)]

    @classmethod
    def boot(
        cls,
        kind: Kind,
        image: Image,
        *,
        memory_mib: int = 1536,
        cpus: int = 2,
        disks: Sequence[Disk] = (),
        icount: bool = False,
        fresh: bool = False,
        work: Path | None = None,
        share: Path | None = None,
        append: str = "",
        arguments: Sequence[str] = (),
        timeout_s: float = BOOT_TIMEOUT_S,
    ) -> Self:
        """Starts a machine and returns when commands can be run in it.

        kind       "system": Debian's systemd, booted to the end; "bare": a busybox initramfs as
                   PID 1, the root disk at /sysroot
        disks      further disks, attached when the guest is up
        icount     one CPU that executes an instruction per nanosecond of guest time, for cost
                   figures; implies fresh
        fresh      really boot, rather than restore the kept snapshot of a booted machine
        work       keep the disk here; if it holds one, boot from that (implies fresh)
        share      a directory of the host for `mount_share`
        append     more kernel arguments
        arguments  more of QEMU's: firmware, disks that are there from the start; implies fresh
        timeout_s  seconds for the boot; VmTimeout after that
        """
        hardware = Hardware(
            kind=kind,
            memory_mib=memory_mib,
            cpus=cpus,
            icount=icount,
            append=append,
            arguments=tuple(arguments),
        )
        machine = cls(image, hardware, work=work, share=share)
        try:
            if fresh or icount or arguments or machine.disk.exists():
                machine._start(timeout_s)
            else:
                machine._start_restored(booted(image, hardware, timeout_s=timeout_s))
            machine._attach(disks)
        except BaseException:
            machine.close()
            raise
        return machine

    # --- commands -------------------------------------------------------------------------------

    def run(
        self,
        argv: Sequence[str] | str,
        *,
        input: bytes = b"",
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        chroot: str | None = None,
        cwd: str | None = None,
        timeout_s: float = 60,
        check: bool = True,
    ) -> Completed:
        """Runs a command to its end, as root or `user`; a str is run by `sh -c`.

        Raises GuestCommandFailed when `check` and the status isn't 0, VmTimeout after `timeout_s`
        seconds (the command itself is killed), OutputTruncated beyond 16 MiB of output.
        """
        started = self.start(argv, input=input, env=env, user=user, chroot=chroot, cwd=cwd)
        with self._running().explained("running a command"):
            done = started.wait(timeout_s=timeout_s)
        if check and done.status != 0:
            raise GuestCommandFailed(done.argv, done.status, done.stdout, done.stderr)
        return done

    def start(
        self,
        argv: Sequence[str] | str,
        *,
        input: bytes = b"",
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        chroot: str | None = None,
        cwd: str | None = None,
    ) -> GuestProcess:
        """Starts a command and returns at once: for what a power cut is to interrupt."""
        full = ["sh", "-c", argv] if isinstance(argv, str) else list(argv)
        merged = dict(env or {})
        if cwd is not None:
            full = ["sh", "-c", 'cd "$0" && exec "$@"', cwd, *full]
        if user is not None:
            if self._hardware.kind == "bare" and chroot is None:
                raise ValueError("user= needs chroot='/sysroot' in the bare kind")
            full = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *full]
            merged = {"HOME": f"/home/{user}", "USER": user, "LOGNAME": user, **merged}
        if chroot is not None:
            # Through env: busybox's chroot would run an applet of its own for a bare name.
            full = ["chroot", chroot, "/usr/bin/env", *full]
        engine = self._running()
        with engine.explained("starting a command"):
            return process.start(engine.agent, full, input_=input, env=merged)

    # --- files ----------------------------------------------------------------------------------

    def push(self, local: Path, remote: str, *, timeout_s: float = 300) -> None:
        """Copies a file or a directory (with owners, modes, xattrs) to the absolute path `remote`.

        A directory's contents go into the directory `remote`, made if missing.
        """
        transfer.push(self, local, remote, timeout_s=timeout_s)

    def pull(self, remote: str, local: Path, *, timeout_s: float = 300) -> None:
        """Copies a file or a directory of the guest to `local`, as `push` does."""
        transfer.pull(self, remote, local, timeout_s=timeout_s)

    def mount_share(self, at: str = "/run/share") -> str:
        """Mounts the host's `share` directory, read-only, in the guest; blocks `snapshot`."""
        if self._share is None:
            raise ValueError("boot(share=DIRECTORY) was not given")
        self.run(f'mkdir -p "$0" && {_MOUNT_9P},ro {SHARE_TAG} "$0"'.replace('"$0"', at))
        return at

    @contextlib.contextmanager
    def exchange(self) -> Iterator[tuple[Path, str]]:
        """A directory that host and guest both write, as (host path, guest path), while inside."""
        at = "/run/exchange"
        self.run(f"mkdir -p {at} && {_MOUNT_9P} {EXCHANGE_TAG} {at}")
        try:
            yield self.work / "exchange", at
        finally:
            self.run(["umount", at])

    def device(self, serial: str, *, timeout_s: float = _HOTPLUG_TIMEOUT_S) -> str:
        """The block device of the disk with that serial, as in /dev/vdb; waits for it."""
        find = _FIND_VIRTIO
        plugged = [disk.serial for disk in self._disks if disk.nvdimm]
        if serial in plugged:
            name = f"/dev/pmem{plugged.index(serial)}"
            find = f"[ -b {name} ] && echo {name}; :"
        deadline = time.monotonic() + timeout_s
        while True:
            found = self.run(find, env={"WANTED": serial}).text
            if found:
                return found
            if time.monotonic() > deadline:
                raise VmTimeout(f"no disk with serial {serial!r} after {timeout_s:g} s")
            time.sleep(0.05)

    def plug(self, disks: Sequence[Disk]) -> None:
        """Plugs disks into a running machine that was booted without any, and waits for them."""
        if self._disks:
            raise ValueError("the machine has further disks already")
        self._attach(disks)

    # --- power ----------------------------------------------------------------------------------

    def power_cut(self) -> None:
        """Stops the machine this instant. What the guest had flushed is on the disk."""
        self._running().kill(keep_directory=True)
        self._engine = None

    def cut_when(self, condition: Callable[[], bool], *, timeout_s: float) -> None:
        """Cuts the power as soon as `condition()` holds, asked every 2 ms; VmTimeout if never.

        For a condition inside the guest let it write to /dev/ttyS0 and ask `console_shows`.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                words = self._running().last_words()
                raise VmTimeout(f"no reason to cut the power in {timeout_s:g} s{words}")
            time.sleep(_POLL_S)
        self.power_cut()

    def console(self) -> str:
        """What the serial console has shown since the work directory was made."""
        return self._running().console()

    def console_shows(self, text: str) -> bool:
        """Whether `text` appeared on the serial console, in this boot or an earlier one."""
        return text in self.console()

    def shutdown(self, *, timeout_s: float = 60) -> None:
        """Powers off in order; `boot_again` works afterwards."""
        orderly = "systemctl poweroff"
        if self._hardware.kind == "bare":
            orderly = "sync; mount -o remount,ro /sysroot; poweroff -f"
        self.start(orderly)
        engine = self._running()
        engine.wait_for_end(timeout_s=timeout_s)
        self.power_cut()

    def boot_again(
        self,
        kind: Kind | None = None,
        *,
        append: str | None = None,
        firmware: bool | None = None,
        timeout_s: float = BOOT_TIMEOUT_S,
    ) -> None:
        """After `power_cut` or `shutdown`: a real boot from the same disk, with the same disks.

        ``append`` takes the place of the kernel arguments of before, as another boot entry's. With
        ``firmware`` the disk says what is booted, and by which arguments.
        """
        if self._engine is not None:
            raise ValueError("the machine runs: power_cut() or shutdown() first")
        if kind is not None:
            self._hardware = dataclasses.replace(self._hardware, kind=kind)
        if append is not None:
            self._hardware = dataclasses.replace(self._hardware, append=append)
        if firmware is not None:
            self._hardware = dataclasses.replace(self._hardware, firmware=firmware)
        self._start(timeout_s)
        self._attach(self._disks)

    def boot_and_cut(self, text: str, *, after_s: float, timeout_s: float) -> None:
        """A real boot from the same disk, its power cut so long after the console shows `text`.

        The machine is off afterwards, as after `power_cut`, also where it ended by itself before.
        """
        if self._engine is not None:
            raise ValueError("the machine runs: power_cut() or shutdown() first")
        owned = self.work if self._ephemeral else None
        engine = Engine(self._hardware, self._files(), owned=owned)
        deadline = time.monotonic() + timeout_s
        try:
            while not engine.shows(text):
                if time.monotonic() > deadline:
                    raise VmTimeout(f"no {text!r} in {timeout_s:g} s{engine.last_words()}")
                time.sleep(_POLL_S)
            time.sleep(after_s)
        finally:
            engine.kill(keep_directory=True)

    # --- snapshots ------------------------------------------------------------------------------

    def snapshot(self, name: str, *, timeout_s: float = 120) -> None:
        """Keeps memory and disk under `name` until the machine is closed.

        Refused while a share is mounted, or with a writable raw disk attached (use qcow2).
        """
        self._monitor(f"savevm {name}", timeout_s)

    def restore(self, name: str, *, timeout_s: float = 120) -> None:
        """Goes back to `snapshot(name)`; the clock is set and random numbers are made anew."""
        self._monitor(f"loadvm {name}", timeout_s)
        self._running().settle(reseed=True)

    # --- the end --------------------------------------------------------------------------------

    @property
    def kind(self) -> Kind:
        """The kind of the boot that runs, or ran last."""
        return self._hardware.kind

    @property
    def shell_socket(self) -> int:
        """File descriptor of our end of the guest's /dev/hvc0."""
        return self._running().shell.fileno()

    def close(self) -> None:
        """Ends the machine, and removes the work directory if it was ours to choose."""
        if self._engine is not None:
            self._engine.kill(keep_directory=not self._ephemeral)
            self._engine = None
        for lock in self._locks:
            lock.release()
        if self._ephemeral:
            cache.remove_tree(self.work)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def disk(self) -> Path:
        """The root disk, for who changes it while the machine is off."""
        return self.work / _DISK

    def _running(self) -> Engine:
        if self._engine is None:
            raise ValueError("the machine is off")
        return self._engine

    def _files(self, memory: Path | None = None) -> Files:
        return Files(
            vmlinuz=self.image.vmlinuz,
            initramfs=self.image.initramfs,
            disk=self.disk,
            console=self.work / "console.log",
            exchange=self.work / "exchange",
            share=self._share.absolute() if self._share is not None else self.work / "empty",
            memory=memory,
        )

    def _start(self, timeout_s: float) -> None:
        if not self.disk.exists():
            make_overlay(self.disk, backing=self.image.root_disk, backing_format="raw")
        owned = self.work if self._ephemeral else None
        self._engine = Engine.booted(
            self._hardware, self._files(), owned=owned, timeout_s=timeout_s
        )

    def _start_restored(self, kept: Snapshot) -> None:
        make_overlay(self.disk, backing=kept.disk, backing_format="qcow2")
        owned = self.work if self._ephemeral else None
        self._engine = Engine(
            self._hardware, self._files(kept.memory), owned=owned, state=kept.state
        )
        # Random numbers are renewed by the kernel itself: the machine's vmgenid is another one.
        self._engine.settle(reseed=False)

    def _attach(self, disks: Sequence[Disk]) -> None:
        self._disks = tuple(disks)
        if any(disk.nvdimm for disk in disks):
            # Its driver hears of a new one only once it's there itself.
            self.run("until [ -e /sys/bus/acpi/drivers/nfit/ACPI0012:00 ]; do sleep 0.05; done")
        for command, arguments in hotplug(disks):
            self._running().qmp.execute(command, arguments)
        for disk in disks:
            self.device(disk.serial)

    def _monitor(self, line: str, timeout_s: float) -> None:
        engine = self._running()
        with engine.explained(line):
            answer = engine.qmp.monitor(line, timeout_s=timeout_s).strip()
        if answer:
            raise VmError(f"{line}: {answer}")


def _new_work_directory() -> Path:
    parent = cache.cache_root() / "work"
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="vm-", dir=parent))
