# SPDX-License-Identifier: Apache-2.0
"""verity audit: a tree against the signed commit."""

import time
from pathlib import Path

import click

from verity.cli import output
from verity.cli.floor_output import with_floors
from verity.cli.trust_options import PATH, judged, key_options, repo_option, trusted_set
from verity.ports.ostree_repo import Repository
from verity.verbs import audit as verb
from verity.verbs import serial_floors, signed
from verity.verbs.serial_floors import HostState


@click.command(
    epilog="Example: verity audit --root /sysroot --repo /ostree/repo --commit debian/trixie"
    " --key vendor.pem.pub"
)
@click.option(
    "--root",
    type=PATH,
    required=True,
    metavar="DIR",
    help="The tree to audit, checked out from the commit.",
)
@repo_option
@click.option("--commit", "revision", required=True, metavar="REV", help="What was signed.")
@key_options
@output.json_option
def audit(
    root: Path,
    repo: Path,
    revision: str,
    keys: tuple[Path, ...],
    threshold: int,
    as_json: bool,
) -> int:
    """Compare a tree with the signed commit, file by file, by the kernel's digests.

    Whose signature counts is said by --key, by --keyring and --pin, or by the keyrings and pins of
    the host that runs this; never by the tree. Serial floors are the tree's: a commit below one of
    them is a finding.
    """
    trusted = trusted_set(keys, threshold)
    now = int(time.time())
    with Repository(repo) as repository:
        commit = signed.load(repository, revision, trusted)
    compared = serial_floors.judge(HostState.at(root), commit.statement, trusted, now=now)
    with output.Progress("files") as progress:
        total = len(commit.manifest.entries)
        result = verb.audit(
            root,
            commit.manifest,
            now=compared.time,
            progress=lambda done: progress.update(done, total),
        )
    result = with_floors(compared, result, as_json=as_json)
    return output.report(
        judged(result, now), as_json=as_json, good=lambda: "good: every file is as signed"
    )
