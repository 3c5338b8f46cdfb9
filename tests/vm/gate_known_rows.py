# SPDX-License-Identifier: Apache-2.0
"""What is asked anew although much like it was allowed a moment ago (ADR 46), as rows of a table.

In the world of gate_config.py; a row is as in gate_config_rows.py. Each reads something that is
allowed first, twice where only the second time uses what is known; nothing is renamed or mounted
between, but where that is the row.
"""

from __future__ import annotations

from .gate_config import ABSENT, ETC, OUTSIDE, SYS, SYS_OTHER
from .gate_config_rows import (
    EVIL,
    JAIL,
    LEAVE_JAIL,
    LINK,
    MAKE_JAIL,
    SETUP,
    UNDO,
    UNSIGNED,
    reads,
)

CACHE, JAILED = f"{ETC}/cache.1", f"{JAIL}{ETC}/good"
# The file lives on by another name while its directory goes; the file system gives the number out
# again. Where it doesn't, the row fails.
_SAME_NUMBER = f"""
mkdir -p {ABSENT}/one; cp {EVIL} {ABSENT}/one/x; ln {ABSENT}/one/x {OUTSIDE}/x
number=$(stat -c %i {ABSENT}/one)
cat {ABSENT}/one/x {ABSENT}/one/x >&2
rm -r {ABSENT}/one; mkdir {ABSENT}/two
[ $(stat -c %i {ABSENT}/two) = $number ] || echo says unsigned: another number
ln {OUTSIDE}/x {ABSENT}/two/x
"""
KNOWN = [
    reads(
        "unsigned, where what is signed was read",
        f"{ETC}/new",
        setup=SETUP,
        before=f"cat {ETC}/good {ETC}/good >&2; ",
        reason=UNSIGNED,
        undo=UNDO,
    ),
    reads(
        "another name of what was read",
        f"{ETC}/hard",
        before=f"cp {EVIL} {CACHE}; cat {CACHE} {CACHE} >&2; ln {CACHE} {ETC}/hard; ",
        reason=UNSIGNED,
        undo=f"rm {CACHE} {ETC}/hard",
    ),
    reads(
        "the same name in another directory",
        f"{ETC}/sub/cache.1",
        before=f"cp {EVIL} {CACHE}; cat {CACHE} {CACHE} >&2; ln {CACHE} {ETC}/sub; ",
        reason=UNSIGNED,
        undo=f"rm {CACHE} {ETC}/sub/cache.1",
    ),
    reads(
        "a directory in which all could be read",
        f"{ETC}/d/x",
        before=f"mkdir {OUTSIDE}/d; cp {EVIL} {OUTSIDE}/d/x; cat {OUTSIDE}/d/x {OUTSIDE}/d/x >&2;"
        f" mv {OUTSIDE}/d {ETC}; ",
        reason=UNSIGNED,
        undo=f"rm -r {ETC}/d",
    ),
    reads(
        "a directory below one that moved",
        f"{ETC}/d/e/x",
        before=f"mkdir -p {OUTSIDE}/d/e; cp {EVIL} {OUTSIDE}/d/e/x; cat {OUTSIDE}/d/e/x >&2;"
        f" mv {OUTSIDE}/d {ETC}; ",
        reason=UNSIGNED,
        undo=f"rm -r {ETC}/d",
    ),
    reads(
        "a directory made when that was gone",
        f"{ETC}/d/x",
        before=f"mkdir {OUTSIDE}/d; cp {EVIL} {OUTSIDE}/d/x; cat {OUTSIDE}/d/x >&2;"
        f" rm -r {OUTSIDE}/d; mkdir {ETC}/d; cp {EVIL} {ETC}/d/x; ",
        reason=UNSIGNED,
        undo=f"rm -r {ETC}/d",
    ),
    reads(
        "moved out to where all could be read",
        f"{OUTSIDE}/x",
        before=f"cp {EVIL} {ETC}/x; mv {ETC}/x {OUTSIDE}/x; cat {EVIL} {EVIL} >&2; ",
        reason=UNSIGNED,
        undo=f"rm {OUTSIDE}/x",
    ),
    reads(
        "an alias where all could be read",
        f"{OUTSIDE}/m/unlisted",
        "says unlisted",
        before=f"mkdir {OUTSIDE}/m; cp {EVIL} {OUTSIDE}/m/x; cat {OUTSIDE}/m/x >&2;"
        f" mount --bind {ETC} {OUTSIDE}/m; ",
        reason=UNSIGNED,
        undo=f"umount {OUTSIDE}/m; rm -r {OUTSIDE}/m",
    ),
    reads(
        "a jail whose files were read from outside",
        f"{ETC}/good",
        before=MAKE_JAIL + f"cat {JAILED} {JAILED} >&2; chroot {JAIL} ",
        reason=UNSIGNED,
        undo=LEAVE_JAIL,
    ),
    reads(
        "a jail that is a mount, likewise",
        f"{ETC}/good",
        before=MAKE_JAIL
        + f"mount --rbind {JAIL} {JAIL}; cat {JAILED} {JAILED} >&2; chroot {JAIL} ",
        reason=UNSIGNED,
        undo=f"umount -R {JAIL} && rm -r {JAIL}",
    ),
    reads(
        "another name of a link that was followed",
        f"{ETC}/hard",
        "says good",
        before=f"cat {ETC}/link {ETC}/link >&2; ln -P {ETC}/link {ETC}/hard; ",
        reason=LINK,
        undo=f"rm {ETC}/hard",
    ),
    reads(
        "another link of its name",
        f"{ETC}/link",
        "says other",
        before=f"cat {ETC}/link {ETC}/link >&2; rm {ETC}/link; ln -s other {ETC}/link; ",
        reason=LINK,
        undo=f"rm {ETC}/link; ln -s good {ETC}/link",
    ),
    reads(
        "an alias on a /proc of which all could be read",
        "/proc/tty/unlisted",
        "says unlisted",
        before=f"cat /proc/version /proc/version >&2; mount --bind {ETC} /proc/tty; ",
        reason=UNSIGNED,
        undo="umount /proc/tty",
    ),
    reads(
        "through a link of a /proc of which all could be read",
        f"/proc/self/root{ETC}/new /proc/self/cwd/new",
        setup=SETUP,
        before=f"cat /proc/self/stat /proc/self/stat >&2; cd {ETC}; ",
        reason=UNSIGNED,
        undo=UNDO,
    ),
    reads(
        "a /proc at a guarded place, after the other one",
        f"{ETC}/proc/version",
        "Linux version",
        before="cat /proc/version /proc/version >&2; ",
        reason=UNSIGNED,
    ),
    reads(
        "another file by an alias by which one was read",
        "/mnt/unlisted",
        "says unlisted",
        before=f"mount --bind {ETC} /mnt; cat /mnt/good /mnt/good >&2; ",
        reason=UNSIGNED,
        undo="umount /mnt",
    ),
    reads(
        "a link made where nothing but that place is signed",
        f"{ABSENT}/one/tree/leaf",
        before=f"mkdir -p {ABSENT}/one; cp {EVIL} {ABSENT}/one/x; cat {ABSENT}/one/x {ABSENT}/one/x"
        f" >&2; ln -s {OUTSIDE}/tree {ABSENT}/one/tree; ",
        reason=LINK,
        undo=f"rm -r {ABSENT}",
    ),
    reads(
        "a link made in the root, where a file was read",
        f"{ABSENT}/two",
        before=f"cp {EVIL} /x; cat /x /x >&2; mkdir {OUTSIDE}/d; cp {EVIL} {OUTSIDE}/d/two;"
        f" ln -s {OUTSIDE}/d {ABSENT}; ",
        reason=LINK,
        undo=f"rm -r /x {ABSENT} {OUTSIDE}/d",
    ),
    reads(
        "a directory with the number of another one, in which the file was read",
        f"{ABSENT}/two/x",
        before=_SAME_NUMBER,
        reason=UNSIGNED,
        undo=f"rm -r {ABSENT} {OUTSIDE}/x",
    ),
    reads(
        "what is guarded in /sys, after what isn't",
        SYS,
        "1",
        before=f"cat {SYS_OTHER} {SYS_OTHER} >&2; ",
        reason=UNSIGNED,
    ),
    reads("of /proc, and known", "/proc/version /proc/version", "Linux version"),
    reads(
        "signed, and known",
        f"{ETC}/good {ETC}/good {ETC}/link",
        "says good\nsays good\nsays good",
    ),
]
