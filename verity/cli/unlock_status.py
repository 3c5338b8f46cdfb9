# SPDX-License-Identifier: Apache-2.0
"""verity unlock status, relock: what is open, how long yet, and ending it."""

import os
import sys
import time
from pathlib import Path

import click

from verity.cli import output, unlock_options
from verity.formats import durations
from verity.formats.gate_unlocks import TakenUnlock
from verity.formats.ledger import Event
from verity.formats.statement import format_time
from verity.formats.unlock_request import operand_text, scope_name
from verity.ports import ledger as ledger_files
from verity.values.errors import CallerError, VerityError
from verity.verbs import unlock_apply, unlock_host, unlock_words
from verity.verbs.unlock_host import UnlockHost


@click.command(epilog="Example: verity unlock status --watch")
@click.option("--watch", is_flag=True, help="Go on counting, until nothing is unlocked any more.")
@unlock_options.root_option
@output.json_option
def status(watch: bool, root: Path, as_json: bool) -> int:
    """Say what is unlocked, and for how long yet.

    Each token of this boot with the time that it has left. Root has the ledger and the notice for
    who logs in brought up to date by it.
    """
    if as_json and watch:
        raise CallerError("bad-arguments", "--watch is for people: with --json ask again")
    host = unlock_host.look(root, int(time.time()))
    for one in host.gate.unlocks:
        _show(one, host, as_json=as_json)
    if os.geteuid() == 0:
        for note in (*unlock_host.carry_over(host), *unlock_apply.show(host)):
            output.message(f"note: {note}")
    used = host.gate.unlock_used
    if as_json:
        output.record(
            "unlocks",
            {
                "live": len(host.live),
                "used": used.used,
                "most": used.capacity,
                "off": host.gate.tainted,
            },
        )
        return 0
    if not host.live:
        output.line(f"locked    nothing is unlocked; the gate is {host.gate.state}")
    if host.gate.tainted:
        output.line("taint     the gate was off in this boot, by a token")
    output.line(f"used      {used.used} of {used.capacity} tokens of this boot")
    output.line(f"drill     {_practised(root)}")
    if watch:
        _watch(root)
    return 0


def _watch(root: Path) -> None:
    """A line a second with what is left, the same line where that is a terminal."""
    end = "\r" if sys.stdout.isatty() else "\n"
    while (host := unlock_host.look(root, int(time.time()))).live:
        parts = (
            f"{unlock_words.what(one.scope, one.operand)} ends in"
            f" {durations.lasting(unlock_words.left(one, host.clock_s))}"
            for one in host.live
        )
        click.echo(f"{'; '.join(parts):70}{end}", nl=False)
        time.sleep(1)
    output.line(f"{'locked    nothing is unlocked any more':70}")


@click.command(epilog="Example: verity unlock relock 0102030405060708090a0b0c0d0e0f10")
@unlock_options.root_option
@output.json_option
@click.argument("token_id", metavar="[ID]", required=False)
def relock(root: Path, as_json: bool, token_id: str | None) -> int:
    """End an unlock before its time: the one of this ID, or all of them.

    The processes of a session end with it.
    """
    found = unlock_options.token_id_of(token_id)
    host = unlock_host.look(root, int(time.time()))
    ended = len(host.live) if token_id is None else 1
    for note in unlock_apply.relock(host, found):
        output.message(f"note: {note}")
    if as_json:
        output.record("relocked", {"ended": ended})
    else:
        output.line(f"relocked  {ended} ended")
    return 0


def _practised(root: Path) -> str:
    """When the way in was last practised."""
    try:
        drills = [one for one in ledger_files.read(root).entries if one.event is Event.DRILL]
    except VerityError as error:
        return f"the ledger can't be read: {error.message}"
    if not drills:
        return "never practised here: `verity unlock drill`"
    return f"last practised {format_time(drills[-1].at)}"


def _show(one: TakenUnlock, host: UnlockHost, *, as_json: bool) -> None:
    is_live = one in host.live
    seconds = unlock_words.left(one, host.clock_s)
    if as_json:
        output.record(
            "unlock",
            {
                "token": one.token_id.hex(),
                "scope": scope_name(one.scope),
                "operand": operand_text(one.scope, one.operand),
                "applied_s": one.applied_s,
                "until_s": one.until_s,
                "state": "live" if is_live else one.state.value,
                "left_s": seconds if is_live else 0,
            },
        )
        return
    what = unlock_words.what(one.scope, one.operand)
    word = "UNLOCKED" if is_live else "over"
    output.line(f"{word:9} {what}")
    output.line(f"{'token':9} {one.token_id.hex()}")
    if is_live:
        output.line(f"{'ends':9} in {durations.lasting(seconds)}")
    else:
        output.line(f"{'ended':9} {one.state} at second {one.until_s} of this boot")
