# SPDX-License-Identifier: Apache-2.0
"""verity lockdown journal: the gate's denials into systemd's journal and the kernel's audit."""

import gc
import signal
import time
from pathlib import Path

import click

from verity.cli import output
from verity.cli.params import PATH
from verity.ports import boots, gate_files
from verity.ports.audit import Audit
from verity.ports.journal import Journal
from verity.values.errors import HostError
from verity.verbs import gate_view
from verity.verbs.denial_records import Writer

DEFAULT_STATE = Path("/run/verity-denials/state")
_PAUSE_S = 1.0


@click.command(epilog="Example: verity lockdown journal --once --state /run/verity-denials/state")
@click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    metavar="DIR",
    help="Where the gate's files and the journal's socket are.  [default: /]",
)
@click.option(
    "--state",
    type=PATH,
    default=DEFAULT_STATE,
    show_default=True,
    metavar="FILE",
    help="How far it came, for the next start; made if it isn't there.",
)
@click.option(
    "--keep",
    type=PATH,
    metavar="DIR",
    help="Keep what each boot refused in this directory, for `verity lockdown check`.",
)
@click.option("--once", is_flag=True, help="Write what is there now, and end.")
@click.option("--no-audit", is_flag=True, help="Write to the journal alone.")
@output.json_option
def journal(
    root: Path, state: Path, keep: Path | None, once: bool, no_audit: bool, as_json: bool
) -> int:
    """Write each denial to the journal, and to audit, as it comes.

    The first for a reason of a file is written at once; of more within a minute only their number.
    Each entry has fields that `journalctl` can look for, such as VERITY_REASON=not-granted, names
    the rule, and says what to type next. It looks once a second, ends with SIGTERM or with the
    gate, and goes on where it was: verity-denials.service runs it. The gate needs none of it.
    """
    audit = None
    if not no_audit and root.resolve() == Path("/"):
        try:
            audit = Audit()
        except HostError as error:
            output.message(f"note: {error.message}: to the journal alone")
    boot = gate_files.boot_id(root)
    writer = Writer(
        state,
        boot,
        Journal(root),
        audit,
        lambda text: output.message(f"note: {text}"),
        keep=lambda found: None if keep is None else boots.keep(keep, found),
    )
    _work(writer, root, once=once)
    if as_json:
        output.record("journal", {"written": writer.written})
    else:
        output.line(f"{writer.written} records written")
    return 0


def _work(writer: Writer, root: Path, *, once: bool) -> None:
    gc.enable()  # `main` switches it off for what ends soon
    # Taken between two looks only, so that it never ends a record in the middle.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    if once:
        writer.take(gate_view.look(root), _boot_ms())
        while writer.is_waiting:
            writer.take(gate_view.look(root), _boot_ms())
        return
    found = gate_view.look(root)
    while True:
        writer.take(found, _boot_ms())
        if signal.sigtimedwait({signal.SIGTERM}, _PAUSE_S) is not None:
            break
        try:
            found = gate_view.look(root)
        except HostError as error:
            if error.code != "no-gate":
                raise
            output.message("note: the gate is gone: nothing is refused any more")
            break
    writer.close(_boot_ms())


def _boot_ms() -> int:
    """The clock that the gate's records have."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
