# SPDX-License-Identifier: Apache-2.0
"""Group 14: subjects that look ordinary and still hold something of root's."""

from ..attack import Attack
from ..ground import SIGNED, TOOLS, UNSIGNED

_PROGRAM = f"{UNSIGNED}/program"
_GROUP = "/sys/fs/cgroup/attack"


def _subject(which: str) -> Attack:
    act = f"{TOOLS}/subject {which} {_PROGRAM}"
    return Attack(group=14, name=which, act=act, reason="no-digest", ordinary=False)


def _later(which: str) -> Attack:
    """Code that an ordinary user has mapped, and then an id of the host's without an execve."""
    return Attack(
        group=14,
        name=f"{which} of the host set in a user namespace",
        act=f"{TOOLS}/later {which} {SIGNED}/library.so",
        reason="not-elevated",
        signed=f"{TOOLS}/later another {SIGNED}/library.so",
        ordinary=False,
    )


ROWS = (
    *map(_subject, ("saved", "fs", "real", "uncapable", "disk")),
    *map(_subject, ("permitted", "inheritable", "ambient")),
    *map(_later, ("uid", "gid", "groups")),
    Attack(
        group=14,
        name="root in a user namespace",
        act=f"unshare -Ur {_PROGRAM}",
        reason="no-digest",
    ),
    Attack(
        group=14,
        name="another uid in a user namespace",
        act=f"unshare -U --map-user=1000 {_PROGRAM}",
        reason="no-digest",
    ),
    Attack(
        group=14,
        name="no capabilities",
        act=f"capsh --drop=all -- -c {_PROGRAM}",
        reason="no-digest",
        ordinary=False,
    ),
    Attack(
        group=14,
        name="no new privileges",
        act=f"setpriv --no-new-privs {_PROGRAM}",
        reason="no-digest",
    ),
    Attack(
        group=14,
        name="another cgroup",
        setup=f"mkdir -p {_GROUP}",
        act=f"echo $$ >{_GROUP}/cgroup.procs && {_PROGRAM}",
        cleanup=f"rmdir {_GROUP}",
        reason="no-digest",
        ordinary=False,
    ),
)
