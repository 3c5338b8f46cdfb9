# SPDX-License-Identifier: Apache-2.0
"""unlock review: what was started while an unlock was live, and runs still.

A session's tasks end with it; the gate sees to that. Whatever else was started goes on behind the
end, and may hold what nobody signed: it is listed, by the process table as it is now.

1. A process that has executed or mapped a file which the gate let through because of the token,
   whenever it was started.
2. A process with privileges that was started meanwhile. Without privileges nothing needs a token.

Nothing is ended here. What has ended by itself, what a process has given on to one that was there
before, and which of two processes began the other is not seen.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from verity.formats.gate_status import Denial
from verity.formats.gate_unlocks import TakenUnlock
from verity.formats.procfs import Task
from verity.ports.proc import GoneError, Process, Processes
from verity.values.errors import HostError, VerityError
from verity.verbs.unlock_host import UnlockHost

_DELETED = b" (deleted)"


@dataclass(frozen=True, kw_only=True)
class Running:
    """A process: its number, name and program; ``holds`` is the file that was let through."""

    pid: int
    name: bytes
    program: bytes | None
    started_s: int
    holds: bytes | None


def running(
    host: UnlockHost, one: TakenUnlock, let_through: Iterable[Denial], *, own: int
) -> Iterator[Running | VerityError]:
    """Those processes but the ``own``, by their numbers; what couldn't be looked at: an error."""
    paths = frozenset(denial.path for denial in let_through if denial.path is not None)
    processes = Processes(root=host.root)
    try:
        pids = processes.pids()
    except HostError as error:
        # A tree that lies there runs nothing.
        if host.root.resolve() == Path("/") or error.code != "not-found":
            yield error
        return
    for pid in pids:
        if pid == own:
            continue
        try:
            with processes.open(pid) as process:
                found = _judge(process, one, paths)
        except GoneError:
            continue
        except VerityError as error:
            yield error
            continue
        if found is not None:
            yield found


def _judge(process: Process, one: TakenUnlock, paths: frozenset[bytes]) -> Running | None:
    if process.kernel or process.ended:
        return None
    held = process.held("exe")
    program = None if held is None else held.label.removesuffix(_DELETED)
    # 1. What it has.
    names = [program, *(region.name.removesuffix(_DELETED) for region in process.regions())]
    holds = next((name for name in names if name in paths), None) if paths else None
    # 2. When it was started.
    meanwhile = one.applied_s * 1000 <= process.started_ms <= (one.until_s + 1) * 1000
    if holds is None and not (meanwhile and any(map(_is_privileged, process.tasks))):
        return None
    return Running(
        pid=process.pid,
        name=process.name,
        program=program,
        started_s=process.started_ms // 1000,
        holds=holds,
    )


def _is_privileged(task: Task) -> bool:
    return 0 in task.uids or bool(task.permitted | task.inheritable | task.ambient)


def own_number() -> int:
    """The process that asks."""
    return os.getpid()
