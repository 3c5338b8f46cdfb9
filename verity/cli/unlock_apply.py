# SPDX-License-Identifier: Apache-2.0
"""verity unlock apply: a token to the gate, from a file, a pipe, or as it is typed."""

import os
import sys
import time
from pathlib import Path
from typing import NoReturn

import click

from verity.cli import output, unlock_options
from verity.cli.params import PATH
from verity.formats import durations, typed_token
from verity.formats.unlock import Scope, UnlockToken
from verity.values.errors import CallerError, ContentError, HostError
from verity.verbs import unlock_apply, unlock_host, unlock_words

_SHELL = "/bin/sh"
_NO_SHELLS = ("nologin", "false")


@click.command(epilog="Example: verity unlock apply rescue.unlock")
@click.option(
    "--typed", is_flag=True, help="Ask for its groups, one after the other; from a pipe, read them."
)
@click.option(
    "--run",
    "command",
    metavar="COMMAND",
    help="Of a token for a session: what runs in it, by /bin/sh.  [default: your shell]",
)
@unlock_options.root_option
@output.json_option
@click.argument("token", metavar="[TOKEN|-]", type=PATH, required=False)
def apply(typed: bool, command: str | None, root: Path, as_json: bool, token: Path | None) -> int:
    """Hand a token to the gate, which verifies it.

    What was cut, wrapped by a mail program, doubled or mistyped is said before anything is handed
    over: only a token whose signatures are right is ever used up. Where Python can't run,
    /usr/lib/verity/verity-unlock does the same.

    A session is this process and what it starts, and ends with its time: you get a shell in it, or
    --run starts another program, such as an sshd for an emergency.
    """
    if typed == (token is not None):
        raise CallerError("bad-arguments", "name the token's file (or -), or say --typed")
    host = unlock_host.look(root, int(time.time()))
    for note in unlock_host.carry_over(host):
        output.message(f"note: {note}")
    try:
        signed = unlock_apply.read(_read(token), host, label=_label(token))
        unlock_apply.check(signed.token, host)
        session = _session(signed.token, command)
    except ContentError as error:
        for note in unlock_apply.refused(host, error):
            output.message(f"note: {note}")
        raise
    for note in unlock_apply.apply(host, signed):
        output.message(f"note: {note}")
    seconds = signed.token.duration_s
    opened = unlock_words.what(signed.token.scope, signed.token.operand)
    if as_json:
        fields = {"token": signed.token.token_id.hex(), "scope": opened, "seconds": seconds}
        output.record("drill" if not seconds else "unlocked", fields)
    elif seconds:
        output.line(f"unlocked  {opened}, for {durations.lasting(seconds)} at the most")
        output.line("then      `verity unlock relock` when you are done, `verity unlock review`")
    else:
        output.line("drill     passed: the gate verified the token and used it up; nothing changed")
    if session:
        _become(session)
    return 0


def _session(token: UnlockToken, command: str | None) -> list[str]:
    """What to become once a session was granted; nothing for any other token."""
    if token.scope is not Scope.SESSION or not token.duration_s:
        if command is not None:
            raise CallerError("bad-arguments", "--run is for a token of the scope session")
        return []
    if command is not None:
        return [_SHELL, "-c", command]
    if not sys.stdin.isatty():
        raise CallerError(
            "bad-arguments",
            "a session without a terminal needs --run: what is to run in it",
            hint="nothing was handed to the gate yet",
        )
    own = os.environ.get("SHELL") or _SHELL
    return [_SHELL if os.path.basename(own) in _NO_SHELLS else own]


def _become(session: list[str]) -> NoReturn:
    """Be what runs in the session, in its shell's place /bin/sh: the token is used up by now."""
    sys.stdout.flush()
    failed: OSError | None = None
    for argv in (session,) if len(session) > 1 else (session, [_SHELL]):
        try:
            os.execv(argv[0], argv)  # noqa: S606 - the session is this very process
        except OSError as error:
            failed = error
    raise HostError(
        "no-shell",
        f"unlocked, and {_SHELL} can't be started: the session ends with this process",
        hint="have a new token signed, of another scope: path-prefix or observe-only",
    ) from failed


def _label(token: Path | None) -> str:
    return "standard input" if token is None or str(token) == "-" else str(token)


def _read(token: Path | None) -> bytes:
    if token is not None:
        return unlock_options.read(token, max_size=unlock_apply.MAX_SIZE)
    if not sys.stdin.isatty():
        return unlock_options.read(Path("-"), max_size=unlock_apply.MAX_SIZE)
    return _ask()


def _ask() -> bytes:
    """Group by group: what is wrong is typed again, and nothing is lost of what was right."""
    text = b""
    wanted = "01"
    output.message("type the token, a group a line; spaces don't matter")
    while True:
        # What no UTF-8 stands for comes as half a surrogate: a wrong key, and no group.
        line = os.fsencode(click.prompt(f"group {wanted}", err=True, prompt_suffix=": "))
        problem = typed_token.check_group(line)
        if problem:
            output.message(problem)
            continue
        text += line + b"\n"
        wanted = typed_token.next_group(text)
        if not wanted:
            return text
