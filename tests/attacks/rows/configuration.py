# SPDX-License-Identifier: Apache-2.0
"""Groups 16 and 17: what root reads in a guarded directory, and other things at its path."""

from typing import Any

from ..attack import Attack
from ..ground import GUARDED, LEADING, TOOLS, WORK

_FILE, _OTHER = f"{GUARDED}/file", f"{GUARDED}/other"
_OUTSIDE = f"{WORK}/outside"
_MAKE_OUTSIDE = f"mkdir -p {_OUTSIDE} && echo says evil >{_OUTSIDE}/file"
_AWAY = f"rm -r {_OUTSIDE}"
_SIGNED = f"cat {_FILE}"
_PRIVATE = "/run/attack-config"
_JAIL = "/run/attack-jail"
_DISK, _LOOP = f"{WORK}/disk", "/dev/loop5"
_MOVED = f"{WORK}/moved"


def _read(
    name: str, path: str, setup: str, cleanup: str, *, before: str = "", **others: Any
) -> Attack:
    values: dict[str, Any] = {"reason": "config-unsigned", "shows": "says", "signed": _SIGNED}
    return Attack(
        group=16,
        name=name,
        act=f"{before}cat {path}",
        setup=setup,
        cleanup=cleanup,
        **{**values, **others},
    )


def _over(name: str, act: str, *, setup: str = ":", cleanup: str = ":") -> Attack:
    """A mount by root; what it would show says `evil`. An ordinary user can't mount."""
    return Attack(
        group=17,
        name=name,
        setup=f"{_MAKE_OUTSIDE} && {setup}",
        act=act,
        cleanup=f"{cleanup}; {_AWAY}",
        shows="says evil",
        reason="config-mount",
        ordinary=False,
    )


ROWS = (
    _read(
        "unsigned file",
        f"{GUARDED}/new",
        f"echo says evil >{GUARDED}/new",
        f"rm {GUARDED}/new",
    ),
    _read(
        "drop-in",
        f"{_FILE}.d/new",
        f"mkdir {_FILE}.d && echo says evil >{_FILE}.d/new",
        f"rm -r {_FILE}.d",
    ),
    _read(
        "new subdirectory",
        f"{GUARDED}/more/deep/new",
        f"mkdir -p {GUARDED}/more/deep && echo says evil >{GUARDED}/more/deep/new",
        f"rm -r {GUARDED}/more",
    ),
    _read(
        "renamed signed file",
        f"{GUARDED}/renamed",
        f"mv {_FILE} {GUARDED}/renamed",
        f"mv {GUARDED}/renamed {_FILE}",
        signed=f"cat {_OTHER}",
    ),
    _read(
        "contents of another guarded file",
        _FILE,
        f"mv {_FILE} {_FILE}.away && ln {_OTHER} {_FILE}",
        f"mv {_FILE}.away {_FILE}",
        shows="says other",
        signed=f"cat {_OTHER}",
    ),
    _read(
        "unsigned file in a signed one's place",
        _FILE,
        f"mv {_FILE} {_FILE}.away && echo says evil >{_FILE}",
        f"mv {_FILE}.away {_FILE}",
        signed=f"cat {_OTHER}",
    ),
    _read(
        "FIFO",
        f"{GUARDED}/new",
        f"mkfifo {GUARDED}/new && (echo says evil >{GUARDED}/new &)",
        f"rm {GUARDED}/new",
        signed="",
    ),
    _read(
        "block device",
        f"{GUARDED}/new",
        f"echo says evil >{_DISK} && truncate -s 64K {_DISK} && losetup {_LOOP} {_DISK}"
        f" && mknod -m 444 {GUARDED}/new b 7 5",
        f"rm {GUARDED}/new; losetup -d {_LOOP}; rm {_DISK}",
    ),
    _read(
        "character device",
        f"{GUARDED}/new | head -c 4 | tr '\\0' z",
        f"mknod -m 444 {GUARDED}/new c 1 5",
        f"rm {GUARDED}/new",
        shows="zzzz",
        signed="",
    ),
    _read(
        "working directory that led elsewhere before",
        "x",
        f"mv {LEADING} {GUARDED}/led && echo says evil >{GUARDED}/led/x",
        f"rm {LEADING}/x",
        before=f"cd {GUARDED}/led && mv {GUARDED}/led {LEADING} && ",
        ordinary=False,
        signed="",
    ),
    _read(
        "file that is moved away while a watcher holds its reader up",
        f"{GUARDED}/new",
        f"echo says evil >{GUARDED}/new",
        f"rm -f {_MOVED} {GUARDED}/new",
        before=f"{TOOLS}/watched {GUARDED}/new {GUARDED}/new {_MOVED} ",
        ordinary=False,
        signed=f"{TOOLS}/watched {_FILE} - - cat {_FILE}",
    ),
    # What was allowed all over /proc is remembered for its mount.
    _read(
        "by a link of a /proc that was read",
        f"/proc/self/root{GUARDED}/new",
        f"echo says evil >{GUARDED}/new",
        f"rm {GUARDED}/new",
        before="cat /proc/version /proc/self/stat >&2; ",
        signed=f"cat /proc/version >&2; cat /proc/self/root{_FILE}",
    ),
    _read(
        "mounted on a /proc that was read",
        "/proc/tty/new",
        f"echo says evil >{GUARDED}/new",
        f"umount /proc/tty; rm {GUARDED}/new",
        before=f"cat /proc/tty/drivers >&2; mount --bind {GUARDED} /proc/tty; ",
        signed="",
        ordinary=False,
    ),
    *(
        Attack(
            group=11,
            name=f"unsigned configuration opened {mode}",
            setup=f"echo says evil >{GUARDED}/new",
            act=f"{TOOLS}/uring read {mode} {GUARDED}/new",
            cleanup=f"rm {GUARDED}/new",
            shows="says",
            reason="config-unsigned",
            signed=f"{TOOLS}/uring read {mode} {_FILE}",
        )
        for mode in ("sync", "async", "sqpoll")
    ),
    Attack(
        group=17,
        name="symlink out of the directory",
        setup=f"{_MAKE_OUTSIDE} && ln -s {_OUTSIDE}/file {GUARDED}/out",
        act=f"cat {GUARDED}/out",
        cleanup=f"rm {GUARDED}/out; {_AWAY}",
        shows="says evil",
        reason="config-link",
        signed=f"cat {GUARDED}/link && echo says evil",
    ),
    Attack(
        group=17,
        name="hard link in",
        setup=f"{_MAKE_OUTSIDE} && ln {_OUTSIDE}/file {GUARDED}/in",
        act=f"cat {GUARDED}/in",
        cleanup=f"rm {GUARDED}/in; {_AWAY}",
        shows="says evil",
        reason="config-unsigned",
        signed=f"{_SIGNED} && echo says evil",
    ),
    _over(
        "bind mount over a file",
        f"mount --bind {_OUTSIDE}/file {_FILE} && cat {_FILE}",
        cleanup=f"umount {_FILE}",
    ),
    _over(
        "bind mount over the directory",
        f"mount --bind {_OUTSIDE} {GUARDED} && cat {_FILE}",
        cleanup=f"umount {GUARDED}",
    ),
    _over(
        "tmpfs over the directory",
        f"mount -t tmpfs attack {GUARDED} && echo says evil",
        cleanup=f"umount {GUARDED}",
    ),
    *(
        _over(
            f"mount moved over the directory by {which}",
            f"{move} {_PRIVATE}/in {GUARDED} && echo says evil",
            setup=f"mkdir {_PRIVATE} && mount -t tmpfs attack {_PRIVATE}"
            f" && mount --make-private {_PRIVATE} && mkdir {_PRIVATE}/in"
            f" && mount -t tmpfs attack {_PRIVATE}/in",
            cleanup=f"umount {GUARDED} 2>/dev/null; umount -R {_PRIVATE}; rmdir {_PRIVATE}",
        )
        # mount(8) makes and moves with the new mount API, the tool with mount(2).
        for which, move in (("move_mount", "mount --move"), ("mount", f"{TOOLS}/move"))
    ),
    _over(
        "recursive bind of the directory with a mount on it",
        f"mount --rbind {_PRIVATE} {GUARDED} && readlink {GUARDED}/sub/link",
        setup=f"ln -s 'says evil' {_OUTSIDE}/link && mkdir {_PRIVATE}"
        f" && mount --bind {GUARDED} {_PRIVATE} && mount --make-private {_PRIVATE}"
        f" && mount --bind {_OUTSIDE} {_PRIVATE}/sub",
        cleanup=f"umount -R {GUARDED} 2>/dev/null; umount -R {_PRIVATE}; rmdir {_PRIVATE}",
    ),
    _over(
        "mount in the reader's own namespace",
        f"unshare -m sh -c 'mount --bind {_OUTSIDE} {GUARDED} && cat {_FILE}'",
    ),
    Attack(
        group=17,
        name="chroot",
        setup=f"mkdir -p {_JAIL}/usr {_JAIL}{GUARDED} && mount --bind /usr {_JAIL}/usr"
        f" && ln -s usr/lib usr/lib64 {_JAIL} && echo says evil >{_JAIL}{_FILE}",
        act=f"chroot {_JAIL} /usr/bin/cat {_FILE}",
        cleanup=f"umount {_JAIL}/usr && rm -r {_JAIL}",
        shows="says evil",
        reason="config-unsigned",
        ordinary=False,
    ),
)

SLOW = (
    _read(
        "file that is moved away while a lease holds its reader up",
        f"{GUARDED}/new",
        f"echo says evil >{GUARDED}/new && echo 300 >/proc/sys/fs/lease-break-time",
        f"rm {_MOVED}",
        before=f"{TOOLS}/late {GUARDED}/new {GUARDED}/new {_MOVED} 61 ",
        ordinary=False,
        signed="",
    ),
)
"""More than a minute: to wait was enough once."""
