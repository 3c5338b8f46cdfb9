# SPDX-License-Identifier: Apache-2.0
"""verity objects: enable, check."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import click

from verity.cli import output
from verity.cli.floor_output import with_floors
from verity.cli.params import PATH
from verity.cli.trust_options import host_option, judged, key_options, repo_option, trusted_set
from verity.cli.working import Work, enable_jobs, enable_jobs_option, stopping
from verity.ports.ostree_repo import Repository
from verity.ports.tree import Tree
from verity.verbs import batch, serial_floors, signed
from verity.verbs import objects as verb
from verity.verbs.enable import How
from verity.verbs.serial_floors import HostState

_revision_argument = click.argument("revision", metavar="REV")
_jobs_option = click.option(
    "--jobs", type=click.IntRange(1, 256), default=None, help="Threads. [default: processors]"
)


def _options(command: Callable[..., int]) -> Callable[..., int]:
    """What both verbs take: which commit, and who may have signed it."""
    for option in (_revision_argument, output.json_option, host_option, key_options, repo_option):
        command = option(command)
    return command


@click.group()
def objects() -> None:
    """fs-verity on the objects of a signed commit."""


@objects.command(
    epilog="Example: verity objects enable --repo repo --key vendor.pem.pub debian/trixie"
)
@_options
@enable_jobs_option
@click.option(
    "--checkout",
    "checkouts",
    type=PATH,
    metavar="DIR",
    multiple=True,
    help="A checkout or deployment of REV: its empty files are copies, and no objects.",
)
def enable(
    repo: Path,
    keys: tuple[Path, ...],
    threshold: int,
    root: Path,
    jobs: int | None,
    checkouts: tuple[Path, ...],
    as_json: bool,
    revision: str,
) -> int:
    """Turn on fs-verity on every object; one that isn't as signed is left as it was."""
    trusted = trusted_set(keys, threshold, host=root)
    now = int(time.time())
    with Repository(repo) as repository, contextlib.ExitStack() as stack:
        opened = [stack.enter_context(Tree(one)) for one in checkouts]
        commit = signed.load(repository, revision, trusted)
        compared = serial_floors.judge(HostState.at(root), commit.statement, trusted, now=now)
        with stopping() as stop, Work("objects", time.monotonic) as work:
            result = verb.enable(
                repository,
                commit,
                now=compared.time,
                clock=now,
                how=How(jobs=enable_jobs(jobs), pause=time.sleep, stop=stop),
                checkouts=opened,
                progress=work.hear,
            )
    result = with_floors(compared, result, as_json=as_json)
    status = output.report(
        judged(result, now), as_json=as_json, good=lambda: "good: fs-verity is on for every object"
    )
    return 130 if stop else status


@objects.command(
    epilog="Example: verity objects check --repo repo --key vendor.pem.pub debian/trixie"
)
@_options
@_jobs_option
def check(
    repo: Path,
    keys: tuple[Path, ...],
    threshold: int,
    root: Path,
    jobs: int | None,
    as_json: bool,
    revision: str,
) -> int:
    """Compare the kernel's digest of every object with the signed one."""
    trusted = trusted_set(keys, threshold, host=root)
    now = int(time.time())
    with Repository(repo) as repository:
        commit = signed.load(repository, revision, trusted)
        compared = serial_floors.judge(HostState.at(root), commit.statement, trusted, now=now)
        result = verb.check(
            repository, commit, now=compared.time, clock=now, jobs=jobs or batch.default_jobs()
        )
    result = with_floors(compared, result, as_json=as_json)
    return output.report(
        judged(result, now),
        as_json=as_json,
        good=lambda: "good: the kernel's digest of every object is signed",
    )
