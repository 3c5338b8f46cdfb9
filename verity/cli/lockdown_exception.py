# SPDX-License-Identifier: Apache-2.0
"""verity lockdown exception: request, show, sign."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from verity.cli import output, policy_options, signing_options
from verity.cli.denial_output import DENIAL, denial_line
from verity.cli.params import PATH
from verity.formats.escaped import shell_word
from verity.formats.exception_request import Request, words_of
from verity.formats.statement import format_time

# Starting a command costs what it imports: a request needs nothing of signing, and the reverse.
if TYPE_CHECKING:
    from verity.verbs.exception_sign import Read, SignedException

_new_file = click.Path(path_type=Path, readable=False)


@click.group()
def exception() -> None:
    """Ask for a signature on one file that was refused, and give it.

    A host asks, the holder of an extension key signs, the host takes the answer in: by a stick or
    by mail, without a network, and without another thing on the way that has to be trusted.
    """


@exception.command(
    epilog="Example: verity lockdown exception request --denial last --output exception.json"
)
@click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    metavar="DIR",
    help="Where the gate's files and PATH are.  [default: /]",
)
@click.option("--denial", type=DENIAL, metavar="SEQ|last", help="Ask for the file of this denial.")
@click.option(
    "-o",
    "--output",
    "target",
    type=_new_file,
    required=True,
    metavar="FILE",
    help="Where to; nothing is overwritten.",
)
@output.json_option
@click.argument("path", metavar="[PATH]", required=False)
def request(
    root: Path, denial: int | str | None, target: Path, as_json: bool, path: str | None
) -> int:
    """Write a request for one file that was refused, by its PATH or by a denial.

    The request names the host, the file with its digest and mode, what it is to be used as, and the
    denial. There is no secret in it. Tell its fingerprint to whoever signs, by another way.
    """
    from verity.verbs import exception_request as verb

    if (denial is None) == (path is None):
        raise click.UsageError("Either a PATH or --denial.", click.get_current_context())
    now = int(time.time())
    if path is not None:
        made = verb.of_path(root, os.fsencode(path), now=now)
    else:
        made = verb.of_denial(root, None if isinstance(denial, str) else denial, now=now)
    fingerprint = verb.write(made, target)
    _show(made, fingerprint, as_json=as_json)
    if not as_json:
        output.line(
            "next       send it to the holder of an extension key, and tell them the fingerprint:"
        )
        output.line(f"           verity lockdown exception sign {target.name} --key KEY OUT")
    return 0


@exception.command(epilog="Example: verity lockdown exception show exception.json")
@output.json_option
@click.argument("source", metavar="REQUEST", type=PATH)
def show(as_json: bool, source: Path) -> int:
    """Say in plain words what a request asks for. Nothing in it is proven."""
    from verity.verbs import exception_sign as verb

    found = verb.read(source)
    _show(found.request, found.fingerprint, as_json=as_json)
    return 0


@exception.command(
    epilog="Example: verity lockdown exception sign exception.json --key ext.pem --fingerprint"
    " '3f2a 91bc 77de 0012 aa34' reply"
)
@signing_options.signing_option
@signing_options.threshold_option
@click.option(
    "--stream", metavar="STREAM", help="In this stream.  [default: the only one that the host has]"
)
@click.option(
    "--serial",
    default="auto",
    show_default=True,
    callback=signing_options.serial_value,
    metavar="N|auto",
    help="Above the host's; auto: the next one.",
)
@signing_options.state_option
@click.option(
    "--fingerprint",
    metavar="HEX",
    help="Refuse a request with another one than this, which the host printed.",
)
@click.option("--host", metavar="NAME|HEX", help="Refuse a request of another host.")
@click.option("--file", "copy", type=PATH, metavar="COPY", help="A copy of the file, to compare.")
@click.option(
    "--add-to",
    type=PATH,
    metavar="DIR",
    help="What was signed last in this stream: that stays granted.",
)
@click.option(
    "--alone",
    is_flag=True,
    help="Whatever the stream granted before ends with this.",
)
@policy_options.signing_option
@signing_options.days_option
@signing_options.issued_option
@signing_options.expires_option
@output.json_option
@click.argument("source", metavar="REQUEST", type=PATH)
@signing_options.target_argument
def sign(
    key_uris: tuple[str, ...],
    threshold: int,
    stream: str | None,
    serial: int | None,
    state: Path | None,
    fingerprint: str | None,
    host: str | None,
    copy: Path | None,
    add_to: Path | None,
    alone: bool,
    policy: Path | None,
    days: int,
    issued: int | None,
    expires: int | None,
    as_json: bool,
    source: Path,
    target: Path,
) -> int:
    """Sign a request as an extension of one file: OUT, as of `extension sign`.

    With --file the contents are compared with the digest that is signed; without, whoever signs
    relies on the digest alone. A stream's next serial takes the place of the one before: where the
    host has one, --add-to keeps what it grants, and --alone ends it. All keys sign. On the host:
    `lockdown import OUT/grants`, and `enable` for the file.
    """
    from verity.values.errors import CallerError
    from verity.verbs import exception_sign as verb
    from verity.verbs.sign_prepare import Spot

    begin, end = signing_options.validity(
        int(time.time()), issued=issued, expires=expires, days=days
    )
    found = verb.read(source, fingerprint=fingerprint, host=host)
    name, there = verb.stream_of(found.request, stream)
    listed = policy_options.asked_of(policy_options.read(policy)).listed
    verb.check_listed(found.request, listed)
    if copy is not None:
        verb.compare(found.request, copy, listed)
    if add_to is not None and alone:
        raise CallerError(
            "bad-arguments",
            "--add-to keeps what was granted, --alone ends it",
            hint="give one of them",
        )
    if there and add_to is None and not alone:
        raise CallerError(
            "would-end",
            f"the host {found.request.name} has serial {there} of the stream {name}: all that it"
            " grants would end with the next one",
            hint="--add-to DIR, what was signed last in this stream, keeps it; --alone ends it",
        )
    keys = signing_options.signers(key_uris)
    done = verb.sign(
        found.request,
        Spot(stream=name, serial=serial, issued=begin, expires=end),
        keys,
        target,
        state=state,
        threshold=threshold,
        before=None if add_to is None else verb.load_before(add_to, name, there, keys),
    )
    _show(found.request, found.fingerprint, as_json=as_json)
    _say_signed(found, done, copy, signing_options.lasts(expires, days), target, as_json=as_json)
    return 0


def _say_signed(
    found: "Read",
    done: "SignedException",
    copy: Path | None,
    lasts: str,
    target: Path,
    *,
    as_json: bool,
) -> None:
    compared = copy is not None
    if as_json:
        fields = {one: getattr(done, one) for one in done.__dataclass_fields__}
        output.record("signed", {**fields, "compared": compared})
        return
    contents = "as in the copy" if compared else "by digest alone: nobody looked at them here"
    output.line(f"contents   {contents}")
    output.line(f"signed     by {signing_options.by_keys(done.key_ids)}")
    output.line(f"as         stream {done.stream} serial {done.serial}, {lasts}")
    output.line(f"kept       {done.kept} digests that were granted before")
    output.line("next       on the host, as root:")
    output.line(f"           verity lockdown import {shell_word(os.fsencode(target.name))}/grants")
    output.line(f"           verity enable {shell_word(found.request.file.path)}")


def _show(request: Request, fingerprint: str, *, as_json: bool) -> None:
    entry = request.file
    digest = f"sha256:{(entry.digest or b'').hex()}"
    if as_json:
        output.record(
            "exception-request",
            {
                "host": request.host,
                "name": request.name,
                "asked": format_time(request.asked),
                **output.path_fields(entry.path),
                "mode": entry.mode,
                "size": entry.size,
                "digest": digest,
                "code": list(words_of(request.code)),
                "policy": request.policy,
                "streams": [{"name": name, "serial": last} for name, last in request.streams],
                "denial": None if request.denial is None else denial_line(request.denial),
                "fingerprint": fingerprint,
            },
        )
        return
    output.line(f"host       {request.name} ({request.host})")
    output.line(f"asked      {format_time(request.asked)}, under policy serial {request.policy}")
    output.line(
        f"file       {output.shown(entry.path)}, {entry.size} bytes, mode"
        f" {entry.mode & 0o7777:04o}, owner {entry.uid}:{entry.gid}"
    )
    output.line(f"digest     {digest}")
    output.line(f"wants      to be granted as {' and '.join(words_of(request.code))}")
    if request.denial is not None:
        output.line(f"denial     {denial_line(request.denial)}")
    for name, last in request.streams:
        output.line(f"stream     {name}, {f'serial {last}' if last else 'nothing imported'}")
    output.line(f"compare    {fingerprint}")
