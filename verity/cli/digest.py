# SPDX-License-Identifier: Apache-2.0
"""verity digest: a line a file, by reading it; errors are lines on stderr, and the rest goes on."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click

from verity.cli import key_opening, output
from verity.cli.params import PATH, failed, params_options, parse_params, worse
from verity.formats.fsverity import formatted_digest
from verity.ports import namelist
from verity.ports.osfile import translate_oserror
from verity.values.digest import Digest, VerityParams
from verity.values.errors import VerityError
from verity.verbs import batch, digests

# Nearly all names: nothing to be escaped in any of them, with NULs between them.
_PLAIN = re.compile(rb"[\x21-\x5b\x5d-\x7e\0]*")


def _one_source(
    context: click.Context, parameter: click.Parameter, paths: tuple[str, ...]
) -> tuple[str, ...]:
    """Files, or a list of them: not none, and not both."""
    if bool(paths) == (context.params["listed"] is not None):
        raise click.UsageError("name files, or a list of them with --files0-from", context)
    return paths


@click.command(epilog="Example: verity digest --out-descriptor sudo.descriptor /usr/bin/sudo")
@click.argument("paths", metavar="[FILE...]", nargs=-1, callback=_one_source)
@params_options
@click.option(
    "--files0-from",
    "listed",
    type=PATH,
    metavar="LIST",
    is_eager=True,  # _one_source looks at it
    help="Read the names of the files from LIST, each with a NUL behind it; - is stdin.",
)
@click.option("--compact", is_flag=True, help="Print the digest alone, in hex.")
@click.option(
    "--for-builtin-sig",
    is_flag=True,
    help="Print, in hex, what a signature for the kernel's built-in check is over.",
)
@click.option(
    "--out-merkle-tree", type=PATH, metavar="OUT", help="Write the Merkle tree of one file."
)
@click.option(
    "--out-descriptor", type=PATH, metavar="OUT", help="Write the descriptor of one file."
)
@click.option(
    "--out-signature",
    type=PATH,
    metavar="OUT",
    help="Write a PKCS#7 over one file's digest, for the kernel's built-in check.",
)
@click.option("--key", metavar="KEY", help="Who makes it: a path, file:PATH, pkcs11:... or a KMS.")
@key_opening.signing_options
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=None, help="Threads. [default: processors]"
)
@output.json_option
def digest(
    paths: tuple[str, ...],
    hash_alg: str,
    block_size: int,
    salt: str,
    listed: Path | None,
    compact: bool,
    for_builtin_sig: bool,
    out_merkle_tree: Path | None,
    out_descriptor: Path | None,
    out_signature: Path | None,
    key: str | None,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Compute the fs-verity digest of files by reading them; - is standard input.

    A file that changes while it is read is an error. For many files make a list of their names:
    `find DIR -type f -print0 | verity digest --files0-from -`.
    """
    params = parse_params(hash_alg, block_size, salt)
    if (key is None) != (out_signature is None):
        raise click.UsageError("--key and --out-signature go together")
    printer = _Printer(compact=compact, for_builtin_sig=for_builtin_sig, as_json=as_json)
    if out_merkle_tree or out_descriptor or out_signature:
        if len(paths) != 1 or paths[0] == "-":
            raise click.UsageError("--out-... is for one file, by its name")
        from verity.verbs import digest_files  # what it needs for keys takes long to import

        outputs = digest_files.Outputs(
            tree=out_merkle_tree,
            descriptor=out_descriptor,
            signature=out_signature,
            key=None if key is None else key_opening.signer(key),
        )
        printer.one(os.fsencode(paths[0]), digest_files.write(paths[0], params, outputs))
        return 0
    threads = jobs or batch.default_jobs()
    status = 0
    with ExitStack() as stack:
        for part in _parts(paths, listed, params, threads, stack):
            status = worse(status, printer.part(part))
    return status


def _parts(
    paths: tuple[str, ...], listed: Path | None, params: VerityParams, jobs: int, stack: ExitStack
) -> Iterator[digests.Part]:
    if listed is None:
        names = [os.fsencode(path) for path in paths]
        return digests.of_arguments(names, params, jobs=jobs, stdin=sys.stdin.fileno())
    if str(listed) == "-":
        return digests.of_blocks(
            namelist.blocks_of_file(sys.stdin.buffer, label="standard input"), params, jobs=jobs
        )
    try:
        file = stack.enter_context(listed.open("rb"))
    except OSError as error:
        raise translate_oserror(error, str(listed)) from error
    blocks = namelist.blocks_of_file(file, label=str(listed))
    return digests.of_blocks(blocks, params, jobs=jobs)


class _Printer:
    """Which form a digest is printed in."""

    def __init__(self, *, compact: bool, for_builtin_sig: bool, as_json: bool) -> None:
        self._compact = compact
        self._for_builtin_sig = for_builtin_sig
        self._as_json = as_json

    def part(self, part: digests.Part) -> int:
        """Print some files and return the exit status for them."""
        text = b"\0".join(part.names)
        plain = not part.problems and b"-" not in part.names and _PLAIN.fullmatch(text)
        if plain and not self._as_json and not self._for_builtin_sig:
            output.line("\n".join(self._lines(part, text.decode("ascii").split("\0"))))
            return 0
        status = 0
        for name, result in part:
            if isinstance(result, VerityError):
                status = worse(status, failed(os.fsdecode(name), result, as_json=self._as_json))
            else:
                self.one(name, result)
        return status

    def _lines(self, part: digests.Part, names: list[str]) -> list[str]:
        """A hundred thousand lines at the price of their characters."""
        width = 2 * part.params.algorithm.size
        text = part.digests.hex()
        values = [text[at : at + width] for at in range(0, len(text), width)]
        if self._compact:
            return values
        start = f"{part.params.algorithm}:"
        return [f"{start}{value} {name}" for value, name in zip(values, names, strict=True)]

    def one(self, name: bytes, found: Digest) -> None:
        """Print the digest of one file."""
        text = formatted_digest(found).hex() if self._for_builtin_sig else str(found)
        if self._compact and not self._for_builtin_sig:
            text = found.value.hex()
        if self._as_json:
            formatted = {"formatted_digest": text} if self._for_builtin_sig else {}
            output.record("file", {**output.path_fields(name), "digest": str(found), **formatted})
        else:
            output.line(text if self._compact else f"{text} {output.shown(name)}")
