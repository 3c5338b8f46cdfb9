# SPDX-License-Identifier: Apache-2.0
"""verity digest, measure: one line a file, errors at the end of their line on stderr."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import click

from verity.cli import output
from verity.values.digest import Digest, HashAlgorithm, VerityParams
from verity.values.errors import CallerError, VerityError
from verity.verbs import batch, files

files_argument = click.argument("paths", metavar="FILE...", nargs=-1, required=True)
_jobs_option = click.option(
    "--jobs", type=click.IntRange(1, 256), default=None, help="Threads. [default: processors]"
)


def params_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--salt", default="", metavar="HEX", help="Salt, up to 32 bytes in hex."),
        click.option(
            "--block-size",
            type=int,
            default=4096,
            show_default=True,
            help="Merkle tree block size.",
        ),
        click.option(
            "--hash-alg",
            type=click.Choice([algorithm.value for algorithm in HashAlgorithm]),
            default="sha256",
            show_default=True,
            help="Hash algorithm.",
        ),
    ):
        command = option(command)
    return command


def params_of(hash_alg: str, block_size: int, salt: str) -> VerityParams:
    try:
        value = bytes.fromhex(salt)
    except ValueError as error:
        raise CallerError("bad-salt", f"--salt: {salt[:80]!r} is not hexadecimal") from error
    return VerityParams(algorithm=HashAlgorithm(hash_alg), block_size=block_size, salt=value)


@click.command(epilog="Example: verity digest --block-size 4096 /usr/bin/sudo")
@files_argument
@params_options
@_jobs_option
@output.json_option
def digest(
    paths: tuple[str, ...],
    hash_alg: str,
    block_size: int,
    salt: str,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Compute the fs-verity digest of files by reading them."""
    params = params_of(hash_alg, block_size, salt)
    return _print(files.digest(paths, params, jobs=jobs or batch.default_jobs()), as_json=as_json)


@click.command(epilog="Example: verity measure /usr/bin/sudo")
@files_argument
@_jobs_option
@output.json_option
def measure(paths: tuple[str, ...], jobs: int | None, as_json: bool) -> int:
    """Ask the kernel for the fs-verity digest of files."""
    return _print(files.measure(paths, jobs=jobs or batch.default_jobs()), as_json=as_json)


def worse(one: int, other: int) -> int:
    """The exit status of two: a finding (1) wins over what could not be checked (3)."""
    return min((status for status in (one, other) if status), default=0)


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


def failed(path: str, problem: VerityError, *, as_json: bool) -> int:
    if as_json:
        output.error_record(problem, **output.path_fields(os.fsencode(path)))
    output.error(problem)
    # In a batch a wrong argument is one file among others that could not be checked.
    return 3 if problem.exit_status == 2 else problem.exit_status
