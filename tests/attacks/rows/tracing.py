# SPDX-License-Identifier: Apache-2.0
"""Group 22: what traces the kernel or privileged programs.

ROWS are refused where the policy says so, as the default does. With the reaction observe tracing
is let through, and must not get in between: BETWEEN traces the functions through which the gate is
called, and then starts an unsigned program. What traces also counts, and a row of BETWEEN in which
it was never hit fails.
"""

from ..attack import USER, Attack
from ..ground import TOOLS, UNSIGNED

_CALLED = "bpf_lsm_bprm_check_security"
_PROGRAM = f"{UNSIGNED}/program"
_TRACING = "/sys/kernel/tracing"
_POINT = f"{_TRACING}/events/sched/sched_process_exec/id"
_PARANOID = "/proc/sys/kernel/perf_event_paranoid"


def _written(name: str, text: str, file: str, back: str) -> Attack:
    """What begins to trace is a line that is written to a file of tracefs."""
    file = f"{_TRACING}/{file}"
    return Attack(
        group=22,
        name=name,
        act=f"echo '{text}' >{file} && echo ran",
        cleanup=f"echo {back} >{file}; :",
        reason="tracing",
        ordinary=False,
    )


def _perf(name: str, which: str, *, by: str | None = None, ordinary: bool = False) -> Attack:
    """Debian's kernel lets no ordinary user at perf events unless root says so."""
    return Attack(
        group=22,
        name=name,
        setup=f"cp {_PARANOID} /run/paranoid && echo -1 >{_PARANOID} && cat {_POINT} >/run/point",
        act=f"{TOOLS}/perf {which}",
        cleanup=f"cat /run/paranoid >{_PARANOID}",
        by=by,
        shows="ok",
        reason="tracing",
        ordinary=ordinary,
    )


def _program(kind: str) -> Attack:
    return Attack(
        group=22,
        name=f"BPF program, {kind}",
        act=f"{TOOLS}/interfere load {kind}",
        shows="ok",
        reason="tracing",
        ordinary=False,
    )


ROWS = (
    _written("kprobe", f"p:attack/probe {_CALLED}", "kprobe_events", ""),
    _written("kretprobe", f"r:attack/probe {_CALLED}", "kprobe_events", ""),
    _written("uprobe", "p:attack/probe /usr/bin/cat:0x4000", "uprobe_events", ""),
    # Of one function: with all of them a machine without KVM stands still.
    Attack(
        group=22,
        name="function tracer",
        act=f"echo {_CALLED} >{_TRACING}/set_ftrace_filter"
        f" && echo function >{_TRACING}/current_tracer && echo ran",
        cleanup=f"echo nop >{_TRACING}/current_tracer; echo >{_TRACING}/set_ftrace_filter; :",
        reason="tracing",
        ordinary=False,
    ),
    _written("trace event", "1", "events/sched/sched_process_exec/enable", "0"),
    _perf("perf event of its own", "own", ordinary=True),
    _perf("perf event of the kernel", "kernel", by=USER),
    _perf("perf event of a processor", "processor", by=USER),
    _perf("perf event of a tracepoint", "$(cat /run/point)", by=USER),
    *(
        Attack(
            group=22,
            name=f"perf event at the {which}",
            act=f"{TOOLS}/probe {which} {_CALLED} /usr/bin/id",
            shows="uid=0",
            reason="tracing",
            ordinary=False,
        )
        for which in ("entry", "return")
    ),
    *map(_program, ("kprobes", "raw-tracepoint", "fentry")),
)


def _kprobe(name: str, definition: str) -> Attack:
    event = f"{_TRACING}/events/attack/probe/enable"
    return Attack(
        group=22,
        name=f"under a {name}",
        setup=f"echo '{definition}:attack/probe {_CALLED}' >{_TRACING}/kprobe_events"
        f" && echo 1 >{event}",
        act=_PROGRAM,
        cleanup=f"awk '{{exit !$2}}' {_TRACING}/kprobe_profile"
        f" && echo 0 >{event} && echo >{_TRACING}/kprobe_events",
        reason="no-digest",
    )


WORKING = (
    Attack(
        group=22,
        name="BPF program by which libbpf asks the kernel",
        act=f"{TOOLS}/interfere load tracepoint",
        shows="ok",
        reason="",
    ),
)

BETWEEN = (
    _kprobe("kprobe", "p"),
    _kprobe("kretprobe", "r"),
    *(
        Attack(
            group=22,
            name=f"under a perf event at the {which}",
            act=f"{TOOLS}/probe {which} {_CALLED} {_PROGRAM}",
            reason="no-digest",
            ordinary=False,
        )
        for which in ("entry", "return")
    ),
    Attack(
        group=22,
        name="under the function tracer",
        setup=f"echo >{_TRACING}/trace && echo {_CALLED} >{_TRACING}/set_ftrace_filter"
        f" && echo function >{_TRACING}/current_tracer",
        act=_PROGRAM,
        cleanup=f"grep -q {_CALLED} {_TRACING}/trace; hit=$?;"
        f" echo nop >{_TRACING}/current_tracer && echo >{_TRACING}/set_ftrace_filter"
        " && [ $hit = 0 ]",
        reason="no-digest",
    ),
)
