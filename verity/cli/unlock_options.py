# SPDX-License-Identifier: Apache-2.0
"""What verbs about unlocks have in common: scope, operand, times, a file or `-`, and QR codes."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from verity.cli import output, signing_options
from verity.cli.params import PATH
from verity.formats import durations
from verity.formats.gate_unlocks import SCOPES
from verity.formats.unlock import MAX_AHEAD_S, MAX_DURATION_S, PATH_SCOPES, Scope
from verity.ports.osfile import read_file
from verity.values.errors import CallerError, HostError

_TOKEN_ID = re.compile(r"[0-9a-f]{32}")
_STDIN = Path("-")

root_option = click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    metavar="DIR",
    help="Where the host's files are.  [default: /]",
)
scope_choice = click.Choice(list(SCOPES))
OPERAND_METAVAR = "sha256:HEX|PATH"
OPERAND_HELP = "Of the scopes digest, path-prefix and config-path: which one."
qr_option = click.option("--qr", is_flag=True, help="Show it as a QR code on the terminal, too.")


def operand_of(scope: Scope, text: str | None) -> bytes:
    """What ``--operand`` means for a scope; CallerError if it has none, or misses one."""
    wants = scope is Scope.DIGEST or scope in PATH_SCOPES
    if wants != (text is not None):
        raise CallerError(
            "bad-arguments", f"this scope {'needs' if wants else 'takes no'} --operand"
        )
    if text is None:
        return b""
    return (
        signing_options.digest_of(text, "--operand") if scope is Scope.DIGEST else os.fsencode(text)
    )


def seconds_of(name: str, text: str) -> int:
    """How long ``30m`` is; ``name`` is the option."""
    seconds = durations.parse(text)
    if seconds is None or seconds > MAX_DURATION_S:
        raise CallerError("bad-arguments", f"{name} {text}: not a time such as 90s, 15m, 2h or 1d")
    return seconds


def within_of(text: str) -> int:
    """How long after its challenge a token can be applied, of ``--within``."""
    seconds = seconds_of("--within", text)
    if seconds > MAX_AHEAD_S:
        raise CallerError(
            "bad-arguments",
            f"--within {text}: a gate takes none that lies ready for over a day",
        )
    return seconds


def token_id_of(text: str | None) -> bytes | None:
    """The id of a token, where one was given; CallerError for what is none."""
    if text is None:
        return None
    if not _TOKEN_ID.fullmatch(text):
        raise CallerError(
            "bad-arguments",
            f"{text[:80]}: no id of a token, 32 hex digits",
            hint="`verity unlock status` shows the ids",
        )
    return bytes.fromhex(text)


def read(path: Path, *, max_size: int) -> bytes:
    """A file, or what comes in where it is ``-``."""
    if path != _STDIN:
        return read_file(path, max_size=max_size)
    if sys.stdin.isatty():
        output.message("paste it, then Ctrl-D on a line of its own")
    data = sys.stdin.buffer.read(max_size + 1)
    if len(data) > max_size:
        raise HostError("too-large", f"standard input: more than {max_size} bytes")
    return data


def show_qr(data: bytes | str) -> None:
    """A QR code in characters: half blocks where the terminal has UTF-8, else two cells a dot."""
    try:
        import segno  # here, because of all verbs only these need it
    except ImportError as error:
        raise HostError(
            "no-qr", "--qr: the package segno is not installed", hint="pip install segno"
        ) from error
    try:
        code = segno.make_qr(data, error="l")
    except segno.DataOverflowError as error:
        raise HostError(
            "no-qr",
            f"--qr: {len(data)} bytes are too many for a QR code",
            hint="carry the text as a file, or give a shorter reason",
        ) from error
    compact = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    width = code.symbol_size(border=2)[0] * (1 if compact else 2)
    if sys.stdout.isatty() and width > shutil.get_terminal_size().columns:
        output.message(f"warning: the QR code is {width} columns wide, and this terminal less")
    code.terminal(sys.stdout, border=2, compact=compact)


def challenge_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What the verbs have in common that print a challenge."""
    for option in (
        qr_option,
        click.option(
            "-o",
            "--output",
            "target",
            type=click.Path(path_type=Path, readable=False),
            metavar="FILE",
            help="Write it to a new file, too.",
        ),
        root_option,
    ):
        command = option(command)
    return command
