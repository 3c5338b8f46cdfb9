# SPDX-License-Identifier: Apache-2.0
"""verity audit: a tree against the signed commit."""

import dataclasses
import os
import time
from pathlib import Path

import click

from verity.cli import output
from verity.cli.floor_output import with_floors
from verity.cli.trust_options import PATH, judged, key_options, repo_option, trusted_set
from verity.ports.ostree_repo import Repository
from verity.ports.places import BUNDLE, POLICY
from verity.values.errors import ContentError, HostError
from verity.values.findings import Finding, Link, NotEvaluated, Report
from verity.verbs import audit as verb
from verity.verbs import serial_floors, signed, state_checksum
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
    them is a finding. The last line is the state checksum of the tree and its policy, as
    `manifest show --checksum os:STREAM=DIR --root DIR` prints it.

    If the tree has a signed policy, configuration that it guards and no grants name is a finding: a
    sealed gate would refuse it.
    """
    trusted = trusted_set(keys, threshold)
    now = int(time.time())
    with Repository(repo) as repository:
        commit = signed.load(repository, revision, trusted)
    compared = serial_floors.judge(HostState.at(root), commit.statement, trusted, now=now)
    with output.Progress("files") as progress:
        result = verb.audit(
            root,
            commit.manifest,
            now=compared.time,
            clock=now,
            progress=progress.update,
        )
    if os.path.lexists(root / POLICY):
        from verity.verbs import config_guard  # here: a tree without a policy needs none of it

        result = config_guard.added_to(result, root, commit)
    result = with_floors(compared, result, as_json=as_json)
    policy, result = _policy(root, judged(result, now))
    value = None
    if not result.exit_status:
        measured = [state_checksum.of_signed("os", commit.manifest)]
        value = state_checksum.checksum(measured, policy)
    if as_json:
        output.record("state", {"sha256": value})
    status = output.report(result, as_json=as_json, good=lambda: "good: every file is as signed")
    if not as_json:
        _print_state(value, result)
    return status


def _policy(root: Path, result: Report) -> tuple[str | None, Report]:
    """The policy that is part of the state; a bundle that has none is a finding."""
    try:
        return state_checksum.policy_of(root / BUNDLE), result
    except ContentError as error:
        found = Finding(
            check=error.code,
            link=Link.VERDICT,
            object=str(root / BUNDLE),
            problem=error.message,
            remedy="make it anew: `verity lockdown bundle`",
        )
        return None, dataclasses.replace(result, findings=(*result.findings, found))
    except HostError as error:
        gap = NotEvaluated(
            check=error.code,
            object=str(root / BUNDLE),
            why=error.message,
            hint=error.hint or "",
        )
        return None, dataclasses.replace(result, not_evaluated=(*result.not_evaluated, gap))


def _print_state(value: str | None, result: Report) -> None:
    """The state of what was audited, if all of it was measured and is as signed."""
    if value is not None:
        output.line(f"state: sha256:{value}")
        return
    left = f", {len(result.not_evaluated)} not evaluated" if result.not_evaluated else ""
    output.line(f"state: differs ({len(result.findings)} findings{left})")
