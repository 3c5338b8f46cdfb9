# SPDX-License-Identifier: Apache-2.0
"""verity audit: whether a host is as signed, all of it."""

import os
import time
from pathlib import Path

import click

from verity.cli import audit_evidence, audit_report, audit_since, evidence_options, output
from verity.cli.audit_roots import roots
from verity.cli.params import Once
from verity.cli.trust_options import PATH, key_options
from verity.values.audit import Area
from verity.values.errors import CallerError, HostError
from verity.verbs import audit_documents, audit_run
from verity.verbs.audit_documents import Asked


@click.command(
    epilog="Example: verity audit --root /sysroot --repo /ostree/repo --commit debian/trixie"
    " --key vendor.pem.pub"
)
@click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    metavar="DIR",
    help="The tree to audit, in the place of the running host.  [default: /]",
)
@click.option(
    "--repo",
    type=PATH,
    metavar="REPO",
    help="The OSTree repository.  [default: ostree/repo of the host]",
)
@click.option(
    "--commit",
    "revision",
    metavar="REV",
    help="What was signed.  [default: what is booted, or the floor of the OS names]",
)
@key_options
@click.option(
    "--only",
    type=click.Choice([area.value for area in audit_run.AREAS]),
    multiple=True,
    help="Ask this area alone; repeat it for more.",
)
@click.option(
    "--deep",
    is_flag=True,
    help="Read all contents as well, to prove that the disk still holds them.",
)
@click.option(
    "--waiver",
    "waivers",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="A signed waiver, beside those in /etc/verity/waivers of the host; repeat it for more.",
)
@click.option(
    "--format",
    "report",
    type=click.Choice(audit_report.FORMATS),
    default="text",
    show_default=True,
    help="How to report it.",
)
@click.option(
    "--output",
    "target",
    cls=Once,
    type=PATH,
    metavar="FILE",
    help="Write the report to this file, which must not exist.  [default: standard output]",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Let the text report go on beyond a screen, and leave out nothing.",
)
@evidence_options.options
@audit_since.option
@output.json_option
def audit(
    root: Path,
    repo: Path | None,
    revision: str | None,
    keys: tuple[Path, ...],
    threshold: int,
    only: tuple[str, ...],
    deep: bool,
    waivers: tuple[Path, ...],
    report: str,
    target: Path | None,
    everything: bool,
    as_json: bool,
) -> int:
    """Say whether a host is as signed: documents, files, deployments, and how far that is known.

    Without arguments that is the host that runs this, and the commit that it has booted. With
    --root it is a tree that lies there: an image, a checkout, a deployment.

    Whose signature counts is said by --key, by --keyring and --pin, or by the keyrings and pins of
    the host that runs this; never by the tree. Who doesn't trust that host brings --pin. Serial
    floors, policy, boot bundle and waivers are the tree's: a commit below one of its floors is a
    finding.

    What can't be checked is reported as not evaluated, with why, and the exit status is then 3, or
    1 with a finding. A signed waiver takes one finding of one file out of the count, until it
    expires. The state is printed if every file was measured and is as signed, /etc as well where
    it is signed, as `manifest show --checksum os:STREAM=DIR etc:STREAM=DIR --root DIR` prints it.

    --evidence writes a signed capsule of the audit, which --verify verifies on another machine,
    without the host: its signature, every signed document in it, and what follows from these. It
    says what else of it depends on the host's honesty.
    """
    if evidence_options.verifying():
        from verity.cli import audit_verify  # here: another work than an audit

        return audit_verify.verify(keys, threshold, repo=repo, as_json=as_json)
    if as_json:
        context = click.get_current_context()
        if context.get_parameter_source("report") is click.core.ParameterSource.COMMANDLINE:
            raise CallerError("bad-arguments", "--json and --format: expected one of them")
        report = "json"
    to_file = target is not None and str(target) != "-"
    if target is not None and to_file and os.path.lexists(target):
        raise HostError(
            "exists",
            f"{target}: exists already and is not overwritten",
            hint="choose another name",
        )
    writing = audit_evidence.begin()
    with Steps() as steps:
        steps.update("documents", 0, 1)  # at once: verifying them takes its time
        host = audit_documents.make(
            Asked(
                root=root,
                roots=roots(keys, threshold),
                repo=repo,
                revision=revision,
                deep=deep,
                progress=steps.update,
            ),
            clock=int(time.time()),
        )
        found = audit_run.run(host, only=[Area(area) for area in only], waivers=waivers)
    if audit_since.asked() is None:
        audit_report.publish(found, report, target if to_file else None, everything=everything)
    # After the report, which is there also if no capsule can be made.
    if writing is not None or audit_since.asked() is not None:
        audit_evidence.end(
            writing,
            found,
            root,
            commit=host.commit,
            repo=host.repo,
            keys=keys,
            threshold=threshold,
            as_json=as_json,
        )
    return found.exit_status


class Steps:
    """A progress bar for each thing that is being done, only on a terminal."""

    def __init__(self) -> None:
        self._what = ""
        self._bar: output.Progress | None = None

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.__exit__(*exc)

    def update(self, what: str, done: int, total: int) -> None:
        """Say how much of it is done."""
        if what != self._what:
            self.__exit__(None, None, None)
            self._what, self._bar = what, output.Progress(what)
        if self._bar is not None:
            self._bar.update(done, total)
