# SPDX-License-Identifier: Apache-2.0
"""Which BPF programs the kernel has, and how they are attached. It changes nothing.

Some are left out unasked: to reach for one of the gate's is refused, and each time a denial. What
goes between two questions is left out, too. Who has a program open is in /proc, not here.
"""

import errno
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass

from verity.ports._conditions import Call, Condition
from verity.ports.kernel import ffi, lib
from verity.values.errors import HostError

MODIFY_RETURN = 26  # enum bpf_attach_type of linux/bpf.h, here and below
LSM_CGROUP = 43
TYPES = {
    2: "kprobe",
    5: "tracepoint",
    7: "perf-event",
    17: "raw-tracepoint",
    24: "raw-tracepoint-writable",
    26: "tracing",
    27: "struct-ops",
    28: "extension",
    29: "lsm",
    31: "syscall",
}
"""Of enum bpf_prog_type those that can watch or rule the kernel; others handle packets, cgroups."""

_CALL = Call(
    "ask for",
    {
        errno.EPERM: Condition(
            HostError,
            "no-permission",
            "operation not permitted",
            "run as root on the host itself: it wants CAP_SYS_ADMIN there",
        ),
        errno.ENOSYS: Condition(
            HostError, "no-bpf", "this kernel has no bpf(2)", "there are no BPF programs, then"
        ),
    },
)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program: its number, its type as a word, what it calls itself, who loaded it, and how it
    is attached, as far as links say so (numbers of enum bpf_attach_type)."""

    id: int
    type: str
    name: bytes
    creator: int
    attached: frozenset[int]

    @property
    def overrides(self) -> bool:
        """Whether it can turn the answer of a hook into a permission, or replace other programs."""
        return self.type == "extension" or bool(self.attached & {MODIFY_RETURN, LSM_CGROUP})


def programs(without: Set[int] = frozenset(), links: Set[int] = frozenset()) -> list[Program]:
    """All but those ``without``; ``links`` are not to be asked for. HostError: no permission."""
    attached: dict[int, set[int]] = {}
    link = ffi.new("struct verity_link *")
    for number in _numbers(lib.verity_link_next, "the BPF links"):
        if number not in links and _there(lib.verity_link_read(number, link), f"link {number}"):
            attached.setdefault(link.program, set()).add(link.attach)
    found = []
    program = ffi.new("struct verity_program *")
    for number in _numbers(lib.verity_program_next, "the BPF programs"):
        if number in without or not _there(
            lib.verity_program_read(number, program), f"program {number}"
        ):
            continue
        found.append(
            Program(
                id=number,
                type=TYPES.get(program.type, "other"),
                name=ffi.string(program.name),
                creator=program.creator,
                attached=frozenset(attached.get(number, ())),
            )
        )
    return found


def _numbers(following: Callable[[int], int], label: str) -> Iterator[int]:
    number = 0
    while _there(result := following(number), label):
        yield (number := result)


def _there(result: int, label: str) -> bool:
    if result >= 0:
        return True
    if result == -errno.ENOENT:
        return False
    raise _CALL.error(-result, label)
