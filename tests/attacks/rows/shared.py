# SPDX-License-Identifier: Apache-2.0
"""Group 7, too: memory shared with a privileged task, mapped by one that gave privilege up."""

from ..attack import Attack
from ..ground import SIGNED, TOOLS, UNSIGNED

_LIBRARY = f"{SIGNED}/library.so"


def _shared(
    who: str,
    gives: str,
    maps: str = "anonymous",
    *,
    file: str = _LIBRARY,
    reason: str = "anonymous",
) -> Attack:
    return Attack(
        group=7,
        name=f"shared, {who} gives up {gives}, {maps}",
        act=f"{TOOLS}/share {who} {gives} {maps} {file}",
        reason=reason,
        signed=f"{TOOLS}/share {who} {gives} rx {_LIBRARY}",
        ordinary=gives == "nothing",
    )


ROWS = (
    *(_shared("thread", gives) for gives in ("nothing", "uid", "group", "groups", "caps")),
    *(_shared("process", gives) for gives in ("nothing", "uid", "unshare", "setns", "clone")),
    _shared("vfork", "uid"),
    _shared("vfork", "clone"),
    _shared("further", "uid"),
    _shared("thread", "uid", "protect"),
    _shared("thread", "uid", "implies"),
    _shared("thread", "uid", "rx", file=f"{UNSIGNED}/library.so", reason="no-digest"),
)


def _own(what: str, arguments: str) -> Attack:
    return Attack(group=7, name=what, act=f"{TOOLS}/share {arguments}", reason="", ordinary=False)


WORKING = (
    _own("alone in its memory", f"alone uid anonymous {_LIBRARY}"),
    _own("alone, and threads later", f"later uid anonymous {_LIBRARY}"),
    _own("a child with memory of its own", f"forked uid anonymous {_LIBRARY}"),
    _own("left alone", f"left uid anonymous {_LIBRARY}"),
    _own("alone, without a group", f"alone group anonymous {_LIBRARY}"),
    _own("alone, in a user namespace", f"alone unshare anonymous {_LIBRARY}"),
    _own("a daemon's thread that executes", f"thread uid exec {UNSIGNED}/program"),
    _own("a process that executes", f"process uid exec {UNSIGNED}/program"),
)
"""What stays allowed: memory that nobody privileged has, and programs in memory of their own."""
