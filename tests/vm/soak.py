# SPDX-License-Identifier: Apache-2.0
"""A sealed server under load for a while, and what became of it: stalls, lost denials, leaks.

    VERITY_WHEEL=$(tests/prepare wheel) build/venv/bin/python -m tests.vm.soak [SECONDS]

prints the figures. All of the load runs at once, inside the machine: compilers of an ordinary
user and of root, a flood of log records with journal rotation, memory until the kernel kills, a
full disk again and again, and a flood of refused programs. Between them new kinds of denial are
provoked. The heartbeats are loops of root and of a user that start a signed program every tenth of
a second.

It judges nothing; test_soak.py does.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from .gate_machine import Gate
from .machine import Machine
from .process import GuestProcess
from .server_machine import boot_server

FULL_S = 1800.0
_STOP = "/run/soak/stop"
_LOOP = f"cd /var/tmp; while [ ! -e {_STOP} ]; do"
_BEAT = (
    "worst=0 beats=0; read last _ </proc/uptime; while [ ! -e {stop} ]; do sleep 0.1;"
    " read now _ </proc/uptime; gap=$((${{now/./}} - ${{last/./}}));"
    " [ $gap -le $worst ] || worst=$gap; last=$now; beats=$((beats + 1));"
    ' echo "$beats $worst" >/run/soak/beat.{who}; done'
)
_FREE = "$(df --output=avail -B1 /var | tail -1)"

_FAILED = (
    "systemctl list-units --failed --no-legend --plain | while read unit rest; do"
    " systemctl show -p Id -p Result -p ExecMainStatus $unit; journalctl -b -o cat -n 3 -u $unit;"
    " done"
)

_LOAD_OF_ROOT = {
    "compile": f"{_LOOP} gcc -O2 -o root.out /home/user/own.c; done",
    "rotate": f"{_LOOP} sleep 15; journalctl -q --rotate; journalctl -q --vacuum-size=16M; done",
    "memory": f"{_LOOP} stress-ng -q --vm 2 --vm-bytes 90% --vm-populate -t 15; sleep 15; done",
    "disk": f"{_LOOP} fallocate -l {_FREE} fill; cat /dev/zero >>fill; sleep 10; rm fill;"
    " sleep 20; done",
    # More than the log holds, so that only what is kept of each kind is left.
    "refused": f"{_LOOP} for n in $(seq 100); do /home/user/own; done; sleep 1; done",
}
_LOAD_OF_USER = {
    "compile": f"{_LOOP} gcc -O2 -o /tmp/user.out ~/own.c && /tmp/user.out; done",
    "log": f"{_LOOP} head -c 6000 /dev/urandom | base64 | logger -t soak; done",
}

KINDS = {
    "interpreter": "python3 -c pass",
    "traced": "strace -o /dev/null true",
    "not-elevated": "chmod 4755 /usr/bin/dash; setpriv --reuid=user --regid=user --clear-groups"
    " dash -c :; chmod 755 /usr/bin/dash",
    "gate-pin": "rm /sys/fs/bpf/verity/status",
    "device": "dd if=/dev/null of=/dev/vda count=0 conv=notrunc",
    "ftrace": "echo 0 >/proc/sys/kernel/ftrace_enabled",
    "gate-object": "bpftool map show",
    "anonymous": "node -e 0",
    "stale": "fsverity enable /root/late; /root/late",
}
"""Commands of root, each of which is refused for a reason that was not in the log before."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """In KiB, with caches dropped."""

    available: int
    unreclaimable: int
    percpu: int

    def __str__(self) -> str:
        return (
            f"available {self.available} kB, slab that stays {self.unreclaimable} kB,"
            f" per processor {self.percpu} kB"
        )


@dataclass(frozen=True, kw_only=True)
class Soaked:
    """What a soak found. `beats`: of each heartbeat how many, and the longest gap in seconds;
    `firsts`: the number of the first denial of a reason as it was seen then; `kept`: as the log
    has it at the end; `denied`: by the status, at the end; `failed`: units, how each ended, and
    what it said last."""

    seconds: float
    beats: dict[str, tuple[int, float]]
    firsts: dict[str, int]
    kept: dict[str, int]
    denied: int
    lost: int
    before: Memory
    after: Memory
    failed: str


def soak(machine: Machine, seconds: float) -> Soaked:
    """Runs all of it for that long in a machine of `boot_server`."""
    gate = Gate(machine)
    machine.run(
        "mkdir -p -m 1777 /run/soak && mkdir -p /var/log/journal && systemctl restart"
        " systemd-journald && journalctl --flush && cp /bin/true /root/late"
        " && gcc -o /home/user/own /home/user/own.c && sync",
        timeout_s=300,
    )
    with _loaded(machine):
        time.sleep(min(20.0, seconds / 10))  # what grows once grows before the first look
    before = _memory(machine)
    started = time.monotonic()
    firsts: dict[str, int] = {}
    with _loaded(machine):
        for number, (reason, command) in enumerate(KINDS.items(), start=1):
            _until(started + seconds * number / (len(KINDS) + 1))
            machine.run(f"exec 2>&1; {command}", check=False, timeout_s=300)
            firsts |= {reason: _firsts(gate)[reason]}
        _until(started + seconds)
        beats = {who: _beats(machine, who) for who in ("root", "user")}
    after = _memory(machine)
    status = dict(line.split(" ", 1) for line in gate.status())
    return Soaked(
        seconds=time.monotonic() - started,
        beats=beats,
        firsts=firsts,
        kept=_firsts(gate),
        denied=int(status["denied"]),
        lost=int(status["lost"]),
        before=before,
        after=after,
        failed=machine.run(_FAILED, timeout_s=300).text,
    )


@contextlib.contextmanager
def _loaded(machine: Machine) -> Iterator[None]:
    """Load and heartbeats, while inside."""
    machine.run(f"rm -f {_STOP} /run/soak/beat.*")
    running: list[GuestProcess] = []
    for user, lines in ((None, _LOAD_OF_ROOT), ("user", _LOAD_OF_USER)):
        beat = _BEAT.format(stop=_STOP, who=user or "root")
        running.append(machine.start(["bash", "-c", beat], user=user))
        running += [
            machine.start(f"exec >/dev/null 2>&1; {one}", user=user) for one in lines.values()
        ]
    yield
    machine.run(f"touch {_STOP}; pkill -x stress-ng; :", timeout_s=300)
    for process in running:
        process.wait(timeout_s=300)
    machine.run("rm -f /var/tmp/fill /var/tmp/*.out")


def _firsts(gate: Gate) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for one in gate.denials():
        numbers.setdefault(one.reason, one.number)
    return numbers


def _beats(machine: Machine, who: str) -> tuple[int, float]:
    beats, worst = machine.run(["cat", f"/run/soak/beat.{who}"], timeout_s=300).text.split()
    return int(beats), int(worst) / 100


def _memory(machine: Machine) -> Memory:
    machine.run("sync; echo 3 >/proc/sys/vm/drop_caches; sleep 2", timeout_s=300)
    text = machine.run(["cat", "/proc/meminfo"], timeout_s=300).text
    found = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()}
    return Memory(
        available=found["MemAvailable"],
        unreclaimable=found["SUnreclaim"],
        percpu=found["Percpu"],
    )


def _until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def report(found: Soaked) -> list[str]:
    """The figures as lines."""
    lines = [f"soak      {found.seconds:.0f} s"]
    for who, (beats, worst) in found.beats.items():
        lines.append(f"heartbeat of {who}: {beats} beats, longest gap {worst:.2f} s")
    lines.append(f"denied    {found.denied}, of which {found.lost} are no longer in the log")
    lines.append(f"kinds     {len(found.firsts)} new ones, each first one kept: {found.firsts}")
    lines += [f"before    {found.before}", f"after     {found.after}"]
    return [*lines, f"failed    {found.failed or 'no unit'}"]


def main() -> None:
    """Boots a server, soaks it, prints."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else FULL_S
    with boot_server() as machine:
        sys.stdout.write("\n".join(report(soak(machine, seconds))) + "\n")


if __name__ == "__main__":
    main()
