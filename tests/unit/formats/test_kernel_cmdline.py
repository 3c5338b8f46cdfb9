# SPDX-License-Identifier: Apache-2.0
"""Kernel command lines: what in them starts something else, or leaves the gate out."""

import pytest

from verity.formats import kernel_cmdline
from verity.formats.kernel_cmdline import Word

FINE = (
    "BOOT_IMAGE=/vmlinuz root=UUID=1 ro quiet lsm=lockdown,bpf init=/sbin/init"
    " systemd.unit=multi-user.target rd.shell=0"
)


def test_words_as_the_kernel_splits_them() -> None:
    assert list(kernel_cmdline.words('a=1 "b=x y"  dyndbg="file a +p" quiet\n')) == [
        Word(name="a", value="1"),
        Word(name="b", value="x y"),
        Word(name="dyndbg", value="file a +p"),
        Word(name="quiet", value=None),
    ]


def test_an_ordinary_line() -> None:
    assert list(kernel_cmdline.complaints(FINE)) == []


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("init=/bin/sh", "another program is PID 1"),
        ("rdinit=/x", "another program is PID 1"),
        ("lsm=apparmor,yama", "no gate can be loaded"),
        ("systemd.mask=verity-gate.service", "isn't loaded or sealed"),
        ("systemd.mask=verity-seal-late.service", "isn't loaded or sealed"),
        ("systemd.unit=emergency.target", "a shell of root's"),
        ("single", "a shell of root's"),
        ("rd.break", "the initramfs stops"),
        ("break=init", "the initramfs stops"),
        ("systemd.debug-shell=1", "without a password"),
    ],
)
def test_what_is_told(word: str, why: str) -> None:
    (one,) = kernel_cmdline.complaints(f"{FINE} {word}")
    assert (one.word, why in one.why) == (word, True)


def test_files_of_boot_loaders() -> None:
    grub = "menuentry x {\n  linux /vmlinuz root=a quiet\n  initrd /i\n}\nset linux=1\n"
    assert list(kernel_cmdline.of_grub(grub)) == ["root=a quiet"]
    entry = "title x\noptions root=a rw\nlinux /vmlinuz\n"
    assert list(kernel_cmdline.of_entry(entry)) == ["root=a rw"]
