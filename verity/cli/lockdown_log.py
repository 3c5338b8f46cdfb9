# SPDX-License-Identifier: Apache-2.0
"""verity lockdown log: what the gate denied, once or as it comes."""

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from verity.cli import output
from verity.cli.denial_output import denial_fields, denial_line
from verity.cli.params import PATH
from verity.formats.gate_status import Denial, Reason
from verity.values.errors import CallerError, HostError
from verity.verbs import gate_view
from verity.verbs.denial_watch import Lost, Watch

# As long as a person waits without noticing; a look reads some 50 KB that the kernel prints.
_PAUSE_S = 0.5


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """Which denials are shown. ``path``: this file, and what is below it."""

    reasons: tuple[str, ...]
    path: bytes | None

    def has(self, denial: Denial) -> bool:
        if self.reasons and denial.reason not in self.reasons:
            return False
        if self.path is None:
            return True
        found = denial.path or b""
        return found == self.path or found.startswith(self.path.rstrip(b"/") + b"/")


@click.command(epilog="Example: verity lockdown log --since 42 --json")
@click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    metavar="DIR",
    help="Where the gate's files are.  [default: /]",
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@click.option(
    "--since",
    type=click.IntRange(min=0),
    default=0,
    metavar="SEQ",
    help="Only denials with a higher number.",
)
@click.option(
    "--reason",
    "reasons",
    multiple=True,
    metavar="REASON",
    help="Only denials for this reason, such as not-granted.",
)
@click.option(
    "--path",
    type=PATH,
    metavar="PATH",
    help="Only denials of this file, or of what is below this directory.",
)
@output.json_option
def log(
    root: Path,
    follow: bool,
    since: int,
    reasons: tuple[str, ...],
    path: Path | None,
    as_json: bool,
) -> int:
    """List what the gate denied, or would have denied while it observes, oldest first.

    The gate keeps the last 256 and the first of each reason. `verity explain --denial SEQ` tells
    more about one. With --follow it looks twice a second, says how many were lost between two
    looks, and ends with status 0 when the gate goes away.
    """
    known = [reason.value for reason in Reason if not reason.allow]
    for reason in reasons:
        if reason not in known:
            raise CallerError(
                "bad-arguments",
                f"--reason {reason[:40]!r}: the gate has no such reason",
                hint=f"it has {', '.join(known)}",
            )
    wanted = _Wanted(reasons=reasons, path=None if path is None else os.fsencode(path))

    def show(denial: Denial) -> None:
        if not wanted.has(denial):
            return
        if as_json:
            output.record("denial", denial_fields(denial))
        else:
            output.line(denial_line(denial))

    if follow:
        return _follow(root, since, show, as_json=as_json)
    found = gate_view.denials(root)
    for denial in found:
        if denial.seq > since:
            show(denial)
    missing = found[-1].seq - found[0].seq + 1 - len(found) if found else 0
    if missing:
        output.message(f"note: {missing} denials between these were more than the gate keeps")
    return 0


def _follow(root: Path, since: int, show: Callable[[Denial], None], *, as_json: bool) -> int:
    gc.enable()  # `main` switches it off for what ends soon
    watch = Watch(since)
    found = gate_view.look(root)
    gate = found.gate
    while True:
        if found.gate != gate or watch.is_behind(found.denials):
            gate, watch = found.gate, Watch()
            if as_json:
                output.record("gate", {"numbers": "begin anew"})
            else:
                output.message("note: another gate was loaded, whose numbers begin anew")
        for item in watch.look(found.denials):
            if isinstance(item, Denial):
                show(item)
            else:
                _say_lost(item, as_json=as_json)
        time.sleep(_PAUSE_S)
        try:
            found = gate_view.look(root)
        except HostError as error:
            if error.code != "no-gate":
                raise
            output.message("note: the gate is gone: nothing is refused any more")
            return 0


def _say_lost(lost: Lost, *, as_json: bool) -> None:
    if as_json:
        output.record("lost", {"first": lost.first, "last": lost.last, "number": lost.number})
    else:
        output.message(f"note: {lost.number} denials lost, {lost.first} to {lost.last}")
