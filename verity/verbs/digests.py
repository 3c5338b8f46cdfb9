# SPDX-License-Identifier: Apache-2.0
"""digest: the fs-verity digests of files, by reading them.

Files come and go in parts of some thousand: a hundred thousand names need no more memory than one
part. While the caller prints a part the next one is hashed. A file that can't be hashed is a
problem of its own, and the others go on.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from verity.ports import content, hashing, namelist
from verity.values.digest import Digest, VerityParams
from verity.values.errors import CallerError, VerityError
from verity.verbs import batch

STDIN = b"-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Some files in a row: their names, their digests end to end.

    What is in ``problems``, by its place in the row, has no digest.
    """

    params: VerityParams
    names: Sequence[bytes]
    digests: bytes
    problems: Mapping[int, VerityError] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[bytes, Digest | VerityError]]:
        size = self.params.algorithm.size
        for at, name in enumerate(self.names):
            value = self.digests[at * size : (at + 1) * size]
            yield name, self.problems.get(at) or Digest(self.params.algorithm, value)


def of_arguments(
    names: Sequence[bytes], params: VerityParams, *, jobs: int, stdin: int
) -> Iterator[Part]:
    """The files of a command line, where ``-`` is what comes out of ``stdin``."""
    start = 0
    for at, name in enumerate([*names, STDIN]):
        if name != STDIN:
            continue
        yield from of_blocks(namelist.blocks_of(names[start:at]), params, jobs=jobs)
        if at < len(names):
            yield _stream(stdin, params)
        start = at + 1


def of_blocks(blocks: Iterable[bytes], params: VerityParams, *, jobs: int) -> Iterator[Part]:
    """The files of a list of names, cut into blocks by ``verity.ports.namelist``."""
    running: hashing.Files | None = None
    try:
        for names in blocks:
            if running is not None:
                running.wait()
            ready, running = running, hashing.Files(names, names.count(b"\0"), params, jobs=jobs)
            if ready is not None:
                yield _part(ready, params, jobs)
        if running is not None:
            running.wait()
            ready, running = running, None
            yield _part(ready, params, jobs)
    finally:
        if running is not None:
            running.stop()


def _part(files: hashing.Files, params: VerityParams, jobs: int) -> Part:
    names = files.names[:-1].split(b"\0")
    problems: dict[int, VerityError] = {}
    size = params.algorithm.size
    if not all(files.done):

        def closer_look(at: int) -> Digest:
            if not names[at]:
                raise CallerError("bad-path", "a file name is empty", hint="remove it")
            return content.digest_path(os.fsdecode(names[at]), params, jobs=jobs)

        open_ones = [at for at, done in enumerate(files.done) if not done]
        for at, result in batch.each(open_ones, closer_look, jobs=jobs):
            if isinstance(result, VerityError):
                problems[at] = result
            else:
                files.digests[at * size : (at + 1) * size] = result.value
    return Part(params=params, names=names, digests=bytes(files.digests), problems=problems)


def _stream(fd: int, params: VerityParams) -> Part:
    try:
        digest = content.digest_stream(fd, params, label="standard input")
    except VerityError as error:
        return Part(params=params, names=[STDIN], digests=b"", problems={0: error})
    return Part(params=params, names=[STDIN], digests=digest.value)
