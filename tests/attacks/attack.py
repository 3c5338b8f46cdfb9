# SPDX-License-Identifier: Apache-2.0
"""One attack, its controls, and how each is run and judged.

An attack that is refused proves nothing by itself, so a row holds the act and says which controls
it has:

1. with the gate off the act succeeds;
2. sealed, it doesn't, and the gate's log has gained a denial with the row's reason;
3. sealed, the same act with a signed file succeeds, and the log gains no denial;
4. sealed, the same act by an ordinary user succeeds, and the log gains no denial.

A row with `residual` is the opposite: what the gate is known not to stop. It must succeed sealed,
too, without a word in the log, so that the table of what is not stopped can't be wrong either way.

Rules:
- success is what the act shows on standard output, never its exit status alone;
- a tool's own trouble (see tools/tool.h) fails the test, whatever was expected;
- a row leaves the machine as it found it: `cleanup` runs also after a failure.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.vm import Machine
from tests.vm.gate_log import DENIALS, Denial, parse_denials

from .ground import SIGNED, UNSIGNED

USER = "user"

_TIMEOUT_S = 120.0
_MARK = "-=-=-=-"
_CLEANUP_FAILED, _SETUP_FAILED = 98, 99
# One command for all, since starting one takes longer than most acts. The log is read last: what
# is planted for every process must be gone again.
_SCRIPT = """
log() { [ ! -e "$LOG" ] || cat "$LOG" || exit 99; }
log
echo "$MARK"
if ! eval "$SETUP" >&2; then eval "$CLEANUP" >&2; exit 99; fi
become="${BY:+setpriv --reuid=$BY --regid=$BY --init-groups env HOME=/home/$BY}"
$become sh -c "$ACT"
status=$?
eval "$CLEANUP" >&2 || exit 98
echo "$MARK"
log
exit $status
"""


class SetupFailedError(AssertionError):
    """What an act needs before it could not be made."""


class TroubleError(AssertionError):
    """A tool had trouble of its own, before the act or besides it."""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A row of a table; commands are for `sh -c`, in the machine.

    group     the number in the list of what the gate must stop
    act       the attack
    reason    what the gate's log must say
    shows     a text on standard output that only a success shows
    setup, cleanup   by root, before and after
    by        who attacks: root, or "user"
    signed    the act with a signed file in its place; by default `act` on the signed folder, or
              none if it doesn't name the unsigned one; "" for none
    ordinary  whether the same act must work for an ordinary user
    residual  for what isn't stopped: the words in which docs/threat-model.md names it
    """

    group: int
    name: str
    act: str
    reason: str
    shows: str = "ran"
    setup: str = ":"
    cleanup: str = ":"
    by: str | None = None
    signed: str | None = None
    ordinary: bool = True
    residual: str = ""

    def __str__(self) -> str:
        return f"{self.group}-{self.name}".replace(" ", "-")

    @property
    def control(self) -> Attack | None:
        """The same act with a signed file, or None where there is no such thing."""
        act = self.signed
        if act is None:
            act = _signed(self.act) if UNSIGNED in self.act + self.setup else ""
        if not act:
            return None
        return Attack(
            group=self.group,
            name=self.name,
            act=act,
            reason=self.reason,
            shows=self.shows.replace("unsigned", "signed"),
            setup=_signed(self.setup),
            cleanup=_signed(self.cleanup),
            by=self.by,
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an act did, and what the gate logged meanwhile."""

    attack: Attack
    status: int
    shown: str
    errors: str
    logged: tuple[Denial, ...]

    @property
    def succeeded(self) -> bool:
        return self.attack.shows in self.shown

    @property
    def denied(self) -> tuple[Denial, ...]:
        """What was refused. Sealed, the rest is what the signed policy has only observed."""
        return tuple(one for one in self.logged if one.enforced)

    def __str__(self) -> str:
        head = f"{self.attack}: {self.attack.act}\nstatus {self.status}"
        return "\n".join([head, self.shown, self.errors, *map(str, self.logged)])


def attempt(
    machine: Machine, attack: Attack, *, user: str | None = None, timeout_s: float = _TIMEOUT_S
) -> Outcome:
    """Runs the row once, by `user` if named, and cleans up after it.

    Raises SetupFailedError or TroubleError where nothing could be tried.
    """
    commands = {"SETUP": attack.setup, "ACT": attack.act, "CLEANUP": attack.cleanup}
    environment = {**commands, "BY": user or attack.by or "", "LOG": DENIALS, "MARK": _MARK}
    all_of_it = machine.run(_SCRIPT, env=environment, check=False, timeout_s=timeout_s)
    errors = all_of_it.stderr.decode(errors="replace")
    if all_of_it.status == _SETUP_FAILED:
        raise SetupFailedError(f"{attack}: the setup failed: {errors}")
    assert all_of_it.status != _CLEANUP_FAILED, f"{attack}: cleaning up failed: {errors}"
    if "trouble" in errors:
        raise TroubleError(f"{attack}: {errors}")
    before, shown, after = all_of_it.stdout.decode(errors="replace").split(f"{_MARK}\n")
    last = max((one.number for one in parse_denials(before)), default=0)
    logged = tuple(one for one in parse_denials(after) if one.number > last)
    return Outcome(
        attack=attack, status=all_of_it.status, shown=shown, errors=errors, logged=logged
    )


def _signed(command: str) -> str:
    return command.replace(UNSIGNED, SIGNED)
