# SPDX-License-Identifier: Apache-2.0
"""Group 11: files that io_uring opens, in the caller's thread, a worker's, or that of a ring that
polls; and what is then done with them.

Commands to a device by io_uring (`uring_cmd`) want a descriptor that is open for writing, which is
what is refused. NVMe's own commands go through a character device, which the test machine hasn't.
"""

from ..attack import Attack
from ..ground import TOOLS, UNSIGNED, WORK

_MODES = ("sync", "async", "sqpoll")
_LOOP = "/dev/loop6"
_AT = f"{WORK}/uring"
_MOUNTED = (
    f"truncate -s 64M {_AT}.img && losetup {_LOOP} {_AT}.img && mkfs.ext4 -q {_LOOP}"
    f" && mkdir {_AT} && mount {_LOOP} {_AT} && sync"
)
_UNMOUNT = f"umount {_AT}; rmdir {_AT}; losetup -d {_LOOP}; rm {_AT}.img"


def _exec(mode: str) -> Attack:
    return Attack(
        group=11,
        name=f"program opened {mode}",
        act=f"{TOOLS}/uring exec {mode} {UNSIGNED}/program",
        reason="no-digest",
    )


def _map(mode: str) -> Attack:
    return Attack(
        group=11,
        name=f"library opened {mode}",
        act=f"{TOOLS}/uring map {mode} {UNSIGNED}/library.so",
        shows="ok",
        reason="no-digest",
    )


def _memory(name: str, how: str) -> Attack:
    return Attack(
        group=11,
        name=name,
        act=f"{TOOLS}/uring {how}",
        shows="ok",
        reason="traced",
        ordinary=not how.startswith("lent"),
    )


def _device(mode: str) -> Attack:
    return Attack(
        group=11,
        name=f"root disk opened {mode}",
        act=f"{TOOLS}/uring write {mode} $(findmnt -no SOURCE /)",
        shows="ok",
        reason="device",
        ordinary=False,
    )


ROWS = (
    *map(_exec, _MODES),
    *map(_map, _MODES),
    *(_memory(f"memory of another process opened {mode}", f"memory {mode}") for mode in _MODES),
    *(_memory(f"own memory opened {mode}", f"write {mode} /proc/self/mem") for mode in _MODES),
    # A ring that polls would look for the name in the memory of who made it.
    *(
        _memory(f"memory opened {mode} with credentials that were lent", f"lent {mode}")
        for mode in _MODES[:2]
    ),
    *map(_device, _MODES),
    Attack(
        group=11,
        name="blocks of a mounted device discarded by uring_cmd",
        setup=_MOUNTED,
        act=f"{TOOLS}/uring discard sync {_LOOP}",
        cleanup=_UNMOUNT,
        shows="ok",
        reason="device",
        ordinary=False,
    ),
)
