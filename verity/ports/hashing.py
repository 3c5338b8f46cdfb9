# SPDX-License-Identifier: Apache-2.0
"""fs-verity digests by several threads in C: of one large file, or of many files in one call.

It hashes and says whether that went well; what is wrong with a file is for ``verity.ports.content``
to find out and name. It asks the kernel for no digest.

1. The work is done in a thread of its own and the caller waits for it, so that Ctrl-C is heard at
   once; the threads in C then stop at the next piece of a MiB.
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
    from verity._kernel import CData, Int


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

    result = _stoppable(call)
    if result < 0:
        raise _conditions.READ.error(-result, label)
    return Read(size=read[0], digest=Digest(params.algorithm, bytes(digest)))


def digest_files(
    names: bytes, count: int, params: VerityParams = CANONICAL, *, jobs: int
) -> tuple[bytes, bytes] | None:
    """The digests of ``count`` files, end to end, and for each a byte: 1, or 0.

    ``names`` are the files' names, each with a NUL behind it. 0 says that the file wants a closer
    look, because it couldn't be read or didn't stay as it was. None as above.
    """
    if names.count(b"\0") != count or names[-1:] not in (b"", b"\0"):
        raise ValueError(f"not {count} names with a NUL behind each")
    if not in_c(params):
        return None
    digests, done = bytearray(count * params.algorithm.size), bytearray(count)

    def call(stop: "Int") -> int:
        return lib.verity_digest_files(
            count,
            ffi.from_buffer("char[]", names),
            *_parameters(params),
            jobs,
            stop,
            ffi.from_buffer("uint8_t[]", digests, True),
            ffi.from_buffer("uint8_t[]", done, True),
        )

    result = _stoppable(call)
    if result < 0:
        raise _conditions.READ.error(-result, "files")
    return bytes(digests), bytes(done)


def _parameters(params: VerityParams) -> "tuple[int, CData, int, int]":
    """Algorithm, salt and block size, as C takes them."""
    salt = ffi.from_buffer("uint8_t[]", params.salt) if params.salt else ffi.NULL
    return params.algorithm.number, salt, len(params.salt), params.block_size


def _stoppable(call: "Callable[[Int], int]") -> int:
    """What the call returns, made where it does not keep a signal from being handled."""
    stop = ffi.new("int *")
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(call(stop)), daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        stop[0] = 1
        thread.join()
        raise
    return results[0]
