# SPDX-License-Identifier: Apache-2.0
"""Texts of /proc: what they say, and names that try to say something else."""

import os
from pathlib import Path

import pytest

from verity.formats import procfs
from verity.formats.procfs import KERNEL_THREAD
from verity.values.errors import ContentError

SMAPS = b"""\
55d0-55d4 r--p 00000000 fe:01 42                         /usr/bin/a b
Size:                 16 kB
Anonymous:             4 kB
VmFlags: rd mr mw me
55d4-55d8 r-xp 00004000 fe:01 42                         /usr/bin/a\\012b
Size:                 16 kB
Private_Dirty:         8 kB
Anonymous:             8 kB
LazyFree:              0 kB
VmFlags: rd ex mr mw me
7f00-7f01 rwxp 00000000 00:00 0 
Anonymous:             0 kB
7f02-7f03 --xs 00000000 00:01 7                          /memfd:[vdso] (deleted)
Anonymous:             0 kB
7ffd-7ffe r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
"""  # noqa: W291  # as the kernel writes it
MOUNTS = b"""\
20 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
30 20 0:30 /in\\040ner /a\\040b\\134c ro,nosuid shared:2 master:1 - tmpfs tmp\\011fs rw,size=1k
"""


def test_what_may_be_executed() -> None:
    found = procfs.parse_smaps(SMAPS)
    assert [(one.inode, one.writable, one.altered, one.name) for one in found] == [
        (42, False, 8, b"/usr/bin/a\nb"),
        (0, True, 0, b""),
        (7, False, 0, b"/memfd:[vdso] (deleted)"),
        (0, False, 0, b"[vdso]"),
    ]
    assert found[0].link == "55d4-55d8"


def test_a_region_without_its_numbers_is_refused() -> None:
    with pytest.raises(ContentError, match="smaps: not as proc"):
        procfs.parse_smaps(SMAPS.replace(b"Anonymous:             8 kB\n", b"", 1))


def test_a_name_says_nothing_of_the_process() -> None:
    stat = b"7 (a) S 1 0) R " + b" ".join(b"%d" % number for number in range(4, 24))
    stat = stat.replace(b" 9 ", b" %d " % (KERNEL_THREAD | 64), 1)
    found = procfs.parse_stat(stat)
    assert found.flags == KERNEL_THREAD | 64
    assert (found.threads, found.started) == (20, 22)


def test_this_process() -> None:
    task = procfs.parse_status(Path("/proc/self/status").read_bytes())
    assert task.uids[1] == os.geteuid()
    assert task.tracer == 0
    stat = procfs.parse_stat(Path("/proc/self/stat").read_bytes())
    assert not stat.flags & KERNEL_THREAD
    assert stat.threads == task.threads
    assert procfs.parse_smaps(Path("/proc/self/smaps").read_bytes())
    assert procfs.parse_mounts(Path("/proc/self/mountinfo").read_bytes())


def test_mounts() -> None:
    root, other = procfs.parse_mounts(MOUNTS)
    assert (root.point, root.inner, root.type, root.device) == (b"/", b"/", b"ext4", b"254:1")
    assert (other.point, other.inner, other.source) == (rb"/a b\c", b"/in ner", b"tmp\tfs")
    assert other.options == {b"ro", b"nosuid"}
    assert other.super_options == {b"rw", b"size=1k"}


def test_modules() -> None:
    found = procfs.parse_modules(b"ext4 1 0 - Live 0x0\nx 1 0 - Live 0x0 (OE)\n")
    assert [(one.name, one.taints) for one in found] == [("ext4", ""), ("x", "OE")]
    assert procfs.parse_dependencies(b"kernel/virtio-net.ko.xz: kernel/a.ko\nkernel/a.ko:\n") == {
        "virtio_net": "kernel/virtio-net.ko.xz",
        "a": "kernel/a.ko",
    }


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        (procfs.parse_status, b""),
        (procfs.parse_status, b"Name:\tx\nState:\t\xff\nUid:\ta\n"),
        (procfs.parse_stat, b"7 (a) S 1"),
        (procfs.parse_stat, b""),
        (procfs.parse_mounts, b"20 1 254:1 / /\n"),
        (procfs.parse_mounts, b"x\n"),
        (procfs.parse_modules, b"ext4\n"),
    ],
)
def test_other_texts_are_refused_by_name(parse: object, data: bytes) -> None:
    with pytest.raises(ContentError, match="not as proc"):
        parse(data)  # type: ignore[operator]  # each of them takes bytes
