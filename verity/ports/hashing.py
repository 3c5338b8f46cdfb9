# SPDX-License-Identifier: Apache-2.0
"""fs-verity digests by several threads in C: of one large file, or of many files in one call.

It hashes and says whether that went well; what is wrong with a file is for ``verity.ports.content``
to find out and name. It asks the kernel for no digest.

1. The work is done in threads of its own and the caller waits for it, so that Ctrl-C is heard at
   once; what runs in C then stops at the next piece of a MiB.
2. A *hash path* is one way of hashing many blocks (cffi-build/hash_path.h): by libcrypto one after
   another, by libipsec-mb several at a time. All give the same; the best that this processor has is
   taken, and only tests and benchmarks ask for another.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verity.ports import _conditions
from verity.ports.kernel import ffi, in_c, lib
from verity.values.digest import CANONICAL, Digest, HashAlgorithm, VerityParams

if TYPE_CHECKING:
    from verity.ports.kernel import CData, Int


def paths() -> list[str]:
    """The hash paths of this host, the widest first."""
    found: list[str] = []
    while (name := lib.verity_hash_path(len(found))) != ffi.NULL:
        found.append(ffi.string(name).decode("ascii"))
    return found


def chosen(algorithm: HashAlgorithm = HashAlgorithm.SHA256) -> str | None:
    """The hash path that is taken for this algorithm; None: only Python's hashlib."""
    name = lib.verity_hash_chosen(algorithm.number)
    return None if name == ffi.NULL else ffi.string(name).decode("ascii")


@contextmanager
def using(path: str) -> Iterator[None]:
    """Take this hash path for everything in this process, for tests and benchmarks."""
    if lib.verity_hash_use(path.encode("ascii")) < 0:
        raise ValueError(f"this host has no hash path {path}, but {', '.join(paths())}")
    try:
        yield
    finally:
        lib.verity_hash_use(ffi.NULL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """What a file gave: how many bytes there were, and their digest."""

    size: int
    digest: Digest


def digest_fd(
    fd: int, params: VerityParams = CANONICAL, *, size: int, jobs: int, label: str
) -> Read | None:
    """The digest of a regular file of ``size`` bytes by up to ``jobs`` threads; holes aren't read.

    With another size in the answer the file ended before, and the digest is the digest of nothing.
    None: this can't be done in C, but by ``fsverity.Hasher``.
    """
    if not in_c(params):
        return None
    read = ffi.new("uint64_t *")
    digest = bytearray(params.algorithm.size)

    def call(stop: "Int") -> int:
        return lib.verity_digest_fd(
            fd,
            *_parameters(params),
            size,
            jobs,
            stop,
            read,
            ffi.from_buffer("uint8_t[]", digest, True),
        )

    Running(call).wait(label)
    return Read(size=read[0], digest=Digest(params.algorithm, bytes(digest)))


class Running:
    """A call that hashes, in a thread of its own."""

    def __init__(self, call: "Callable[[Int], int]") -> None:
        self._stop = ffi.new("int *")
        self._results: list[int] = []
        self._thread = threading.Thread(
            target=lambda: self._results.append(call(self._stop)), daemon=True
        )
        self._thread.start()

    def wait(self, label: str) -> None:
        """Come back when it has ended; raise what went wrong with the call itself."""
        try:
            self._thread.join()
        except BaseException:
            self.stop()
            raise
        if self._results[0] < 0:
            raise _conditions.READ.error(-self._results[0], label)

    def stop(self) -> None:
        """End it before it is done."""
        self._stop[0] = 1
        self._thread.join()


class Files:
    """Many files that are being hashed.

    ``names`` are their names, ``count`` of them, each with a NUL behind it. After ``wait``,
    ``digests`` has their digests end to end, and ``done`` a byte for each: 0 says that the file
    wants a closer look, because it couldn't be read or didn't stay as it was.
    """

    def __init__(self, names: bytes, count: int, params: VerityParams, *, jobs: int) -> None:
        if names.count(b"\0") != count or names[-1:] not in (b"", b"\0"):
            raise ValueError(f"not {count} names with a NUL behind each")
        self.names = names
        self.digests, self.done = bytearray(count * params.algorithm.size), bytearray(count)
        self._running: Running | None = None
        if not in_c(params):
            return

        def call(stop: "Int") -> int:
            return lib.verity_digest_files(
                count,
                ffi.from_buffer("char[]", names),
                *_parameters(params),
                jobs,
                stop,
                ffi.from_buffer("uint8_t[]", self.digests, True),
                ffi.from_buffer("uint8_t[]", self.done, True),
            )

        self._running = Running(call)

    def wait(self) -> None:
        """Come back when all were hashed."""
        if self._running is not None:
            self._running.wait("files")

    def stop(self) -> None:
        """Go on with no more of them."""
        if self._running is not None:
            self._running.stop()


def _parameters(params: VerityParams) -> "tuple[int, CData, int, int]":
    """Algorithm, salt and block size, as C takes them."""
    salt = ffi.from_buffer("uint8_t[]", params.salt) if params.salt else ffi.NULL
    return params.algorithm.number, salt, len(params.salt), params.block_size
