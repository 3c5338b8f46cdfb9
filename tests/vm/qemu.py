# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line: one machine type for every use, so that a snapshot fits.

- `pc` rather than q35: its root bus takes hot-plugged disks at once, without ports made before.
- `cache=unsafe`: a flush of the guest reaches the host's page cache but not the host's disk. QEMU's
  death loses nothing that was written, so power cuts are as real as they can be without the host's.
- `-cpu max` without erms, smap and la57. Measured: reading files costs nearly half as much without
  the three. Why is our guess: with erms the kernel copies byte by byte, with smap it changes the
  MMU's mode around each copy, and la57 adds a level to every page walk. AVX2 stays: hashing is
  quicker with it.
- Nor cx16: an interrupt behind cmpxchg16b sometimes finds a pointer where the flags should be, and
  the guest dies in its allocator (three in some hundred machines). Without it the kernel
  takes a lock instead.
- `-no-reboot` with `panic=-1`: a guest that panics or reboots ends QEMU.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import VmToolMissing

Kind = Literal["system", "bare"]

PROGRAM = "qemu-system-x86_64"
AGENT_PORT = "org.qemu.guest_agent.0"
# 9p mount tags: a directory for files going either way, and one that a caller shares read-only.
EXCHANGE_TAG = "exchange"
SHARE_TAG = "share"
SERIAL_LIMIT = 20
NVDIMM_SLOTS = 4
_MAX_MEMORY = "32G"  # with what is plugged in
_CPU = "max,-erms,-smap,-la57,-cx16"
KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on net.ifnames=0"
    " systemd.show_status=no"
)


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A further disk: an image file, raw or qcow2, that guest writes go to unless `read_only`.

    In the system kind it's /dev/disk/by-id/virtio-SERIAL; `Machine.device(serial)` works in both.

    With `nvdimm` (a raw image, the system kind) it's persistent memory: a request is a copy and
    no way out of the emulated processor, but nothing of it is lost in a power cut either.

    With a `log`, a file, each write and each flush is kept there, too, in their order; the format
    is dm-log-writes' (tests/crash/write_log.py reads it).
    """

    path: Path
    serial: str
    read_only: bool = False
    nvdimm: bool = False
    log: Path | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.serial.encode()) <= SERIAL_LIMIT or self.serial == "root":
            raise ValueError(f"serial {self.serial!r}: expected 1 to 20 bytes, not root")
        if self.nvdimm and self.read_only:
            raise ValueError(f"disk {self.serial!r}: an NVDIMM here can't be read-only")


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What a machine is, apart from its disks' contents."""

    kind: Kind
    memory_mib: int = 1536
    cpus: int = 2
    icount: bool = False
    append: str = ""
    arguments: tuple[str, ...] = ()
    # The firmware starts what the root disk has for it, and QEMU no kernel.
    firmware: bool = False


@dataclass(frozen=True, kw_only=True)
class Files:
    """The host's files that a machine runs on."""

    vmlinuz: Path
    initramfs: Path
    disk: Path
    console: Path
    exchange: Path
    share: Path
    # Guest memory: a file to write it to (when a snapshot is made) or to copy on write from.
    memory: Path | None = None
    memory_shared: bool = False


@dataclass(frozen=True, kw_only=True)
class Descriptors:
    """Our ends' partners: connected sockets that QEMU inherits."""

    qmp: int
    agent: int
    shell: int


def command_line(
    hardware: Hardware, files: Files, descriptors: Descriptors, *, incoming: bool
) -> list[str]:
    """The whole command line; `incoming` waits for a snapshot's state before running."""
    accelerator = "tcg,thread=single" if hardware.icount else "tcg,thread=multi,tb-size=512"
    memory = f"size={hardware.memory_mib}M"
    if files.memory is None:
        memory = f"memory-backend-ram,id=memory,{memory}"
    else:
        share = "on" if files.memory_shared else "off"
        memory = f"memory-backend-file,id=memory,{memory},mem-path={files.memory},share={share}"
    arguments = f"{KERNEL_ARGUMENTS} verity.kind={hardware.kind} {hardware.append}".strip()
    kernel = ["-kernel", str(files.vmlinuz), "-initrd", str(files.initramfs), "-append", arguments]
    if hardware.firmware:
        kernel = []
    argv = [
        *(PROGRAM, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *("-machine", "pc,memory-backend=memory,vmport=off,usb=off,nvdimm=on"),
        *("-accel", accelerator, "-cpu", _CPU),
        *("-smp", "1" if hardware.icount else str(hardware.cpus)),
        *("-m", f"{hardware.memory_mib}M,slots={NVDIMM_SLOTS},maxmem={_MAX_MEMORY}"),
        *("-object", memory),
        *kernel,
        *("-chardev", f"socket,id=qmp,fd={descriptors.qmp}", "-mon", "chardev=qmp,mode=control"),
        *("-chardev", f"file,id=console,path={files.console},append=on"),
        *("-serial", "chardev:console"),
        *("-drive", f"if=none,id=root,file={files.disk},format=qcow2,cache=unsafe,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=root,serial=root"),
        *("-device", "virtio-serial-pci"),
        *("-chardev", f"socket,id=agent,fd={descriptors.agent}"),
        *("-device", f"virtserialport,chardev=agent,name={AGENT_PORT}"),
        *("-chardev", f"socket,id=shell,fd={descriptors.shell}"),
        *("-device", "virtconsole,chardev=shell"),
        # A restored machine gets a new identifier, on which the kernel renews its random numbers.
        *("-device", "vmgenid,guid=auto", "-device", "virtio-rng-pci"),
        *_share(EXCHANGE_TAG, files.exchange, "readonly=off"),
        *_share(SHARE_TAG, files.share, "readonly=on"),
    ]
    if hardware.icount:
        argv += ["-icount", "shift=0,sleep=on"]
    argv += hardware.arguments
    if incoming:
        argv += ["-incoming", "defer"]
    return argv


def version() -> str:
    """QEMU's first version line; raises VmToolMissing without QEMU."""
    try:
        done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, timeout=30)
    except FileNotFoundError as error:
        raise VmToolMissing(f"{PROGRAM} is missing; apt install qemu-system-x86") from error
    return done.stdout.partition("\n")[0]


def make_overlay(path: Path, *, backing: Path, backing_format: str) -> None:
    """A qcow2 file that holds the difference to `backing`."""
    options = ["-q", "-f", "qcow2", "-F", backing_format, "-b", str(backing)]
    subprocess.run(["qemu-img", "create", *options, str(path)], check=True, timeout=30)


def hotplug(disks: Sequence[Disk]) -> list[tuple[str, dict[str, object]]]:
    """The QMP commands that attach `disks` to a running machine."""
    commands: list[tuple[str, dict[str, object]]] = []
    device: dict[str, object]
    for number, disk in enumerate(disks):
        node = f"disk{number}"
        if disk.nvdimm:
            commands += _nvdimm(node, disk)
            continue
        with disk.path.open("rb") as handle:
            driver = "qcow2" if handle.read(4) == b"QFI\xfb" else "raw"
        cache = {"direct": False, "no-flush": True}
        file = {"driver": "file", "filename": str(disk.path.absolute()), "cache": cache}
        blockdev = {"driver": driver, "node-name": node, "read-only": disk.read_only}
        if disk.log is None:
            commands.append(("blockdev-add", {**blockdev, "cache": cache, "file": file}))
        else:
            commands.append(("blockdev-add", _logged(node, disk.log, file)))
        device = {"driver": "virtio-blk-pci", "id": node, "drive": node, "serial": disk.serial}
        commands.append(("device_add", device))
    return commands


def _logged(node: str, log: Path, file: Mapping[str, object]) -> dict[str, object]:
    """A raw disk; what asks for a flush is heard by the log, and by nothing below it."""
    log.touch()
    into = {"driver": "file", "filename": str(log.absolute()), "cache": file["cache"]}
    return {"driver": "blklogwrites", "node-name": node, "file": file, "log": into}


def _nvdimm(node: str, disk: Disk) -> list[tuple[str, dict[str, object]]]:
    path = disk.path.absolute()
    memory: dict[str, object] = {"qom-type": "memory-backend-file", "id": f"{node}-memory"}
    memory |= {"mem-path": str(path), "size": path.stat().st_size, "share": True}
    device: dict[str, object] = {"driver": "nvdimm", "id": node, "memdev": f"{node}-memory"}
    return [("object-add", memory), ("device_add", device)]


def _share(tag: str, directory: Path, mode: str) -> list[str]:
    filesystem = f"local,id={tag},path={directory},security_model=none,multidevs=remap,{mode}"
    return ["-fsdev", filesystem, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
