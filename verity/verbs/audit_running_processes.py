# SPDX-License-Identifier: Apache-2.0
"""Every privileged process: what it executes, whether somebody has it in hand. Part of running.

1. All processes are counted against the kernel's own number of threads, so that none is overlooked
   because it was hidden; what ends meanwhile is counted, too.
2. Who is privileged is asked of each thread.
3. The program and every executable mapping is judged by the inode that the process has.
4. What was there before the seal wasn't refused anything by the gate. It is judged here like all
   others; where code comes from elsewhere than files, that it can't be judged is a finding, but for
   an interpreter of which the gate says that a granted script started it.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from verity.formats import procfs
from verity.formats.escaped import printable
from verity.formats.grants import Code
from verity.formats.procfs import Region
from verity.ports.proc import GoneError, Process, Processes
from verity.trust.privileged import Rule
from verity.values.errors import HostError, VerityError
from verity.verbs.audit_running_checks import of_processes
from verity.verbs.audit_running_code import Judge, State
from verity.verbs.audit_running_files import Files, Users
from verity.verbs.audit_said import Said

_ATTEMPTS = 10
_RESTART = "restart the service, or reboot"


@dataclass(kw_only=True)
class Looked:
    """What came of looking: the privileged processes whose program is signed, the BPF programs that
    processes have, by the kernel's numbers, and whether all processes could be looked at."""

    signed: set[int] = field(default_factory=set)
    holders: dict[int, Users] = field(default_factory=lambda: defaultdict(list))
    complete: bool = False


def examine(
    processes: Processes,
    judge: Judge,
    rule: Rule,
    said: Said,
    *,
    sealed_ms: int | None,
    scripts: frozenset[int],
) -> Looked:
    """Look at all of them. ``sealed_ms``: when the gate was sealed, in milliseconds since boot; 0:
    it doesn't say; None: it isn't. ``scripts``: who runs a granted script by the gate's word."""
    looker = _Looker(
        judge=judge,
        rule=rule,
        said=said,
        sealed_ms=sealed_ms,
        scripts=scripts,
        files=Files(judge=judge),
    )
    looker.all(processes)
    return looker.looked


@dataclass(kw_only=True)
class _Looker:
    judge: Judge
    rule: Rule
    said: Said
    sealed_ms: int | None
    scripts: frozenset[int]
    files: Files
    looked: Looked = field(default_factory=Looked)
    refused: dict[str, Users] = field(default_factory=lambda: defaultdict(list))
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    hints: dict[str, str] = field(default_factory=dict)

    def all(self, processes: Processes) -> None:
        """1. Each process once, and as many as there are."""
        self._count(processes)
        for pid in processes.pids():
            try:
                with processes.open(pid) as process:
                    self._one(process)
            except GoneError:
                self.counts["vanished"] += 1
            except VerityError as error:
                self._refuse(pid, b"", error)
        for why, users in self.refused.items():
            self.said.lacks(
                "running-seen",
                f"{len(users)} processes: {of_processes(users)}",
                why,
                self.hints.get(why),
            )
        self.looked.complete = not self.refused
        self.files.say(self.said)
        self.said.counts |= self.counts

    def _count(self, processes: Processes) -> None:
        """Threads come and go, so what is missing once may be there the next time."""
        if not processes.of_all():
            self.said.lacks(
                "running-seen",
                "/proc",
                "it is that of a container: it shows the processes of one namespace",
                "run it on the host itself",
            )
            return
        for _ in range(_ATTEMPTS):
            before, seen = processes.threads(), processes.shown_threads()
            missing = min(before, processes.threads()) - seen
            if missing <= 0:
                return
        self.said.lacks(
            "running-seen",
            "/proc",
            f"it shows {missing} threads less than the kernel counts: some are hidden, or come and"
            " go faster than they can be counted",
            "run it as root, and look for hidepid= in /proc/mounts and for a rootkit",
        )

    def _one(self, process: Process) -> None:
        """2. Who it is."""
        self.counts["processes"] += 1
        if process.kernel:
            self.counts["kernel threads"] += 1
            return
        reasons = (self.rule.reason(task, initial=process.initial) for task in process.tasks)
        if not any(reasons):
            return
        if process.ended:
            self.counts["ended"] += 1
            return
        self.counts["privileged"] += 1
        try:
            self._traced(process)
            self._memory(process)
            for number in process.program_files():
                self.looked.holders[number].append((process.pid, process.name))
        except VerityError as error:
            self._refuse(process.pid, process.name, error)

    def _refuse(self, pid: int, name: bytes, error: VerityError) -> None:
        """Alike for many processes, so said once."""
        why = error.message.rpartition(": ")[2] if isinstance(error, HostError) else error.message
        self.refused[why].append((pid, name))
        if error.hint:
            self.hints[why] = error.hint

    def _traced(self, process: Process) -> None:
        for task in process.tasks:
            if task.tracer:
                self.said.finds(
                    "running-traced",
                    _named(process),
                    "another process has it in hand, and can put any code into it",
                    expected="nobody traces it",
                    found=f"traced by process {task.tracer}",
                    remedy="end the tracer: find out who started it; the gate refuses new ones",
                )
                return

    def _memory(self, process: Process) -> None:
        """3. The program, and what else may be executed."""
        program = process.held("exe")
        flags = Code(0)
        if program is not None:
            judged = self.files.use(process, program, "exe")
            flags = judged.flags if judged else Code(0)
            if judged is not None and judged.state is not State.UNSIGNED and not program.deleted:
                self.looked.signed.add(process.pid)
        for region in process.regions():
            self._region(process, region, flags)
        self._before_the_seal(process, flags)

    def _region(self, process: Process, region: Region, flags: Code) -> None:
        if not region.inode:
            self._anonymous(process, region, flags)
            return
        held = process.held(f"map_files/{region.link}")
        if held is None:
            return  # unmapped meanwhile
        if region.writable:
            self._bad_memory(
                process,
                "running-writable",
                "it can write what it executes",
                f"a mapping of {printable(held.label)} that is writable and executable at once",
            )
        if region.altered:
            self._bad_memory(
                process,
                "running-altered",
                "the code in its memory is no longer that of the file",
                f"{region.altered} kB of the code of {printable(held.label)} are its own",
            )
        self.files.use(process, held, f"map_files/{region.link}")

    def _anonymous(self, process: Process, region: Region, flags: Code) -> None:
        if region.name in procfs.KERNELS_OWN:
            return
        if region.name == procfs.PROBED:
            self._bad_memory(
                process,
                "running-probes",
                "a probe is in its code",
                "the kernel's mapping for probed instructions",
            )
        elif self.judge.granted and not flags & Code.JIT:
            # jit has what it writes and runs at once, too.
            self._bad_memory(
                process,
                "running-writable" if region.writable else "running-anonymous",
                "it executes memory that comes from no file, so nobody signed it",
                f"{(region.end - region.start) >> 10} kB at {region.start:#x} without a file"
                + (", writable and executable at once" if region.writable else ""),
            )

    def _bad_memory(self, process: Process, check: str, problem: str, found: str) -> None:
        """Once for each process and check: one that has it has it often."""
        named = _named(process)
        if any(one.check == check and one.object == named for one in self.said.findings):
            return
        self.said.finds(
            check,
            named,
            problem,
            expected="code of signed files, as it is in them",
            found=found,
            remedy=_RESTART + "; have its program granted as jit if it is meant to do that",
        )

    def _before_the_seal(self, process: Process, flags: Code) -> None:
        """4. What no digest of a file tells."""
        if not self.sealed_ms or process.started_ms >= self.sealed_ms:
            return
        self.counts["older than the seal"] += 1
        if flags & Code.JIT or (flags & Code.INTERPRETER and process.pid not in self.scripts):
            self.said.finds(
                "running-before-seal",
                _named(process),
                "nobody knows what it was told to run",
                expected=f"started after the seal, {self.sealed_ms} ms after the boot",
                found=f"an interpreter or just-in-time compiler, started {process.started_ms} ms"
                " after the boot",
                remedy=_RESTART,
            )


def _named(process: Process) -> str:
    return f"process {process.pid} ({printable(process.name)})"
