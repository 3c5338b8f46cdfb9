# SPDX-License-Identifier: Apache-2.0
"""verity measure: one line a file, errors at the end of their line on stderr."""

import os
from collections.abc import Iterable

import click

from verity.cli import output
from verity.cli.params import failed, worse
from verity.values.digest import Digest
from verity.values.errors import VerityError
from verity.verbs import batch, files

_files_argument = click.argument("paths", metavar="FILE...", nargs=-1, required=True)
_jobs_option = click.option(
    "--jobs", type=click.IntRange(1, 256), default=None, help="Threads. [default: processors]"
)


@click.command(epilog="Example: verity measure /usr/bin/sudo")
@_files_argument
@_jobs_option
@output.json_option
def measure(paths: tuple[str, ...], jobs: int | None, as_json: bool) -> int:
    """Ask the kernel for the fs-verity digest of files."""
    return _print(files.measure(paths, jobs=jobs or batch.default_jobs()), as_json=as_json)


def _print(results: Iterable[tuple[str, Digest | VerityError]], *, as_json: bool) -> int:
    status = 0
    for path, result in results:
        if isinstance(result, VerityError):
            status = worse(status, failed(path, result, as_json=as_json))
        elif as_json:
            output.record("file", {**output.path_fields(os.fsencode(path)), "digest": str(result)})
        else:
            output.line(f"{result} {output.shown(os.fsencode(path))}")
    return status
