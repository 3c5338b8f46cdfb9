# SPDX-License-Identifier: Apache-2.0
"""verity enable: a line for each file once that is durable, what went wrong on stderr."""

import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import click

from verity.cli import output
from verity.cli.params import PATH, failed, params_options, parse_params, worse
from verity.cli.working import Work, enable_jobs, enable_jobs_option, stopping
from verity.formats.der import check_signed_data
from verity.ports.osfile import read_file
from verity.values.digest import CANONICAL, Digest, VerityParams
from verity.values.errors import CallerError, VerityError
from verity.verbs.enable import Enabled, How, Target
from verity.verbs.enable import enable as enable_many
from verity.verbs.enable_targets import Listed, expected_by, listed

_LEAST_BLOCK, _MOST_BLOCK = 1024, 65536  # bytes; the largest page size that Linux has
_MAX_SIGNATURE = 16128  # FS_VERITY_MAX_SIGNATURE_SIZE


@click.command(epilog="Example: verity enable -r /opt/tool")
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "-r", "--recursive", is_flag=True, help="Take all regular files below a directory, too."
)
@click.option(
    "--manifest",
    type=PATH,
    metavar="FILE",
    help="Enable only what has the digest that this manifest of the one directory gives it, and"
    " leave every other file as it is. FILE itself is not verified.",
)
@params_options
@click.option(
    "--signature",
    type=PATH,
    metavar="FILE",
    help="A PKCS#7 in DER for the kernel's built-in check, of the one file that is named.",
)
@enable_jobs_option
@output.json_option
def enable(
    paths: tuple[str, ...],
    recursive: bool,
    manifest: Path | None,
    hash_alg: str,
    block_size: int,
    salt: str,
    signature: Path | None,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Turn on fs-verity for files, durably: they can't be changed afterwards, only replaced.

    A file that has fs-verity already is measured and reported as such, if it is with the same
    parameters. With -r symlinks, devices and further names of a file are skipped and counted, and
    file systems mounted below are left out. Ctrl-C finishes what was begun.
    """
    params = parse_params(hash_alg, block_size, salt)
    if not _LEAST_BLOCK <= params.block_size <= _MOST_BLOCK:
        raise CallerError(
            "bad-block-size",
            f"block size {block_size}: no kernel takes it, only powers of two from {_LEAST_BLOCK}"
            " to its page size",
            hint="`verity digest` computes with other sizes",
        )
    expected = _expected(manifest, paths, params, recursive=recursive)
    with (
        stopping() as stop,
        Work("files", time.monotonic) as work,
        listed(paths, recursive=recursive, expected=expected) as found,
    ):
        how = How(
            jobs=enable_jobs(jobs),
            pause=time.sleep,
            stop=stop,
            params=params,
            signature=_signature(signature, paths, recursive),
        )
        run = Run(found, work, as_json=as_json)
        run.go(how)
    if recursive:
        run.summarise()
    return run.interrupted() if stop else run.status


class Run:
    """One run over what was listed: prints each result and keeps the counts; with ``only_wrong``
    the text says only what is open."""

    def __init__(
        self, found: Listed, work: Work, *, as_json: bool, only_wrong: bool = False
    ) -> None:
        self._found = found
        self._work = work
        self._as_json = as_json
        self._only_wrong = only_wrong
        self._counts: Counter[str] = Counter()
        self._missed: Target | None = None
        self.status = 0

    def go(self, how: How) -> None:
        for label, error in self._found.errors:
            self._fail(label, error)
        targets = self._found.targets
        self._work.hear(targets, None)
        waiting = iter(targets)
        for target, result in enable_many(targets, how):
            for one in waiting:
                if one is target:
                    break
                self._missed = self._missed or one
            if isinstance(result, VerityError):
                self._fail(target.label, result)
            else:
                self._print(target.label, result)
            self._work.hear(targets, target)
        self._missed = self._missed or next(waiting, None)

    def _fail(self, label: str, error: VerityError) -> None:
        self._work.clear()
        self._counts["failed"] += 1
        self.status = worse(self.status, failed(label, error, as_json=self._as_json))

    def _print(self, label: str, result: Enabled) -> None:
        self._work.clear()
        path = os.fsencode(label)
        self._counts[result.state.value] += 1
        if self._as_json:
            output.record(
                "file",
                {
                    **output.path_fields(path),
                    "state": result.state.value,
                    "digest": str(result.digest),
                    "cached_pages": result.cached,
                },
            )
        elif not self._only_wrong:
            output.line(f"{result.digest} {result.state} {output.shown(path)}")
        if result.cached:
            output.message(
                f"note: {output.shown(path)}: {result.cached} pages are in use, perhaps cached"
                " before it had fs-verity; a reboot empties the cache"
            )

    def summarise(self) -> None:
        """What was done, failed and skipped: a record, or a line on stderr."""
        counts = {name: self._counts[name] for name in ("enabled", "already", "failed")}
        skipped = dict(sorted(self._found.skipped.items()))
        if self._as_json:
            output.record(
                "summary",
                {
                    "files": len(self._found.targets),
                    "counts": counts,
                    "skipped": skipped,
                    "exit_status": self.status,
                },
            )
            return
        text = ", ".join(f"{number} {name}" for name, number in (*counts.items(), *skipped.items()))
        output.message(f"{len(self._found.targets)} files: {text}")

    def interrupted(self) -> int:
        """Say where it ended: the exit status."""
        total, done = len(self._found.targets), self._counts.total() - len(self._found.errors)
        where = (
            f"; the next is {output.shown(os.fsencode(self._missed.label))}" if self._missed else ""
        )
        output.message(f"interrupted: {done} of {total} files are done{where}")
        click.echo("  hint: run it again: what is done is not done twice", err=True)
        return 130


def _expected(
    file: Path | None, paths: tuple[str, ...], params: VerityParams, *, recursive: bool
) -> Mapping[bytes, Digest] | None:
    """What --manifest gives, refused unless it is about exactly one directory."""
    if file is None:
        return None
    if not recursive or len(paths) != 1 or params != CANONICAL:
        raise CallerError(
            "manifest-of-one-directory",
            "--manifest is the manifest of one directory, expected -r, one DIR, and none of"
            " --hash-alg, --block-size and --salt",
            hint="manifests hold SHA-256 over blocks of 4096 bytes without a salt",
        )
    from verity.verbs.manifest import load  # takes long to import, and is seldom needed

    return expected_by(load(file))


def _signature(file: Path | None, paths: tuple[str, ...], recursive: bool) -> bytes:
    """The bytes of --signature, refused unless they are a PKCS#7 for exactly one file."""
    if file is None:
        return b""
    if recursive or len(paths) != 1:
        raise CallerError(
            "signature-of-one-file",
            "--signature is the signature of one file, expected one FILE and no -r",
            hint="run it once for each file, with its own signature",
        )
    return check_signed_data(read_file(file, max_size=_MAX_SIGNATURE), label=str(file))
