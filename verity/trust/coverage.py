# SPDX-License-Identifier: Apache-2.0
"""Which attacks each way to enforce stops, as data: the list of attacks, and a table for each.

The numbers are those of the list of what the gate must stop, which the attack suite's rows carry as
their group; a test holds the gate's table against those rows. It asks no kernel: whoever calls says
what the gate said of itself, or which state a back end is in.

Rules:
- a line is ``STOPPED`` only if all of it is; else it is ``PARTLY``, and ``why`` names the rest;
- what a gate's version doesn't have, and what its policy only observes, is not stopped;
- the other back ends stop no line whole: they ask less, of fewer subjects.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from verity.formats.gate_status import GateStatus, State


class Stance(StrEnum):
    """What becomes of an attack."""

    STOPPED = "stopped"
    PARTLY = "partly"
    OBSERVED = "observed"
    NOT_COVERED = "not-covered"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Cover:
    """What one back end does about one attack. ``why`` is empty only for ``STOPPED``."""

    number: int
    stance: Stance
    why: str = ""

    @property
    def title(self) -> str:
        """The attack in a few words."""
        return ATTACKS[self.number]


ATTACKS: Mapping[int, str] = {
    1: "an unsigned program",
    2: "an unsigned script, or an unsigned interpreter of a signed one",
    3: "an unsigned set-uid, set-gid or file-capability program",
    4: "a signed file made set-uid or given capabilities",
    5: "an unsigned library: ld.so, LD_PRELOAD, dlopen, NSS, PAM",
    6: "code without a name: memfd, O_TMPFILE, deleted files",
    7: "memory made executable: mprotect, dirty pages, anonymous, shmat",
    8: "code on another file system, an overlay, or swapped below fs-verity",
    9: "kernel modules and kexec",
    10: "programs that the kernel starts, binfmt_misc, firmware",
    11: "io_uring opens of guarded files",
    12: "a script given to a signed interpreter; its module path",
    13: "reaching into a privileged process",
    14: "shedding privileges in name only",
    15: "an old signed file, revoked; other fs-verity parameters",
    16: "an unsigned or renamed file of the guarded configuration",
    17: "links and mounts around guarded configuration",
    18: "systemd: units, generators, environment files",
    19: "cron, sudoers, PAM, udev, modprobe and their like",
    20: "emptying or deleting signed configuration",
    21: "the gate's own pins, maps, programs, links and keys",
    22: "ftrace, kprobes, perf events, the kernel's lockdown",
    23: "pretending to be the loader",
    24: "killing or starving what is ours; the clock",
    25: "wrong, altered or replayed blobs",
    26: "raw writes to disks, and offline changes",
    27: "the unlock: replays, other hosts, altered tokens",
}

ADDED_IN = 4
"""The version of the gate that knows guarded configuration and tracing."""

_CODE = ("no-digest", "other-digest", "not-granted", "wrong-use")
_CONFIGURATION = ("config-unsigned", "config-link", "config-mount")


@dataclass(frozen=True, kw_only=True)
class Held:
    """A line of the gate's table.

    reasons   what the gate says where it refuses this
    since     the version of the gate that first does
    rest      what is left of the attack when all of that is denied
    firm      a policy can't have those reasons observed
    early     denied from the load on, and not only from the seal on
    added     what a gate of version ADDED_IN says beside them, so that nothing is left
    """

    reasons: tuple[str, ...]
    since: int = 3
    rest: str = ""
    firm: bool = False
    early: bool = False
    added: tuple[str, ...] = ()


GATE: Mapping[int, Held] = {
    1: Held(reasons=_CODE),
    2: Held(reasons=(*_CODE, "interpreter")),
    3: Held(reasons=("not-elevated", "revoked")),
    4: Held(reasons=("not-elevated", "revoked")),
    5: Held(reasons=_CODE),
    6: Held(reasons=(*_CODE, "anonymous")),
    7: Held(reasons=("no-digest", "anonymous", "writable", "dirty", "unverified")),
    8: Held(reasons=(*_CODE, "stale", "unverified")),
    9: Held(reasons=(*_CODE, "anonymous"), firm=True),
    10: Held(reasons=_CODE),
    11: Held(
        reasons=("device", "no-digest", "traced"),
        rest="guarded configuration is opened like any other file",
        added=("config-unsigned",),
    ),
    12: Held(
        reasons=("interpreter", "no-digest", "anonymous", "writable"),
        rest="a signed shell, and an interpreter that the policy doesn't list, does what arguments,"
        " standard input and files tell it",
    ),
    13: Held(reasons=("traced",)),
    14: Held(reasons=("no-digest", "not-elevated")),
    15: Held(reasons=("revoked", "not-granted", "other-digest")),
    16: Held(reasons=_CONFIGURATION, since=ADDED_IN),
    17: Held(
        reasons=_CONFIGURATION,
        since=ADDED_IN,
        rest="in a jail: an open that a lease holds up while its file is renamed, and names that"
        " differ by case",
    ),
    18: Held(reasons=_CONFIGURATION, since=ADDED_IN),
    19: Held(
        reasons=_CONFIGURATION,
        since=ADDED_IN,
        rest="readers that aren't privileged, as polkitd, are asked nothing",
    ),
    20: Held(
        reasons=(*_CONFIGURATION, "config-removed"),
        since=ADDED_IN,
        rest="where the policy doesn't require it to stay, a file that is gone is found by"
        " `verity audit` and `verity etc status`",
    ),
    21: Held(
        reasons=("gate-object", "gate-pin", "gate-key", "foreign-program"), firm=True, early=True
    ),
    22: Held(
        reasons=("ftrace", "no-digest"),
        firm=True,
        early=True,
        rest="kprobes and perf events may watch the kernel; they can't come in between",
        added=("tracing",),
    ),
    23: Held(reasons=("traced", "gate-object")),
    24: Held(reasons=("no-digest",), firm=True, early=True),
    25: Held(reasons=(), firm=True, early=True),
    26: Held(
        reasons=("device",),
        rest="the next boot: floors, state and boot files that are changed offline",
    ),
}
"""Without a line: the gate has nothing for it."""

_NO_GATE = "no gate is loaded"
_NOT_HAD = {27: "the gate has no unlock in this version"}


def gate(status: GateStatus | None, *, locked: bool = True) -> tuple[Cover, ...]:
    """What the gate of this status does; None: there is none. ``locked``: the kernel is, too."""
    return tuple(_gate(number, status, locked=locked) for number in ATTACKS)


def unknown(why: str) -> tuple[Cover, ...]:
    """A back end of which nothing can be said."""
    return nothing(why, Stance.UNKNOWN)


def nothing(why: str, stance: Stance = Stance.NOT_COVERED) -> tuple[Cover, ...]:
    """A back end that does nothing."""
    return tuple(Cover(number=number, stance=stance, why=why) for number in ATTACKS)


def _gate(number: int, status: GateStatus | None, *, locked: bool) -> Cover:
    def cover(stance: Stance, why: str = "") -> Cover:
        return Cover(number=number, stance=stance, why=why)

    if status is None:
        return cover(Stance.NOT_COVERED, _NO_GATE)
    held = GATE.get(number)
    if held is None:
        return cover(Stance.NOT_COVERED, _NOT_HAD[number])
    if status.version < held.since:
        why = f"a gate of version {held.since} does it, this one is of version {status.version}"
        return cover(Stance.NOT_COVERED, why)
    sealed = status.state is State.SEALED
    if not sealed and not held.early:
        why = f"the gate's state is {status.state}"
        if status.state is State.OBSERVE:
            return cover(Stance.OBSERVED, f"{why}: nothing is denied")
        return cover(Stance.NOT_COVERED, f"{why}: nothing is decided")
    added = held.added if status.version >= ADDED_IN else ()
    loose = (*(() if held.firm else held.reasons), *added)
    observed = [one for one in loose if one in status.observes]
    if observed and len(observed) == len(held.reasons) + len(added):
        return cover(Stance.OBSERVED, f"the policy only observes {', '.join(observed)}")
    rest = [held.rest] if held.rest and not added else []
    if observed:
        rest.append(f"the policy only observes {', '.join(observed)}")
    if not sealed and "gate-pin" in held.reasons:
        rest.append("until the seal, unmounting its pins ends the gate")
    if sealed and not locked:
        rest.append("the kernel isn't locked down: root can write to its memory past the gate")
    return cover(Stance.PARTLY if rest else Stance.STOPPED, "; ".join(rest))


def by_stance(covers: Collection[Cover]) -> Mapping[Stance, tuple[int, ...]]:
    """The numbers of each stance that occurs, in the order of ``Stance``."""
    found = {
        stance: tuple(one.number for one in covers if one.stance is stance) for stance in Stance
    }
    return {stance: numbers for stance, numbers in found.items() if numbers}


def ranges(numbers: Collection[int]) -> str:
    """Ascending numbers as text: ``1-5 8 10-12``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return " ".join(str(one[0]) if len(one) == 1 else f"{one[0]}-{one[-1]}" for one in parts)
