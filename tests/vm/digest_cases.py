# SPDX-License-Identifier: Apache-2.0
"""Run in the guest: generated files, our digests of them, and the kernel's own answers.

Arguments: a directory on a file system with fs-verity, how many cases, the seed, and the Merkle
block sizes that it takes. One JSON object a line.
"""

import json
import os
import random
import sys
import tempfile
from pathlib import Path

from verity.ports import content, hashing, kernel
from verity.ports.kernel import Metadata
from verity.ports.osfile import closing
from verity.values.digest import HashAlgorithm, VerityParams
from verity.verbs import digest_files


def case(folder: Path, source: random.Random, block_sizes: list[int]) -> dict[str, object]:
    """One file, hashed, enabled and measured."""
    params = VerityParams(
        algorithm=source.choice(list(HashAlgorithm)),
        block_size=source.choice(block_sizes),
        salt=source.randbytes(source.choice([0, 1, 31, 32, source.randrange(33)])),
    )
    arity = params.block_size // params.algorithm.size
    boundary = params.block_size * source.choice([1, 2, arity, arity + 1])
    size = max(0, source.choice([boundary + source.randrange(-1, 2), source.randrange(300_000), 0]))
    path = folder / f"{source.getrandbits(64):x}"
    with path.open("wb") as out:
        if source.random() < 0.3:
            out.truncate(size)  # a hole
        else:
            out.write(source.randbytes(size))
    with tempfile.TemporaryDirectory() as name:
        outputs = digest_files.Outputs(tree=Path(name) / "tree", descriptor=Path(name) / "d")
        written = digest_files.write(str(path), params, outputs)
        stored = [(Path(name) / kind).read_bytes() for kind in ("tree", "d")]
    names = os.fsencode(path) + b"\0"
    files = hashing.Files(names, 1, params, jobs=2)
    files.wait()
    ours = [str(written), str(content.digest_path(path, params)), bytes(files.digests).hex()]
    with closing(content.open_regular(path)) as fd:
        kernel.enable(fd, params, label=str(path))
        theirs = kernel.measure(fd, label=str(path))
        metadata = [
            kernel.read_metadata(fd, kind, label=str(path))
            for kind in (Metadata.MERKLE_TREE, Metadata.DESCRIPTOR)
        ]
    assert theirs is not None
    return {
        "params": str(params),
        "size": size,
        "path": hashing.chosen(params.algorithm),
        "ours": ours,
        "kernel": [str(theirs), str(theirs), theirs.value.hex()],
        "metadata": [ours == theirs for ours, theirs in zip(stored, metadata, strict=True)],
    }


def main() -> None:
    """Print the cases."""
    folder, count, seed, *block_sizes = sys.argv[1:]
    source = random.Random(int(seed))
    for _ in range(int(count)):
        found = case(Path(folder), source, [int(size) for size in block_sizes])
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
