# SPDX-License-Identifier: Apache-2.0
"""Groups 13 and 26: another task's memory and files, and the disk below a file system."""

from ..attack import Attack
from ..ground import SIGNED, TOOLS, WORK

_ROOT = "$(findmnt -no SOURCE /)"


def _reach(name: str, how: str) -> Attack:
    return Attack(group=13, name=name, act=f"{TOOLS}/reach {how}", shows="ok", reason="traced")


def _program(name: str, how: str) -> Attack:
    return Attack(
        group=23,
        name=name,
        act=f"{TOOLS}/reach {how} {SIGNED}/program",
        shows="ok",
        reason="traced",
        ordinary=False,
    )


def _device(name: str, device: str, **others: str) -> Attack:
    return Attack(
        group=26,
        name=name,
        act=f"{TOOLS}/write {device}",
        shows="ok",
        reason="device",
        ordinary=False,
        **others,
    )


_LOOP = "/dev/loop7"
_MAKE = f"truncate -s 64M {WORK}/disk && losetup {_LOOP} {WORK}/disk"
_UNMAKE = f"losetup -d {_LOOP}; rm {WORK}/disk"

ROWS = (
    _reach("ptrace of a privileged process", "attach"),
    _reach("process_vm_writev", "write"),
    _reach("pidfd_getfd", "getfd"),
    _reach("memory of another process", "memory"),
    _reach("own memory", "own"),
    _reach("asking to be traced", "asked"),
    _reach("ptrace of who shares privileged memory", "shared-attach"),
    _reach("memory that is shared with a privileged process", "shared-memory"),
    _reach("asking to be traced in shared memory", "shared-asked"),
    _program("PR_SET_MM_EXE_FILE", "program"),
    _program("PR_SET_MM_EXE_FILE by a longer number", "more"),
    Attack(
        group=13,
        name="a traced user's process becomes root",
        act=f"{TOOLS}/reach raised {SIGNED}/setuid",
        shows=" euid=0 ",
        reason="traced",
        ordinary=False,
        signed=f"setpriv --reuid=1000 --regid=1000 --clear-groups {SIGNED}/setuid",
    ),
    _device("root disk", _ROOT),
    _device(
        "root disk by another name",
        f"{WORK}/disk",
        setup=f"mknod {WORK}/disk b $((0x$(stat -Lc %t {_ROOT}))) $((0x$(stat -Lc %T {_ROOT})))",
        cleanup=f"rm {WORK}/disk",
        signed="",
    ),
    _device(
        "loop device that is mounted",
        _LOOP,
        setup=f"{_MAKE} && mkfs.ext4 -q {_LOOP} && mkdir {WORK}/at && mount {_LOOP} {WORK}/at",
        cleanup=f"umount {WORK}/at; rmdir {WORK}/at; {_UNMAKE}",
        signed="",
    ),
    _device(
        "loop device that memory is swapped to",
        _LOOP,
        setup=f"{_MAKE} && mkswap -q {_LOOP} && swapon {_LOOP}",
        cleanup=f"swapoff {_LOOP}; {_UNMAKE}",
        signed="",
    ),
)

WORKING = (
    Attack(
        group=23,
        name="the title of a privileged process",
        act=f"{TOOLS}/reach title",
        shows="ok",
        reason="",
    ),
    Attack(
        group=26,
        name="loop device that nobody uses",
        setup=_MAKE,
        act=f"{TOOLS}/write {_LOOP}",
        cleanup=_UNMAKE,
        shows="ok",
        reason="",
    ),
    Attack(
        group=26,
        name="swap that is turned off",
        setup=f"{_MAKE} && mkswap -q {_LOOP} && swapon {_LOOP}",
        act=f"swapoff {_LOOP} && echo ok",
        cleanup=_UNMAKE,
        shows="ok",
        reason="",
    ),
    Attack(
        group=26,
        name="root disk read",
        act=f"dd if={_ROOT} of=/dev/null bs=4096 count=1 2>&1",
        shows="4096 bytes",
        reason="",
    ),
    Attack(
        group=13,
        name="looking at a privileged process",
        act="cat /proc/1/maps /proc/1/status >/dev/null && ls -l /proc/1/exe && echo ok",
        shows="ok",
        reason="",
    ),
)
