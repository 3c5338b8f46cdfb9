# SPDX-License-Identifier: Apache-2.0
"""measure: the kernel's fs-verity digest of files that the caller names. Changes nothing."""

from collections.abc import Iterator, Sequence

from verity.ports import content, kernel
from verity.ports.osfile import closing
from verity.values.digest import Digest
from verity.values.errors import ContentError, VerityError
from verity.verbs import batch


def measure(paths: Sequence[str], *, jobs: int) -> Iterator[tuple[str, Digest | VerityError]]:
    """Ask the kernel for the digest of each file; one without fs-verity is an error."""

    def one(path: str) -> Digest:
        with closing(content.open_regular(path)) as fd:
            found = kernel.measure(fd, label=path)
        if found is None:
            raise ContentError(
                "no-verity",
                f"{path}: fs-verity is not enabled on this file",
                hint=f"`verity enable {path}` turns it on, `verity digest` computes the digest",
            )
        return found

    return batch.each(paths, one, jobs=jobs)
