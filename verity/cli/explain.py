# SPDX-License-Identifier: Apache-2.0
"""verity explain: the chain for one file, a block for each link."""

import os
import time
from pathlib import Path

import click

from verity.cli import output
from verity.cli.trust_options import PATH, key_options, repo_option, trusted_set
from verity.ports.ostree_repo import Repository
from verity.verbs import explain as verb

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
@repo_option
@click.option("--commit", "revision", required=True, metavar="REV", help="What was signed.")
@key_options
@output.json_option
@click.argument("path", metavar="PATH")
def explain(
    root: Path,
    repo: Path,
    revision: str,
    keys: tuple[Path, ...],
    threshold: int,
    as_json: bool,
    path: str,
) -> int:
    """Show the chain for PATH, from key to inode, each link asked anew."""
    trusted = trusted_set(keys, threshold)
    with Repository(repo) as repository:
        found = verb.explain(
            root, os.fsencode(path), repository, revision, trusted, now=int(time.time())
        )
    if not as_json:
        output.line(f"{output.shown(found.path)}")
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
