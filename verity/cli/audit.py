# SPDX-License-Identifier: Apache-2.0
"""verity audit: a tree against the signed commit."""

import dataclasses
import os
import time
from pathlib import Path

import click

from verity import __version__
from verity.cli import audit_evidence, audit_since, audit_verify, evidence_options, output
from verity.cli.floor_output import with_floors
from verity.cli.trust_options import PATH, judged, key_options, trusted_set
from verity.ports.ostree_repo import Repository
from verity.ports.places import BUNDLE, POLICY
from verity.values.audit import Area, AreaResult, Audit, Check, Head, Severity
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
    metavar="DIR",
    help="The tree to audit, checked out from the commit.",
)
@click.option("--repo", type=PATH, metavar="REPO", help="The OSTree repository.")
@click.option("--commit", "revision", metavar="REV", help="What was signed.")
@key_options
@evidence_options.options
@audit_since.option
@output.json_option
def audit(
    root: Path | None,
    repo: Path | None,
    revision: str | None,
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

    --evidence writes a signed capsule of the audit, which --verify verifies on another machine,
    without the host: its signature, every signed document in it, and what follows from these. It
    says what else of it depends on the host's honesty.
    """
    if evidence_options.verifying():
        return audit_verify.verify(keys, threshold, repo=repo, as_json=as_json)
    if root is None or repo is None or revision is None:
        name = "--root" if root is None else "--repo" if repo is None else "--commit"
        raise click.UsageError(f"Missing option '{name}'.")
    writing = audit_evidence.begin()
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
            clock=now,
            progress=lambda done: progress.update(done, total),
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
    status = result.exit_status
    if audit_since.asked() is None:
        if as_json:
            output.record("state", {"sha256": value})
        output.report(result, as_json=as_json, good=lambda: "good: every file is as signed")
        if not as_json:
            _print_state(value, result)
    # After the report, which is there also if no capsule can be made.
    if writing is not None or audit_since.asked() is not None:
        audit_evidence.end(
            writing,
            _whole(root, result, value, now),
            root,
            commit=commit,
            repo=repo,
            keys=keys,
            threshold=threshold,
            as_json=as_json,
        )
    return status


def _whole(root: Path, result: Report, state: str | None, now: int) -> Audit:
    """The report as an audit of the files of a tree."""
    from verity.ports import host as host_port  # here: an audit alone needs it not

    try:
        host = host_port.host_id(root)
    except HostError:
        host = ""  # a tree alone is no host
    checks = {one.check for one in result.findings} | {one.check for one in result.not_evaluated}
    return Audit(
        head=Head(
            host_id=host,
            host_name=host_port.host_name(root),
            root=str(root),
            begun=now,
            boot_id="",
            kernel="",
            system="",
            state="",
            level="",
            taints=(),
            tool_version=__version__,
            tool_digest="",
            tool_verified=None,
            enforced=False,
            roots=(),
            roots_given=True,
            deep=False,
        ),
        checks=tuple(
            Check(id=one, area=Area.FILES, severity=Severity.HIGH, title=one)
            for one in sorted(checks)
        ),
        areas=(
            AreaResult(
                area=Area.FILES,
                findings=result.findings,
                not_evaluated=result.not_evaluated,
                counts=result.counts,
                notes=result.notes,
            ),
        ),
        state=state,
    )


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
