# SPDX-License-Identifier: Apache-2.0
"""What privileged programs may read, follow and mount in the world of gate_config.py, as rows.

A row is a command by root, and the reason for which the gate refuses it, or none. What it shows on
standard output it shows only when it succeeds; `setup` is by root, too; `undo` leaves the machine
as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from .gate_config import DEEP, ETC, OUTSIDE, TREE, VENDOR

UNSIGNED, LINK, MOUNT = "config-unsigned", "config-link", "config-mount"
ACTS = {UNSIGNED: "config", LINK: "link", MOUNT: "mount", "config-removed": "remove"}
EVIL = f"{OUTSIDE}/unsigned"
SETUP, UNDO = f"cp {EVIL} {ETC}/new", f"rm {ETC}/new"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A command, what it must show, and why it is refused ("": it isn't)."""

    name: str
    act: str
    shows: str = "says unsigned"
    reason: str = ""
    setup: str = ":"
    undo: str = ":"
    user: str | None = None

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def reads(name: str, path: str, shows: str = "says unsigned", **more: str) -> Row:
    """cat PATH, behind what `before` says."""
    before = more.pop("before", "")
    return Row(name=name, act=f"{before}cat {path}", shows=shows, **more)


def mounts(name: str, command: str, at: str, **more: str) -> Row:
    """A mount, by each of the two interfaces: mount(2) and move_mount(2)."""
    shows = f"echo mounted; umount {at}"
    act = f"LIBMOUNT_FORCE_MOUNT2=$way mount {command} {at} && {shows}"
    return Row(name=name, act=f"for way in always never; do {act}; done", shows="mounted", **more)


JAIL = f"{OUTSIDE}/jail"
MAKE_JAIL = (
    f"mkdir -p {JAIL}/usr {JAIL}{ETC} && cp -P /bin /lib /lib64 {JAIL} &&"
    f" cp {EVIL} {JAIL}{ETC}/good && mount --bind /usr {JAIL}/usr && "
)
LEAVE_JAIL = f"umount {JAIL}/usr; rm -r {JAIL}"

READING = [
    reads("signed", f"{ETC}/good", "says good"),
    reads("signed in a subdirectory", f"{ETC}/sub/deep", "says sub/deep"),
    reads("signed by the vendor", f"{VENDOR}/vendor {TREE}/leaf", "says leaf"),
    reads(
        "unsigned",
        f"{ETC}/new",
        before=f"cp {EVIL} {ETC}/new; ",
        reason=UNSIGNED,
        undo=f"rm {ETC}/new",
    ),
    reads("fs-verity and no grant", f"{ETC}/unlisted", "says unlisted", reason=UNSIGNED),
    reads(
        "in a new directory",
        f"{ETC}/new.d/x",
        before=f"mkdir {ETC}/new.d; cp {EVIL} {ETC}/new.d/x; ",
        reason=UNSIGNED,
        undo=f"rm -r {ETC}/new.d",
    ),
    reads(
        "renamed",
        f"{ETC}/renamed",
        "says good",
        before=f"mv {ETC}/good {ETC}/renamed; ",
        reason=UNSIGNED,
        undo=f"mv {ETC}/renamed {ETC}/good",
    ),
    reads(
        "the contents of another name",
        f"{ETC}/good",
        "says other",
        before=f"mv {ETC}/good {ETC}/good.old; ln {ETC}/other {ETC}/good; ",
        reason=UNSIGNED,
        undo=f"mv {ETC}/good.old {ETC}/good",
    ),
    reads(
        "a hard link in",
        f"{ETC}/hard",
        before=f"ln {EVIL} {ETC}/hard; ",
        reason=UNSIGNED,
        undo=f"rm {ETC}/hard",
    ),
    reads(
        "a hard link out",
        f"{OUTSIDE}/hard",
        "says good",
        before=f"ln {ETC}/good {OUTSIDE}/hard; ",
        undo=f"rm {OUTSIDE}/hard",
    ),
    reads(
        "without its fs-verity",
        f"{ETC}/good",
        "says good",
        before=f"mv {ETC}/good {ETC}/good.old; cp {ETC}/good.old {ETC}/good 2>/dev/null ||"
        f" echo says good >{ETC}/good; ",
        reason=UNSIGNED,
        undo=f"mv {ETC}/good.old {ETC}/good",
    ),
    reads(
        "mutable",
        f"{ETC}/mutable/x",
        before=f"cp {EVIL} {ETC}/mutable/x; ",
        undo=f"rm {ETC}/mutable/x",
    ),
    reads(
        "ignored", f"{ETC}/cache.1", before=f"cp {EVIL} {ETC}/cache.1; ", undo=f"rm {ETC}/cache.1"
    ),
    reads(
        "a name that only begins alike", f"{ETC}x", before=f"cp {EVIL} {ETC}x; ", undo=f"rm {ETC}x"
    ),
    reads("outside", EVIL),
    reads("by an ordinary user", f"{ETC}/new", setup=SETUP, undo=UNDO, user="user"),
    Row(
        name="written",
        act=f"echo says unsigned >{ETC}/new && echo done",
        shows="done",
        undo=f"rm {ETC}/new",
    ),
    Row(
        name="made and read at once",
        act=f"exec 3<>{ETC}/new && echo done",
        shows="done",
        undo=f"rm {ETC}/new",
    ),
    Row(
        name="read and written",
        setup=SETUP,
        act=f"exec 3<>{ETC}/new && echo done",
        shows="done",
        reason=UNSIGNED,
        undo=f"rm {ETC}/new",
    ),
    reads(
        "in a jail of its own",
        f"{ETC}/good",
        before=MAKE_JAIL + f"chroot {JAIL} ",
        reason=UNSIGNED,
        undo=LEAVE_JAIL,
    ),
]
LONG = "d" * 200
ALIASES = [
    reads(
        "by an alias",
        "/mnt/unlisted",
        "says unlisted",
        before=f"mount --bind {ETC} /mnt; ",
        reason=UNSIGNED,
        undo="umount /mnt",
    ),
    reads(
        "signed, by an alias",
        "/mnt/good",
        "says good",
        before=f"mount --bind {ETC} /mnt; ",
        undo="umount /mnt",
    ),
    reads(
        "by an alias of a subdirectory",
        "/mnt/x",
        before=f"mkdir {ETC}/sub/new; cp {EVIL} {ETC}/sub/new/x; mount --bind {ETC}/sub/new /mnt; ",
        reason=UNSIGNED,
        undo=f"umount /mnt; rm -r {ETC}/sub/new",
    ),
    reads(
        "the directory under another name",
        f"{OUTSIDE}/moved/x",
        before=f"cp {EVIL} {TREE}/x; mv {TREE} {OUTSIDE}/moved; ",
        reason=UNSIGNED,
        undo=f"mv {OUTSIDE}/moved {TREE}; rm {TREE}/x",
    ),
    Row(
        name="from a working directory that moves",
        act=f"cp {EVIL} {TREE}/x; cd {TREE} && mv {TREE} {OUTSIDE}/moved && cat x",
        reason=UNSIGNED,
        undo=f"mv {OUTSIDE}/moved {TREE}; rm {TREE}/x",
    ),
    Row(
        name="from another working directory that moves",
        act=f"mkdir {ETC}/d; cp {EVIL} {ETC}/d/x; cd {ETC}/d && mv {ETC}/d {OUTSIDE}/d && cat x",
        reason=UNSIGNED,
        undo=f"rm -r {OUTSIDE}/d",
    ),
    reads(
        "moved out at this moment",
        f"{OUTSIDE}/x",
        before=f"cp {EVIL} {ETC}/x; mv {ETC}/x {OUTSIDE}/x; ",
        reason=UNSIGNED,
        undo=f"rm {OUTSIDE}/x",
    ),
    reads(
        "moved out and back",
        f"{ETC}/good",
        "says good",
        before=f"mv {ETC}/good {OUTSIDE}; mv {OUTSIDE}/good {ETC}; ",
    ),
    reads(
        "moved out of what is mutable",
        f"{OUTSIDE}/x",
        before=f"cp {EVIL} {ETC}/mutable/x; mv {ETC}/mutable/x {OUTSIDE}/x; ",
        undo=f"rm {OUTSIDE}/x",
    ),
    reads(
        "deeper than a grant can name",
        f"{ETC}/{LONG}/{LONG}/x",
        before=f"mkdir -p {ETC}/{LONG}/{LONG}; cp {EVIL} {ETC}/{LONG}/{LONG}/x; ",
        reason=UNSIGNED,
        undo=f"rm -r {ETC}/{LONG}",
    ),
    reads(
        "as deep outside",
        f"{OUTSIDE}/{LONG}/{LONG}/x",
        before=f"mkdir -p {OUTSIDE}/{LONG}/{LONG}; cp {EVIL} {OUTSIDE}/{LONG}/{LONG}/x; ",
        undo=f"rm -r {OUTSIDE}/{LONG}",
    ),
]
LINKS = [
    reads("a granted link", f"{ETC}/link", "says good"),
    reads("a granted link out", f"{ETC}/abroad"),
    Row(name="the target of a granted link", act=f"readlink {ETC}/link", shows="good"),
    reads(
        "a link out",
        f"{ETC}/out",
        before=f"ln -s {EVIL} {ETC}/out; ",
        reason=LINK,
        undo=f"rm {ETC}/out",
    ),
    reads(
        "a link to what is signed",
        f"{ETC}/out",
        "says good",
        before=f"ln -s good {ETC}/out; ",
        reason=LINK,
        undo=f"rm {ETC}/out",
    ),
    reads(
        "a link with another target",
        f"{ETC}/link",
        "says other",
        before=f"mv {ETC}/link {ETC}/link.old; ln -s other {ETC}/link; ",
        reason=LINK,
        undo=f"mv {ETC}/link.old {ETC}/link",
    ),
    Row(
        name="the target of another link",
        act=f"ln -s /dev/null {ETC}/out; readlink {ETC}/out",
        shows="/dev/null",
        reason=LINK,
        undo=f"rm {ETC}/out",
    ),
    reads(
        "a link in place of a directory",
        f"{TREE}/leaf",
        before=f"mv {TREE} {TREE}.old; ln -s {OUTSIDE}/tree {TREE}; ",
        reason=LINK,
        undo=f"rm {TREE}; mv {TREE}.old {TREE}",
    ),
    reads(
        "a link on the way",
        f"{TREE}/leaf",
        before=f"mv {DEEP} {DEEP}.old; mkdir {OUTSIDE}/deep; mv {OUTSIDE}/tree {OUTSIDE}/deep;"
        f" ln -s {OUTSIDE} {DEEP}; ",
        reason=LINK,
        undo=f"rm {DEEP}; mv {DEEP}.old {DEEP}; mv {OUTSIDE}/deep/tree {OUTSIDE};"
        f" rmdir {OUTSIDE}/deep",
    ),
    reads(
        "a link elsewhere",
        f"{OUTSIDE}/l",
        before=f"ln -s {EVIL} {OUTSIDE}/l; ",
        undo=f"rm {OUTSIDE}/l",
    ),
    reads(
        "a link, by an ordinary user",
        f"{OUTSIDE}/to",
        "says good",
        user="user",
    ),
]
MOUNTS = [
    mounts("over a file", f"--bind {EVIL}", f"{ETC}/good", reason=MOUNT),
    mounts("over the directory", f"--bind {OUTSIDE}", ETC, reason=MOUNT),
    mounts("a file system over it", "-t tmpfs none", ETC, reason=MOUNT),
    mounts("over what leads there", "-t tmpfs none", DEEP, reason=MOUNT),
    Row(
        name="in a namespace of its own",
        act=f"unshare -m sh -c 'mount --bind {OUTSIDE} {ETC} && echo mounted'",
        shows="mounted",
        reason=MOUNT,
    ),
    Row(
        name="by an alias that is shared",
        act=f"mount --bind / /mnt && mount -t tmpfs none /mnt{ETC} && echo mounted",
        shows="mounted",
        reason=MOUNT,
        undo="umount /mnt",
    ),
    Row(
        name="moved there",
        act=f"mkdir {OUTSIDE}/m; mount -t tmpfs none {OUTSIDE}/m;"
        f" unshare -m mount --move {OUTSIDE}/m {ETC} && echo mounted",
        shows="mounted",
        reason=MOUNT,
        undo=f"umount {OUTSIDE}/m; rmdir {OUTSIDE}/m",
    ),
    mounts("over itself", f"--bind {ETC}", ETC),
    mounts("elsewhere", "-t tmpfs none", "/mnt"),
    mounts("over what is mutable", "-t tmpfs none", f"{ETC}/mutable"),
    Row(name="a namespace alone", act="unshare -m echo done", shows="done"),
    Row(
        name="by an ordinary user in a namespace of theirs",
        act=f"unshare -Urm sh -c 'mount --bind {OUTSIDE} {ETC} && echo mounted'",
        shows="mounted",
        user="user",
    ),
]
ROWS = [*READING, *ALIASES, *LINKS, *MOUNTS]
