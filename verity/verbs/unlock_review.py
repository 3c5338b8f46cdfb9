# SPDX-License-Identifier: Apache-2.0
"""unlock review: what ran and what changed under an unlock, for its owner to take back or to sign.

Three sources: the gate's own log, which marks what it let through because of a token and forgets
the oldest; the processes that were started meanwhile and run still (``unlock_running``); and change
times of files at the places that the token opened. It lists and suggests,
changes nothing, and says what it could not see. Times of files are by the wall clock, an unlock's
by the boot clock: they are brought together by how long ago it was.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from verity.formats.escaped import printable, shell_word
from verity.formats.gate_status import Denial
from verity.formats.gate_unlocks import TakenUnlock
from verity.formats.unlock import PATH_SCOPES
from verity.ports import changed
from verity.ports.changed import Change
from verity.values.errors import ContentError, HostError, VerityError
from verity.values.findings import NotEvaluated
from verity.verbs import gate_view, unlock_running
from verity.verbs.unlock_host import UnlockHost
from verity.verbs.unlock_running import Running

PLACES = (b"/etc", b"/usr", b"/opt", b"/boot")
"""Where to look for what changed, for a token that opened more than a path."""
_ETC = b"/etc/"
_SLACK_S = 1


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that happened: what, and what to do about it."""

    what: str
    path: bytes | None
    detail: str
    keep: str
    undo: str


def chosen(host: UnlockHost, token_id: bytes | None) -> TakenUnlock:
    """The unlock of this id, or the last one; ContentError if there is none in this boot."""
    found = [one for one in host.gate.unlocks if token_id in (None, one.token_id)]
    if not found:
        raise ContentError(
            "no-unlock",
            "no unlock in this boot"
            + ("" if token_id is None else f" has the id {token_id.hex()}"),
            hint="`verity unlock ledger show` lists those of earlier boots; what they changed is in"
            " the audit and in `verity etc diff`",
        )
    return found[-1]


def review(host: UnlockHost, one: TakenUnlock) -> tuple[list[Item], list[NotEvaluated]]:
    """What ran, what runs still, then what changed, and what could not be looked at."""
    items: list[Item] = []
    gaps: list[NotEvaluated] = []
    let_through: list[Denial] = []
    try:
        log = gate_view.denials(host.root)
        let_through = list(_let_through(log, one))
        items += map(_ran, let_through)
        gaps += _forgotten(log, one)
    except HostError as error:
        gaps.append(_gap("the gate's log", error))
    for process in unlock_running.running(host, one, let_through, own=unlock_running.own_number()):
        if isinstance(process, VerityError):
            gaps.append(_gap("the processes", process))
        else:
            items.append(_runs(process))
    places = (one.operand,) if one.scope in PATH_SCOPES else PLACES
    begin = host.now - (host.clock_s - one.applied_s) - _SLACK_S
    end = host.now - max(0, host.clock_s - one.until_s) + _SLACK_S
    for place in places:
        for found in changed.within(host.root, place, begin, end):
            if isinstance(found, HostError):
                gaps.append(_gap("a place that was open", found))
            else:
                items.append(_changed(found))
    return items, gaps


def _let_through(log: Iterable[Denial], one: TakenUnlock) -> Iterator[Denial]:
    """Each file once, the first time."""
    seen = set()
    for denial in log:
        key = (denial.path, denial.digest, denial.reason)
        in_time = one.applied_s * 1000 <= denial.boot_ms <= (one.until_s + 1) * 1000
        if in_time and denial.unlocked and key not in seen:
            seen.add(key)
            yield denial


def _forgotten(log: Sequence[Denial], one: TakenUnlock) -> list[NotEvaluated]:
    """That lines of its time are missing: the gate keeps the newest, and the first of each kind."""
    begin, end = one.applied_s * 1000, (one.until_s + 1) * 1000
    seq, boot_ms, missing = 0, 0, 0
    for denial in sorted(log, key=lambda denial: denial.seq):
        if denial.boot_ms >= begin and boot_ms <= end:
            missing += denial.seq - seq - 1
        seq, boot_ms = denial.seq, denial.boot_ms
    if not missing:
        return []
    return [
        NotEvaluated(
            check="unlock-review",
            object="the gate's log",
            why=f"it has forgotten {missing} lines that may be of this unlock",
            hint="`journalctl --boot SYSLOG_IDENTIFIER=verity` has what was written down meanwhile",
        )
    ]


def _runs(process: Running) -> Item:
    since = f"pid {process.pid} ({printable(process.name)}), since second {process.started_s}"
    if process.holds is not None and process.holds != process.program:
        since += f", has {printable(process.holds)}"
    return Item(
        what="still runs" if process.holds is not None else "started",
        path=process.program,
        detail=since,
        keep="",
        undo=f"kill {process.pid}",
    )


def _ran(denial: Denial) -> Item:
    word = "" if denial.path is None else shell_word(denial.path)
    return Item(
        what="let through",
        path=denial.path,
        detail=f"{denial.act} by pid {denial.pid}, uid {denial.uid}: {denial.reason}",
        keep=f"verity lockdown exception request {word}" if word else "",
        undo=f"rm {word}" if word else "",
    )


def _changed(found: Change) -> Item:
    word = shell_word(found.path)
    in_etc = found.path.startswith(_ETC)
    return Item(
        what="changed",
        path=found.path,
        detail="a directory: something was added or removed" if found.is_directory else "",
        keep="verity etc sign" if in_etc else f"verity lockdown exception request {word}",
        undo="verity etc revert" if in_etc else "verity repair",
    )


def _gap(what: str, error: VerityError) -> NotEvaluated:
    return NotEvaluated(
        check="unlock-review", object=what, why=error.message, hint=error.hint or ""
    )
