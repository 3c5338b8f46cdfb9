# SPDX-License-Identifier: Apache-2.0
"""verity explain: the chain for one file, a block for each link; or one denial of the gate."""

import dataclasses
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from verity.cli import output
from verity.cli.denial_output import DENIAL, denial_fields, denial_line
from verity.cli.trust_options import PATH, by_keyring, key_options, keyrings, trusted_set

# Starting a command costs what it imports: a chain needs nothing of denials, and the reverse.
if TYPE_CHECKING:
    from verity.verbs.explain_denial import Explained

_WORDS = {True: "holds", False: "BROKEN", None: "unknown"}


@click.command(
    epilog="Example: verity explain --root /sysroot --repo /ostree/repo --commit debian/trixie"
    " --key vendor.pem.pub /usr/bin/sudo"
)
@click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    metavar="DIR",
    help="The tree that PATH is in.  [default: /]",
)
@click.option("--repo", type=PATH, metavar="REPO", help="The OSTree repository.")
@click.option("--commit", "revision", metavar="REV", help="What was signed.")
@key_options
@click.option(
    "--denial",
    type=DENIAL,
    metavar="SEQ|last",
    help="Explain this denial of the gate instead of a PATH.",
)
@output.json_option
@click.argument("path", metavar="PATH|PID", required=False)
def explain(
    root: Path,
    repo: Path | None,
    revision: str | None,
    keys: tuple[Path, ...],
    threshold: int,
    denial: int | str | None,
    as_json: bool,
    path: str | None,
) -> int:
    """Show the chain for one file, link by link, or a denial.

    PATH, whose links are asked anew from key to inode, needs --repo and --commit, and --key, or
    keyrings and pins: those of this host unless others are given. With --denial: what was
    attempted, by whom, why it was refused, what the file is now, and how to ask for a signature.
    The same for the denials of a file by PATH alone, or of a process by its number.
    """
    if denial is not None:
        if path is not None or repo is not None or revision is not None or keys or by_keyring():
            raise _usage("--denial takes no PATH, --repo, --commit, --key, --keyring or --pin.")
        number = None if isinstance(denial, str) else denial
        from verity.verbs import explain_denial

        return _print_denial(explain_denial.explain(root, number), as_json=as_json)
    if path is not None and repo is None and revision is None and not (keys or by_keyring()):
        return _denials_of(root, path, as_json=as_json)
    if repo is None:
        raise _usage("Missing option '--repo'.")
    if revision is None:
        raise _usage("Missing option '--commit'.")
    if path is None:
        raise _usage("Missing argument 'PATH'.")
    from verity.ports.ostree_repo import Repository
    from verity.verbs import explain as verb

    trusted = trusted_set(keys, threshold)
    now = int(time.time())
    with Repository(repo) as repository:
        found = verb.explain(root, os.fsencode(path), repository, revision, trusted, now=now)
    asked = keyrings()
    if asked is not None:
        from verity.verbs import explain_keyring

        steps = explain_keyring.steps(asked, now)
        found = dataclasses.replace(found, steps=(*steps, *found.steps))
    if not as_json:
        output.line(f"{output.shown(found.path)}")
        for note in found.notes:
            output.message(f"note: {output.one_line(note)}")
    else:
        for text in (*found.notes, *found.asides):
            output.record("note", {"text": text})
    for step in found.steps:
        if as_json:
            output.record(
                "link",
                {
                    **output.path_fields(found.path),
                    "link": step.link.value,
                    "holds": step.holds,
                    "asked": step.asked,
                    "answer": list(step.answer),
                    "hint": step.hint,
                },
            )
            continue
        output.line(f"{step.link.value:10} {_WORDS[step.holds]:8} {output.one_line(step.asked)}")
        for text in step.answer:
            output.line(f"{'':20}{output.one_line(text)}")
        if step.hint:
            output.line(f"{'':20}hint: {output.one_line(step.hint)}")
    return found.exit_status


def _denials_of(root: Path, path: str, *, as_json: bool) -> int:
    """The last denials of a file, or of a process if it is a number; the worst status of them."""
    from verity.verbs import explain_denial

    if path.isascii() and path.isdigit() and len(path) <= 10:
        found = explain_denial.of_process(root, int(path))
    else:
        found = explain_denial.of_file(root, os.fsencode(path))
    status = 0
    for number, one in enumerate(found):
        if number and not as_json:
            output.line("")
        status = max(status, _print_denial(one, as_json=as_json))
    return status


def _usage(text: str) -> click.UsageError:
    return click.UsageError(text, click.get_current_context())


def _print_denial(found: "Explained", *, as_json: bool) -> int:
    denial = found.denial
    if as_json:
        output.record(
            "explained-denial",
            {
                **denial_fields(denial),
                "attempted": found.attempted,
                "why": found.why,
                "now": found.now.value,
                "now_text": found.now_text,
                "remedies": list(found.remedies),
                "rule": found.rule,
                "commands": list(found.commands),
            },
        )
        return found.exit_status
    outcome = "denied" if denial.denied else "logged only: the gate was observing"
    output.line(denial_line(denial))
    output.line(f"attempted  {found.attempted}")
    output.line(
        f"by         {output.shown(denial.comm) or '?'}, pid {denial.pid}, uid {denial.uid}"
    )
    output.line(f"outcome    {outcome}")
    output.line(f"why        {found.why} ({denial.reason})")
    output.line(f"rule       {found.rule}")
    output.line(f"file now   {found.now}: {output.one_line(found.now_text)}")
    for remedy in found.remedies:
        output.line(f"way out    {output.one_line(remedy)}")
    for command in found.commands:
        output.line(f"next       {command}")
    return found.exit_status
