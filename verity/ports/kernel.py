# SPDX-License-Identifier: Apache-2.0
"""The kernel's fs-verity calls, by file descriptor, and those into the gate.

The only module that imports the extension; ``verity.ports.many`` and ``hashing`` get it here.

It says what the kernel said, as a value or as a named error (``verity.ports._conditions``). It
does not open, close, retry, sync by itself or compute a digest, and it takes no paths: ``label``
is the path as messages should show it.

1. Descriptors for ``enable`` are O_RDONLY; the permission that counts is on the file.
2. A file without fs-verity is an answer (``measure`` gives None), a file system without it is
   an error: from there the kernel has not said that the file is unprotected by choice.
3. Enabling is atomic but not durable: report nothing as done before ``syncfs``. Nor does a
   digest prove what was cached before: evict the pages and open the file again.
4. Whether a file has fs-verity is read from statx attributes alone: btrfs leaves the bit out
   of the attributes mask.
"""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from verity import __version__
from verity.formats import fsverity
from verity.ports import _conditions
from verity.values.digest import CANONICAL, Digest, HashAlgorithm, VerityParams
from verity.values.errors import CallerError, HostError

if TYPE_CHECKING:
    from verity._kernel import CData as CData
    from verity._kernel import Int as Int

INTERFACE = 10
"""VERITY_INTERFACE of cffi-build/stamp.h that this module was written for."""


class ExtensionError(HostError, ImportError):
    """``verity._kernel`` is missing, does not load, or was built from other sources."""

    def __init__(self, code: str, message: str, *, hint: str) -> None:
        super().__init__(code, message, hint=hint)
        self.add_note(f"hint: {hint}")  # an import error is read in a traceback


def _missing(cause: ImportError, package: Path) -> ExtensionError:
    """The error for an extension that cannot be imported from ``package``."""
    if not (isinstance(cause, ModuleNotFoundError) and cause.name == "verity._kernel"):
        return ExtensionError(
            "extension-unusable",
            f"the C extension verity._kernel does not load: {cause}",
            hint="install again for this Python: pip install --force-reinstall fsverity-chain",
        )
    if (package.parent / "pyproject.toml").exists():
        return ExtensionError(
            "extension-missing",
            f"the C extension verity._kernel is missing: the source folder {package}"
            " shadows the installed package",
            hint="start Python in another directory, or develop with an editable install:"
            " pip install --no-build-isolation -e .",
        )
    return ExtensionError(
        "extension-missing",
        f"the C extension verity._kernel is missing from {package}",
        hint="install again, which needs a C compiler: pip install --force-reinstall"
        " fsverity-chain",
    )


def check_stamp(version: str, interface: int) -> None:
    """Refuse an extension that was built from other sources than this Python code."""
    if (version, interface) != (__version__, INTERFACE):
        raise ExtensionError(
            "extension-mismatch",
            f"the C extension verity._kernel is of version {version}, interface {interface};"
            f" expected {__version__}, interface {INTERFACE}",
            hint="install again; in a source checkout: pip install --no-build-isolation -e .",
        )


try:
    from verity._kernel import ffi as ffi  # for the two, too
    from verity._kernel import lib as lib
except ImportError as error:
    raise _missing(error, Path(__file__).parent.parent) from error
check_stamp(ffi.string(lib.verity_version).decode("ascii"), lib.VERITY_INTERFACE)

_PIECE = 1 << 16
MAX_METADATA = 64 << 20
"""The most that ``read_metadata`` returns; a larger tree is read with ``iter_metadata``."""

VERITY_FL = lib.FS_VERITY_FL
APPEND_FL = lib.FS_APPEND_FL
IMMUTABLE_FL = lib.FS_IMMUTABLE_FL


class Metadata(Enum):
    """What ``read_metadata`` can ask for."""

    MERKLE_TREE = lib.FS_VERITY_METADATA_TYPE_MERKLE_TREE
    DESCRIPTOR = lib.FS_VERITY_METADATA_TYPE_DESCRIPTOR
    SIGNATURE = lib.FS_VERITY_METADATA_TYPE_SIGNATURE


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """stx_attributes, and the mask of those that the file system speaks about."""

    attributes: int
    mask: int

    @property
    def verity(self) -> bool:
        """The file has fs-verity, whatever the mask says."""
        return bool(self.attributes & lib.STATX_ATTR_VERITY)


def enable(
    fd: int, params: VerityParams = CANONICAL, signature: bytes = b"", *, label: str
) -> None:
    """Turn fs-verity on; ``signature`` is a detached PKCS#7 for the built-in check."""
    salt = params.salt
    result = lib.verity_enable(
        fd,
        params.algorithm.number,
        params.block_size,
        ffi.from_buffer("uint8_t[]", salt) if salt else ffi.NULL,
        len(salt),
        ffi.from_buffer("uint8_t[]", signature) if signature else ffi.NULL,
        len(signature),
    )
    if result < 0:
        raise _conditions.ENABLE.error(-result, label)


def measure(fd: int, *, label: str) -> Digest | None:
    """The kernel's digest of the file; None if the file has no fs-verity.

    A file system or kernel without fs-verity is a HostError instead, ``no-verity-filesystem``
    or ``no-verity-feature``.
    """
    number = ffi.new("uint32_t *")
    room = bytearray(lib.VERITY_MAX_DIGEST)
    result = lib.verity_measure(fd, number, ffi.from_buffer("uint8_t[]", room, True), len(room))
    if result == -errno.ENODATA:
        return None
    if result < 0:
        raise _conditions.MEASURE.error(-result, label)
    for algorithm in HashAlgorithm:
        if (algorithm.number, algorithm.size) == (number[0], result):
            return Digest(algorithm, bytes(room[:result]))
    raise HostError(
        "unknown-hash-algorithm",
        f"{_conditions.shown(label)} has a digest of {result} bytes by hash algorithm"
        f" {number[0]}; known are 1 (sha256, 32 bytes) and 2 (sha512, 64 bytes)",
        hint="a newer kernel than this version knows: use a newer version",
    )


def iter_metadata(fd: int, kind: Metadata, *, label: str) -> Iterator[bytes]:
    """Merkle tree, descriptor or built-in signature, in pieces of at most 64 KiB."""
    room = bytearray(_PIECE)
    view = ffi.from_buffer("uint8_t[]", room, True)
    offset = 0
    while True:
        result = lib.verity_read_metadata(fd, kind.value, offset, view, len(room))
        if result < 0:
            raise _conditions.READ_METADATA.error(-result, label)
        if result == 0:
            return
        yield bytes(room[:result])
        offset += result


def read_metadata(fd: int, kind: Metadata, *, label: str, limit: int = MAX_METADATA) -> bytes:
    """All of it at once, refused beyond ``limit``. btrfs cannot: HostError."""
    whole = bytearray()
    for piece in iter_metadata(fd, kind, label=label):
        whole += piece
        if len(whole) > limit:
            raise CallerError(
                "metadata-too-large",
                f"the fs-verity metadata of {_conditions.shown(label)} is larger than"
                f" {limit} bytes",
                hint="read it in pieces",
            )
    return bytes(whole)


def attributes(fd: int, *, label: str) -> Attributes:
    """statx attributes of the file itself."""
    values, mask = ffi.new("uint64_t *"), ffi.new("uint64_t *")
    result = lib.verity_statx(fd, values, mask)
    if result < 0:
        raise _conditions.STATX.error(-result, label)
    return Attributes(attributes=values[0], mask=mask[0])


def has_verity(fd: int, *, label: str) -> bool:
    """Whether fs-verity is on; False also where the file system has none."""
    return attributes(fd, label=label).verity


def inode_flags(fd: int, *, label: str) -> int:
    """FS_IOC_GETFLAGS: VERITY_FL, APPEND_FL, IMMUTABLE_FL and others."""
    flags = ffi.new("uint32_t *")
    result = lib.verity_getflags(fd, flags)
    if result < 0:
        raise _conditions.GETFLAGS.error(-result, label)
    return flags[0]


def syncfs(fd: int, *, label: str) -> None:
    """Make everything that was written to the file system of ``fd`` durable."""
    result = lib.verity_syncfs(fd)
    if result < 0:
        raise _conditions.SYNCFS.error(-result, label)


def cached_pages(fd: int, *, label: str) -> int:
    """How many of the file's pages are cached; all of them where the kernel won't tell.

    It does not tell who could not write the file. Linux before 6.5 counts data pages only.
    """
    result = lib.verity_cached(fd)
    if result < 0:
        raise _conditions.CACHED.error(-result, label)
    return result


def in_c(params: VerityParams) -> bool:
    """Whether the extension hashes for these parameters: not without a library, nor huge blocks."""
    return params.block_size <= lib.VERITY_MAX_BLOCK and bool(lib.verity_hash_available())


def block_hashes(params: VerityParams = CANONICAL) -> fsverity.BlockHashes:
    """The inner loop of a digest for ``fsverity.Hasher``: in C, where there is a library to hash.

    Not a call into the kernel, but into the same extension, which only this module may import.
    """
    if not in_c(params):
        return fsverity.block_hashes(params)
    number, size, block_size = params.algorithm.number, params.algorithm.size, params.block_size
    padded = params.salt.ljust(params.algorithm.block_size, b"\0") if params.salt else b""
    salt = ffi.from_buffer("uint8_t[]", padded) if padded else ffi.NULL

    def hashes(blocks: memoryview) -> bytes:
        out = bytearray(len(blocks) // block_size * size)
        result = lib.verity_hash_blocks(
            number,
            salt,
            len(padded),
            ffi.from_buffer("uint8_t[]", blocks),
            len(blocks),
            block_size,
            ffi.from_buffer("uint8_t[]", out, True),
            len(out),
        )
        if result == -errno.EINVAL:
            raise ValueError(f"{len(blocks)} bytes are no whole blocks of {block_size}")
        if result < 0:
            raise _conditions.READ.error(-result, "the contents")
        return bytes(out)

    return hashes


MAX_IN_ONE_CALL = 64 << 20
"""The largest file, in bytes, that ``hash_file`` takes: well under a second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hashed:
    """A file that was read: its size in bytes, its fs-verity digest, and the other hash.

    ``plain`` is the SHA-256 of the prefix and the contents, empty if no prefix was given.
    """

    size: int
    digest: Digest
    plain: bytes


def hash_file(
    fd: int, params: VerityParams = CANONICAL, *, limit: int, prefix: bytes = b"", label: str
) -> Hashed | None:
    """Read a file to its end, at most one piece beyond ``limit`` bytes, and hash it in C.

    None without libcrypto, and beyond ``MAX_IN_ONE_CALL``, because a call can't be interrupted:
    then ``hashing.digest_fd`` or ``fsverity.Hasher`` does it, piece by piece.
    """
    if limit > MAX_IN_ONE_CALL or not in_c(params):
        return None
    padded = params.salt.ljust(params.algorithm.block_size, b"\0") if params.salt else b""
    size = ffi.new("uint64_t *")
    root, plain = bytearray(params.algorithm.size), bytearray(32 if prefix else 0)
    result = lib.verity_hash_file(
        fd,
        params.algorithm.number,
        ffi.from_buffer("uint8_t[]", padded) if padded else ffi.NULL,
        len(padded),
        params.block_size,
        limit,
        ffi.from_buffer("uint8_t[]", prefix) if prefix else ffi.NULL,
        len(prefix),
        size,
        ffi.from_buffer("uint8_t[]", root, True),
        ffi.from_buffer("uint8_t[]", plain, True) if prefix else ffi.NULL,
    )
    if result == -errno.ENOSYS:
        return None
    if result < 0:
        raise _conditions.READ.error(-result, label)
    digest = fsverity.digest_of_root(params, data_size=size[0], root_hash=bytes(root))
    return Hashed(size=size[0], digest=digest, plain=bytes(plain))


GATE_PART = lib.VERITY_PART_SIZE


def gate_begin(size: int) -> int:
    """Announce a blob of ``size`` bytes. Like all of these: the gate's answer as a number.

    What the kernel says in the gate's place is an error, ``no-gate`` if there is none.
    """
    return _answer(lib.verity_gate_begin(size))


def gate_put(part: bytes) -> int:
    """The next bytes of the blob, at most ``GATE_PART``."""
    return _answer(lib.verity_gate_put(ffi.from_buffer("uint8_t[]", part), len(part)))


def gate_commit(signatures: Sequence[bytes]) -> int:
    """The end of the blob, with the PKCS#7 over it."""
    lengths = ffi.new("uint32_t[]", [len(one) for one in signatures])
    whole = ffi.from_buffer("uint8_t[]", b"".join(signatures))
    return _answer(lib.verity_gate_commit(whole, lengths, len(signatures)))


def gate_unlock(token: bytes, signatures: Sequence[bytes]) -> int:
    """A token and the PKCS#7 over it; who calls becomes the session, if it is for one."""
    _of_size(token, lib.VERITY_TOKEN_SIZE)
    lengths = ffi.new("uint32_t[]", [len(one) for one in signatures])
    whole = ffi.from_buffer("uint8_t[]", b"".join(signatures))
    data = ffi.from_buffer("uint8_t[]", token)
    return _answer(lib.verity_gate_unlock(data, whole, lengths, len(signatures)))


def gate_relock(token_id: bytes | None) -> int:
    """Take all tokens back, or the live one with this id."""
    if token_id is None:
        return _answer(lib.verity_gate_relock(ffi.NULL))
    _of_size(token_id, lib.VERITY_TOKEN_ID_SIZE)
    return _answer(lib.verity_gate_relock(ffi.from_buffer("uint8_t[]", token_id)))


def gate_seal() -> int:
    """Seal until reboot."""
    return _answer(lib.verity_gate_seal())


def gate_probe() -> int:
    """Something that any gate refuses and that changes nothing."""
    return _answer(lib.verity_gate_probe())


def _of_size(data: bytes, size: int) -> None:
    """C reads so many bytes."""
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes, expected {size}")


def _answer(result: int) -> int:
    if result < 0:
        raise _conditions.GATE.error(-result, "the gate")
    return result
