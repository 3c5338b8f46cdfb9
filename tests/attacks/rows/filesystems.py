# SPDX-License-Identifier: Apache-2.0
"""Group 8: file systems of the attacker's own, and other files in signed places."""

from ..attack import USER, Attack
from ..ground import SIGNED, TOOLS, UNLISTED, UNSIGNED, WORK

_AT = "/run/attack"
_OWNER = "/run/attack-owner"
_LOWER = f"{WORK}/lower"
_BINFMT = "/proc/sys/fs/binfmt_misc"
_DISK = f"{WORK}/disk.img"
# fapolicyd may still hold what it was asked about.
_UNMOUNT = f"(umount {_AT} || umount -l {_AT}) && rmdir {_AT}"


def _disk(size: str) -> str:
    make = f"truncate -s {size} {_DISK} && mke2fs -q -t ext4 -O verity -b 4096 {_DISK}"
    return f"mkdir -p {_AT} && {make} && mount -o loop {_DISK} {_AT}"


def _layers(lower: str) -> str:
    return f"lowerdir={lower},upperdir={WORK}/over/upper,workdir={WORK}/over/work"


def _overlay(lower: str, first: str) -> str:
    make = f"mkdir -p {_AT} {WORK}/over/upper {WORK}/over/work && {first}"
    return f"{make} && mount -t overlay -o {_layers(lower)} attack {_AT}"


_AWAY = f"{_UNMOUNT} && rm -rf {WORK}/over"

ROWS = (
    Attack(
        group=8,
        name="tmpfs",
        setup=f"mkdir {_AT} && mount -t tmpfs attack {_AT} && cp {SIGNED}/program {_AT}",
        act=f"{_AT}/program",
        cleanup=_UNMOUNT,
        reason="no-digest",
        signed=f"{SIGNED}/program",
    ),
    Attack(
        group=8,
        name="ramfs",
        setup=f"mkdir {_AT} && mount -t ramfs attack {_AT} && cp {SIGNED}/program {_AT}",
        act=f"{_AT}/program",
        cleanup=_UNMOUNT,
        reason="no-digest",
        signed=f"{SIGNED}/program",
    ),
    Attack(
        group=8,
        name="loop mount",
        setup=f"{_disk('16M')} && cp {UNSIGNED}/program {_AT} && {TOOLS}/enable {_AT}/program",
        act=f"{_AT}/program",
        cleanup=f"{_UNMOUNT} && rm {_DISK}",
        reason="not-granted",
    ),
    Attack(
        group=8,
        name="FUSE",
        setup=f"mkdir {_AT} && modprobe fuse && {TOOLS}/fuse {_AT} {SIGNED}/program",
        act=f"{_AT}/program",
        cleanup=_UNMOUNT,
        reason="no-digest",
        signed=f"{SIGNED}/program",
    ),
    Attack(
        group=8,
        name="overlay's lower layer",
        setup=_overlay(UNSIGNED, ":"),
        act=f"{_AT}/program",
        cleanup=_AWAY,
        reason="no-digest",
    ),
    Attack(
        group=8,
        name="overlay's lower layer, unlisted",
        setup=_overlay(UNLISTED, ":"),
        act=f"{_AT}/program",
        cleanup=_AWAY,
        reason="not-granted",
        signed="",
    ),
    Attack(
        group=8,
        name="dynamic program on an overlay",
        setup=_overlay(UNSIGNED, ":"),
        act=f"{_AT}/dynamic",
        cleanup=_AWAY,
        reason="no-digest",
    ),
    Attack(
        group=8,
        name="library on an overlay",
        setup=_overlay(UNSIGNED, ":"),
        act=f"{TOOLS}/load {_AT}/library.so",
        cleanup=_AWAY,
        shows="ok",
        reason="no-digest",
    ),
    Attack(
        group=8,
        name="signed library made executable on an overlay",
        setup=_overlay(SIGNED, f"chmod 755 {SIGNED}/not-executable"),
        act=f"{_AT}/not-executable",
        cleanup=f"chmod 644 {SIGNED}/not-executable; {_AWAY}",
        reason="wrong-use",
        signed="",
    ),
    Attack(
        group=8,
        name="mapped on an overlay, then made executable",
        setup=_overlay(UNSIGNED, ":"),
        act=f"{TOOLS}/mapper protect {_AT}/library.so",
        cleanup=_AWAY,
        reason="unverified",
        signed="",
    ),
    # The kernel maps the file below with the credentials of who mounted the overlay.
    Attack(
        group=8,
        name="overlay of an ordinary user's",
        setup=f"mkdir -p {WORK}/over/upper {WORK}/over/work && chown -R {USER} {WORK}/over;"
        f" setpriv --reuid={USER} --regid={USER} --clear-groups unshare -Urm sh -c"
        f" 'mount -t overlay -o {_layers(UNSIGNED)},userxattr attack /mnt && exec sleep 300'"
        f" & echo $! >{_OWNER}; for i in 1 2 3 4 5 6 7 8 9 10; do"
        f" grep -q attack /proc/$(cat {_OWNER})/mounts && break; sleep 0.5; done",
        act=f"/proc/$(cat {_OWNER})/root/mnt/program",
        cleanup=f"kill $(cat {_OWNER}); rm -rf {_OWNER} {WORK}/over",
        reason="no-digest",
        ordinary=False,
    ),
    # The head of a file that is judged later decides who maps it.
    Attack(
        group=8,
        name="signed script on an overlay",
        setup=_overlay(SIGNED, ":"),
        act=f"{_AT}/script.sh",
        cleanup=_AWAY,
        reason="no-digest",
        signed="",
    ),
    Attack(
        group=8,
        name="program on an overlay that maps nothing executable",
        setup=_overlay(_LOWER, f"mkdir {_LOWER} && {TOOLS}/stack {_LOWER}/stack"),
        act=f"{TOOLS}/stack run {_AT}/stack",
        cleanup=f"{_AWAY} && rm -r {_LOWER}",
        reason="no-digest",
        signed="",
    ),
    Attack(
        group=8,
        name="program on an overlay, handed to an interpreter by binfmt_misc",
        setup=f"{_overlay(UNSIGNED, ':')} && {{ mountpoint -q {_BINFMT} ||"
        f" mount -t binfmt_misc none {_BINFMT}; }}"
        f" && cp {UNSIGNED}/program {_AT}/program.attack"
        f" && echo ':attack:E::attack::{SIGNED}/interpreter:' >{_BINFMT}/register",
        act=f"{_AT}/program.attack",
        cleanup=f"echo -1 >{_BINFMT}/attack; {_AWAY}",
        shows="ran signed",
        reason="no-digest",
        signed="",
        ordinary=False,
    ),
    Attack(
        group=8,
        name="overlay's upper layer",
        setup=_overlay(SIGNED, f"cp {UNSIGNED}/program {WORK}/over/upper"),
        act=f"{_AT}/program",
        cleanup=_AWAY,
        shows="ran unsigned",
        reason="no-digest",
        signed="",
    ),
    Attack(
        group=8,
        name="copied up in an overlay",
        setup=f"{_overlay(SIGNED, ':')} && chmod 700 {_AT}/program && chmod 755 {_AT}/program",
        act=f"{_AT}/program",
        cleanup=_AWAY,
        reason="no-digest",
        signed="",
    ),
    Attack(
        group=8,
        name="bind mount over a signed path",
        setup=f"mount --bind {UNSIGNED}/program {SIGNED}/victim",
        act=f"{SIGNED}/victim",
        # fapolicyd may still have it open.
        cleanup=f"umount --lazy {SIGNED}/victim",
        shows="ran unsigned",
        reason="no-digest",
        signed=f"{SIGNED}/victim",
    ),
    Attack(
        group=8,
        name="page swapped while fs-verity is enabled",
        setup=f"{_disk('96M')} && cp {SIGNED}/big {_AT} && sync",
        act=(
            f"{TOOLS}/swap {_DISK} {_AT}/big 'ran signed' 'ran forged' >&2 && {_AT}/big;"
            f" fsverity measure {_AT}/big {SIGNED}/big >&2"
        ),
        cleanup=f"{_UNMOUNT} && rm {_DISK}",
        shows="ran forged",
        reason="stale",
        signed=f"{TOOLS}/enable {_AT}/big >&2 && {_AT}/big && echo ran forged",
        ordinary=False,
    ),
)
