# SPDX-License-Identifier: Apache-2.0
"""verity lockdown fanotify: a process that observes, for kernels that can't have the gate."""

import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from verity.cli import denial_output, output
from verity.cli.params import PATH
from verity.values.errors import CallerError
from verity.verbs import lockdown as verb

if TYPE_CHECKING:
    from verity.verbs.fanotify_observe import Unattributed


@click.command(epilog="Example: verity lockdown fanotify / /home")
@click.argument("directories", metavar="[DIR]...", nargs=-1, type=PATH)
@click.option(
    "--bundle",
    type=PATH,
    default=verb.DEFAULT_BUNDLE,
    show_default=True,
    metavar="FILE",
    help="The boot bundle: what is granted.",
)
@click.option(
    "--pin",
    "pins",
    type=PATH,
    multiple=True,
    default=verb.DEFAULT_PINS,
    metavar="FILE",
    help="The pins to verify it with, the vendor's first.  [default: vendor.pin and user.pin in"
    " /etc/verity/pins]",
)
@output.json_option
def fanotify(
    directories: tuple[Path, ...], bundle: Path, pins: tuple[Path, ...], as_json: bool
) -> int:
    """Write down what the gate would refuse to start, where a kernel can't have it. As root.

    It watches the file systems of the DIRs, by default that of /, until a signal ends it, and
    prints lines as `lockdown log` does. It refuses nothing and nobody waits for it, stopped or
    dead. It can't see memory files, libraries, modules, other file systems, or what a process was
    at the moment of the start; one that had ended is told as unattributed, whoever it was.
    """
    from verity.verbs import fanotify_observe as observe

    if len(pins) != len(verb.DEFAULT_PINS):
        raise CallerError(
            "bad-arguments", f"{len(pins)} pins, expected the vendor's and the user's"
        )
    what = observe.known(bundle, pins, now=int(time.time()))
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    lost = False
    for found in observe.observe(
        what,
        directories or (Path("/"),),
        clock_ms=lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000,
        stopped=ended.is_set,
        ready=lambda: output.message("observing; nothing is refused"),
    ):
        if isinstance(found, observe.Lost):
            lost = True
            output.message("warning: more was started than could be looked at: some is missing")
        elif isinstance(found, observe.Unattributed):
            _show_unattributed(found, as_json=as_json)
        elif as_json:
            output.record("denial", denial_output.denial_fields(found))
        else:
            output.line(denial_output.denial_line(found))
    return 3 if lost else 0


def _show_unattributed(found: "Unattributed", *, as_json: bool) -> None:
    digest = None if found.digest is None else f"sha256:{found.digest.hex()}"
    if as_json:
        fields = {
            "boot_ms": found.boot_ms,
            "reason": found.reason.value,
            "pid": found.pid,
            "digest": digest,
            **({"path": None} if found.path is None else output.path_fields(found.path)),
        }
        output.record("unattributed", fields)
        return
    seconds = f"{found.boot_ms // 1000}.{found.boot_ms % 1000:03}"
    what = "" if found.path is None else f" {output.shown(found.path)}"
    output.line(
        f"- {seconds}s unattributed {found.reason} exec pid {found.pid}{what}"
        f"{'' if digest is None else f' {digest}'}"
    )
