# SPDX-License-Identifier: Apache-2.0
"""verity objects: enable, check."""

import time
from collections.abc import Callable
from pathlib import Path

import click

from verity.cli import output
from verity.cli.trust_options import key_options, repo_option, trusted_set
from verity.ports.ostree_repo import Repository
from verity.verbs import batch, signed
from verity.verbs import objects as verb

_revision_argument = click.argument("revision", metavar="REV")
_jobs_option = click.option(
    "--jobs", type=click.IntRange(1, 256), default=None, help="Threads. [default: processors]"
)


def _options(command: Callable[..., int]) -> Callable[..., int]:
    """What both verbs take: which commit, who may have signed it, and how to go about it."""
    for option in (_revision_argument, output.json_option, _jobs_option, key_options, repo_option):
        command = option(command)
    return command


@click.group()
def objects() -> None:
    """fs-verity on the objects of a signed commit."""


@objects.command(
    epilog="Example: verity objects enable --repo repo --key vendor.pem.pub debian/trixie"
)
@_options
def enable(
    repo: Path,
    keys: tuple[Path, ...],
    threshold: int,
    jobs: int | None,
    as_json: bool,
    revision: str,
) -> int:
    """Turn on fs-verity on every object; one that isn't as signed is left as it was."""
    trusted = trusted_set(keys, threshold)
    with Repository(repo) as repository:
        commit = signed.load(repository, revision, trusted)
        with output.Progress("objects") as progress:
            result = verb.enable(
                repository,
                commit,
                now=int(time.time()),
                jobs=jobs or batch.default_jobs(),
                progress=progress.update,
            )
    return output.report(
        result, as_json=as_json, good=lambda: "good: fs-verity is on for every object"
    )


@objects.command(
    epilog="Example: verity objects check --repo repo --key vendor.pem.pub debian/trixie"
)
@_options
def check(
    repo: Path,
    keys: tuple[Path, ...],
    threshold: int,
    jobs: int | None,
    as_json: bool,
    revision: str,
) -> int:
    """Compare the kernel's digest of every object with the signed one."""
    trusted = trusted_set(keys, threshold)
    with Repository(repo) as repository:
        commit = signed.load(repository, revision, trusted)
        result = verb.check(
            repository, commit, now=int(time.time()), jobs=jobs or batch.default_jobs()
        )
    return output.report(
        result, as_json=as_json, good=lambda: "good: the kernel's digest of every object is signed"
    )
