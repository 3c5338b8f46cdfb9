# SPDX-License-Identifier: Apache-2.0
"""Groups 18 and 19: the programs that read configuration, and obey it as root.

The policy guards the names that these rows write, and leaves the rest of /etc alone. Each has the
reader itself read it; without the gate it does what it is told.
"""

from ..attack import USER, Attack
from ..ground import PLACES, WORK

_DONE = f"{WORK}/obeyed"
_WAIT = f"for i in 1 2 3 4 5; do [ -s {_DONE} ] && break; sleep 0.2; done; cat {_DONE}"
_OBEY = f"/bin/sh -c 'echo ran >{_DONE}'"


def _reader(
    group: int,
    place: str,
    text: str,
    act: str,
    *,
    more: str = ":",
    back: str = ":",
    shows: str = "ran",
    by: str | None = None,
) -> Attack:
    path = PLACES[place]
    return Attack(
        group=group,
        name=place,
        setup=f'mkdir -p $(dirname {path}) && printf "%b" "{text}" >{path} && chmod 440 {path}'
        f" && {more}",
        act=act,
        cleanup=f"rm -f {path} {_DONE}; {back}",
        shows=shows,
        by=by,
        reason="config-unsigned",
        ordinary=False,
    )


_UNIT = f"[Service]\\nType=oneshot\\nExecStart={_OBEY}\\n"
_RELOAD = "systemctl daemon-reload"

ROWS = (
    _reader(18, "unit", _UNIT, f"systemctl start attack; {_WAIT}", more=_RELOAD, back=_RELOAD),
    _reader(
        18,
        "drop-in of a unit",
        f"[Service]\\nExecStartPre={_OBEY}\\n",
        f"systemctl restart cron; {_WAIT}",
        more=_RELOAD,
        back=f"rmdir {PLACES['drop-in of a unit'].rpartition('/')[0]}; {_RELOAD}",
    ),
    _reader(
        18,
        "environment file",
        "ATTACK=ran",
        f"systemd-run --wait --pipe -q -p EnvironmentFile={PLACES['environment file']}"
        " sh -c 'echo $ATTACK'",
    ),
    _reader(
        19,
        "sudoers.d",
        "user ALL=(ALL) NOPASSWD: ALL\\n",
        "sudo -n echo ran",
        by=USER,
    ),
    _reader(
        19,
        "udev rules",
        'KERNEL==\\"null\\", ENV{ATTACK}=\\"ran\\"\\n',
        "udevadm test /sys/class/mem/null 2>&1 | grep ATTACK=",
    ),
    _reader(19, "modprobe.d", "install attack /bin/echo ran\\n", "modprobe attack"),
    _reader(
        19,
        "tmpfiles.d",
        f"f+ {_DONE} 0644 root root - ran\\n",
        f"systemd-tmpfiles --create {PLACES['tmpfiles.d']}; cat {_DONE}",
    ),
    _reader(
        19,
        "sysctl.d",
        "vm.stat_interval = 1\\n",
        f"sysctl -p {PLACES['sysctl.d']}",
        shows="stat_interval = 1",
    ),
    _reader(19, "profile.d", "echo ran\\n", "sh -lc :"),
    _reader(
        19,
        "ld.so.conf.d",
        f"{WORK}\\n",
        "ldconfig -N -X -v 2>/dev/null",
        shows="attack.conf:1",
    ),
    *(
        _reader(19, place, "* * * * * root echo ran\\n", f"cat {PLACES[place]}")
        for place in ("cron", "pam.d")
    ),
)
