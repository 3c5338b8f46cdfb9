# SPDX-License-Identifier: Apache-2.0
"""Group 24: what takes a daemon away takes nothing from the gate, and it has none.

Each row makes a hardship and then starts an unsigned program; the control starts a signed one in
the same hardship. What a clock that was set makes valid is asked by test_attacks.py.
"""

from typing import Any

from ..attack import Attack
from ..ground import TOOLS, UNLISTED, UNSIGNED, WORK

_PROGRAM = f"{UNSIGNED}/program"
_FLOOD = 600  # more than twice what the gate's log holds
_HOGS = 4
_MARGIN = 64 << 20  # filled block by block: ext4 keeps some from fallocate(2)
# All but init, the kernel's threads, the harness's agent, and this shell with what it starts.
_OTHERS = (
    "ps -eo pid=,ppid=,comm= | while read pid parent name; do"
    ' case "$pid $parent $name" in'
    ' "1 "*|"2 "*|*" 2 "*|"$$ "*|*" $$ "*|"$PPID "*|*" qemu-ga") continue;; esac;'
    " kill -%s $pid 2>/dev/null; done; :"
)
_POWER = "/sys/power"
_CLOCK = "/run/attack-clock"
# What the clock would say now, by the one that nobody can set.
_UPTIME = "cut -d. -f1 /proc/uptime"
SET_CLOCK = f'echo "$(date +%s) $({_UPTIME})" >{_CLOCK} && date -s YEAR-01-02 >/dev/null'
SET_BACK = f"read then at <{_CLOCK}; date -s @$((then + $({_UPTIME}) - at)) >/dev/null; rm {_CLOCK}"


def _hardship(name: str, setup: str, cleanup: str = ":", **others: Any) -> Attack:
    return Attack(
        group=24,
        name=name,
        setup=setup,
        act=_PROGRAM,
        cleanup=cleanup,
        reason="no-digest",
        **others,
    )


def _clock(year: str) -> Attack:
    return _hardship(f"clock in {year}", SET_CLOCK.replace("YEAR", year), SET_BACK)


ROWS = (
    _hardship("all processes stopped", _OTHERS % "STOP", _OTHERS % "CONT"),
    _hardship(
        "daemons killed",
        "systemctl kill -s KILL --kill-whom=all systemd-journald systemd-udevd systemd-logind cron;"
        " pkill -KILL verity; :",
    ),
    _hardship(
        "processor busy",
        f"for one in $(seq {_HOGS}); do sh -c 'while :; do :; done' & done; jobs -p >{WORK}/hogs",
        f"kill -KILL $(cat {WORK}/hogs); rm {WORK}/hogs",
    ),
    _hardship(
        "disk full",
        f"fallocate -l $(($(stat -f -c '%f * %S' /) - {_MARGIN})) {WORK}/full"
        f" && ! dd if=/dev/zero of={WORK}/more bs=64K 2>/dev/null",
        f"rm -f {WORK}/full {WORK}/more",
    ),
    # By another reason than the program's; its own denials would stand in the log of the controls.
    _hardship(
        "log of the gate flooded",
        f"{TOOLS}/flood {_FLOOD} {UNLISTED}/library.so",
        ordinary=False,
        signed="",
    ),
    _clock("1970"),
    _clock("2099"),
    # Every device goes to sleep and comes back; the processor itself doesn't, because nothing would
    # wake this machine.
    _hardship(
        "suspended",
        f"echo devices >{_POWER}/pm_test && echo freeze >{_POWER}/state",
        f"echo none >{_POWER}/pm_test",
        ordinary=False,
        signed="",  # one time is enough for six seconds
    ),
)
