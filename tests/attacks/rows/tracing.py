# SPDX-License-Identifier: Apache-2.0
"""Group 22: what traces the functions through which the gate is called must not get in between.

Tracing itself stays allowed: kernel lockdown refuses it only in the mode confidentiality. So each
row traces and then starts an unsigned program. What traces also counts, and a row in which it was
never hit fails.
"""

from ..attack import Attack
from ..ground import TOOLS, UNSIGNED

_CALLED = "bpf_lsm_bprm_check_security"
_PROGRAM = f"{UNSIGNED}/program"
_TRACING = "/sys/kernel/tracing"


def _kprobe(name: str, definition: str) -> Attack:
    event = f"{_TRACING}/events/attack/probe/enable"
    return Attack(
        group=22,
        name=name,
        setup=f"echo '{definition}:attack/probe {_CALLED}' >{_TRACING}/kprobe_events"
        f" && echo 1 >{event}",
        act=_PROGRAM,
        cleanup=f"awk '{{exit !$2}}' {_TRACING}/kprobe_profile"
        f" && echo 0 >{event} && echo >{_TRACING}/kprobe_events",
        reason="no-digest",
    )


def _perf(which: str) -> Attack:
    return Attack(
        group=22,
        name=f"perf event at the {which}",
        act=f"{TOOLS}/probe {which} {_CALLED} {_PROGRAM}",
        reason="no-digest",
        ordinary=False,
    )


ROWS = (
    _kprobe("kprobe", "p"),
    _kprobe("kretprobe", "r"),
    *map(_perf, ("entry", "return")),
    Attack(
        group=22,
        name="function tracer",
        setup=f"echo >{_TRACING}/trace && echo {_CALLED} >{_TRACING}/set_ftrace_filter"
        f" && echo function >{_TRACING}/current_tracer",
        act=_PROGRAM,
        cleanup=f"grep -q {_CALLED} {_TRACING}/trace; hit=$?;"
        f" echo nop >{_TRACING}/current_tracer && echo >{_TRACING}/set_ftrace_filter"
        " && [ $hit = 0 ]",
        reason="no-digest",
    ),
)
