# SPDX-License-Identifier: Apache-2.0
"""What may be taken away from the places that the policy requires to stay, as rows of a table.

In the world of gate_config.py; a row is as in gate_config_rows.py. None opens a file before it
takes it away, but where it says so.
"""

from __future__ import annotations

from .gate_config import ETC, KEPT, KEPT_ABOVE, KEPT_DEEP, OUTSIDE
from .gate_config_rows import EVIL, Row

REMOVED = "config-removed"
_STAYS = f"{KEPT}/stays"
_MADE, _GONE = f"cp {EVIL} {KEPT}/new", f"rm {KEPT}/new"


# As `verity etc apply` does: made to read and written by another descriptor, for nobody may open
# what isn't signed there once it has contents.
_BESIDE = f"""
import fcntl, os, struct
at = os.open("{KEPT}/new", os.O_RDONLY | os.O_CREAT | os.O_EXCL)
writer = os.open(f"/proc/self/fd/{{at}}", os.O_WRONLY)
os.write(writer, b"says stays\\n")
os.close(writer)
fcntl.ioctl(at, 0x40806685, struct.pack("<4IQ2I12Q", 1, 1, 4096, 0, 0, 0, 0, *[0] * 12))
os.fsync(at)
os.posix_fadvise(at, 0, 0, os.POSIX_FADV_DONTNEED)
os.close(at)
os.rename("{KEPT}/new", "{_STAYS}")
"""


# Something stands on it where the task can't see it, and would be gone there, too.
def _elsewhere(path: str) -> str:
    held = f"mount --bind {path} {path} && touch /run/held && sleep 3"
    return f"unshare -m sh -c '{held}' & until [ -e /run/held ]; do sleep 0.1; done"


def _removes(name: str, act: str, *, why: str = REMOVED, **more: str) -> Row:
    return Row(name=name, act=f"{act} && echo done", shows="done", reason=why, **more)


REMOVING = [
    _removes("deleted", f"rm {_STAYS}"),
    _removes("deleted when it was read", f"cat {_STAYS} >&2 && rm {_STAYS}"),
    _removes(
        "deleted when nothing of it is in memory",
        f"sync; echo 3 >/proc/sys/vm/drop_caches; rm {_STAYS}",
    ),
    _removes("deleted in a subdirectory", f"rm -r {KEPT}/sub"),
    _removes("deleted by an ordinary user", f"rm -f {KEPT_DEEP}/stays", user="user"),
    _removes("renamed away by an ordinary user", f"mv {KEPT_DEEP}/stays /tmp", user="user"),
    _removes("renamed away", f"mv {_STAYS} {OUTSIDE}"),
    _removes("renamed where it is", f"mv {_STAYS} {KEPT}/other"),
    _removes("another put over it", f"mv -f {KEPT}/new {_STAYS}", setup=_MADE, undo=_GONE),
    _removes(
        "what is signed elsewhere put over it",
        f"mv -f {KEPT}/new {_STAYS}",
        setup=f"ln {ETC}/good {KEPT}/new",
        undo=_GONE,
    ),
    _removes(
        "exchanged",
        f"mv --exchange -T {KEPT}/new {_STAYS}",
        setup=_MADE,
        undo=_GONE,
    ),
    _removes(
        "another with fs-verity put over it that nobody has opened",
        f"mv -f {KEPT}/new {_STAYS}",
        # Nobody may open it there to enable fs-verity.
        setup=f"cp {EVIL} {OUTSIDE}/new && fsverity enable {OUTSIDE}/new && mv {OUTSIDE}/new {KEPT}"
        " && sync && echo 3 >/proc/sys/vm/drop_caches",
        undo=_GONE,
    ),
    _removes(
        "deleted while it is mounted elsewhere",
        f"{_elsewhere(f'{KEPT}/new')}; rm {KEPT}/new",
        setup=_MADE,
        undo=f"rm -f /run/held; sleep 4; {_GONE}",
    ),
    _removes(
        "an empty directory while it is mounted elsewhere",
        f"{_elsewhere(f'{KEPT}/d')}; rmdir {KEPT}/d",
        setup=f"mkdir {KEPT}/d",
        undo=f"rm -f /run/held; sleep 4; rmdir {KEPT}/d",
    ),
    _removes("its directory renamed", f"mv {KEPT} {OUTSIDE}/kept"),
    _removes("a directory below renamed", f"mv {KEPT}/sub {KEPT}/other"),
    _removes("a directory renamed that leads there", f"mv {KEPT_ABOVE} {OUTSIDE}/kept"),
    _removes("a directory exchanged", f"mv --exchange -T {OUTSIDE}/tree {KEPT}"),
    _removes(
        "deleted by an alias",
        "rm /mnt/stays",
        setup=f"mount --bind {KEPT} /mnt",
        undo="umount /mnt",
    ),
    _removes(
        "deleted by an alias in a namespace of its own",
        f"unshare -m sh -c 'mount --bind {KEPT} /mnt && rm /mnt/stays'",
    ),
    _removes("deleted by the directory at hand", f"cd {KEPT}/sub && rm stays"),
    _removes("a link deleted", f"rm {KEPT}/link"),
    _removes("a link with another target put over it", f"ln -sf other {KEPT}/link"),
    _removes(
        "what isn't signed there",
        f"rm {KEPT}/new && mkdir {KEPT}/d && rmdir {KEPT}/d",
        setup=_MADE,
        why="",
    ),
    _removes(
        "an unsigned link",
        f"rm {KEPT}/out",
        setup=f"ln -s {EVIL} {KEPT}/out",
        why="",
    ),
    _removes(
        "what is mutable there",
        f"cp {EVIL} {KEPT}/mutable/x && mv {KEPT}/mutable/x {OUTSIDE}/x && rm {OUTSIDE}/x",
        why="",
    ),
    _removes(
        "another name of it, elsewhere",
        f"rm {OUTSIDE}/name",
        setup=f"ln {_STAYS} {OUTSIDE}/name",
        why="",
    ),
    _removes(
        "the same contents put over it",
        f"cat {OUTSIDE}/same >&2 && mv -f {OUTSIDE}/same {_STAYS} && cat {_STAYS}",
        # Enabled under the gate: no page from before may be left.
        setup=f"cp {_STAYS} {OUTSIDE}/same && fsverity enable {OUTSIDE}/same && sync &&"
        " echo 1 >/proc/sys/vm/drop_caches",
        why="",
    ),
    _removes(
        "the same contents made beside it and put over it",
        f"python3 -c '{_BESIDE}' && cat {_STAYS}",
        why="",
    ),
    _removes(
        "signed, and not required",
        f"mv {ETC}/good {OUTSIDE}/good && mv {OUTSIDE}/good {ETC}/good",
        why="",
    ),
]
