# SPDX-License-Identifier: Apache-2.0
"""Types of the C extension, by hand from cffi-build/*.cdef.h, so that ``Any`` stops here.

Only verity/ports/kernel.py imports it. Functions return a value >= 0 or -errno.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NewType, overload

from typing_extensions import Buffer

class CData:
    """A C value that cffi owns, of a type without a class of its own here."""

class U32(CData):
    """``uint32_t *`` to one number."""

    def __getitem__(self, index: int, /) -> int: ...

class U64(CData):
    """``uint64_t *`` to one number."""

    def __getitem__(self, index: int, /) -> int: ...

class Int(CData):
    """``int *`` to one number."""

    def __setitem__(self, index: int, value: int, /) -> None: ...

class SizeT(CData):
    """``size_t *`` to one number."""

    def __getitem__(self, index: int, /) -> int: ...

class Handle(CData):
    """A pointer to a pointer that a call fills in."""

    def __getitem__(self, index: int, /) -> CData: ...

class U32Array(CData):
    """``uint32_t[]``."""

class FileContentsArray(CData):
    """``struct verity_contents[]``."""

class ProgramInfo(CData):
    """``struct verity_program *`` to one."""

    type: int
    creator: int
    name: Text

class LinkInfo(CData):
    """``struct verity_link *`` to one."""

    type: int
    program: int
    attach: int

class Memory:
    """What a ``CData`` holds, as bytes in place."""

    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __setitem__(self, at: slice, value: bytes, /) -> None: ...

Text = NewType("Text", CData)

class _FFI:
    NULL: CData

    @overload
    def new(self, cdecl: Literal["uint32_t *"], /) -> U32: ...
    @overload
    def new(self, cdecl: Literal["uint64_t *"], /) -> U64: ...
    @overload
    def new(self, cdecl: Literal["int *"], /) -> Int: ...
    @overload
    def new(self, cdecl: Literal["size_t *"], /) -> SizeT: ...
    @overload
    def new(
        self, cdecl: Literal["struct verity_manifest **", "struct verity_walk **"], /
    ) -> Handle: ...
    @overload
    def new(self, cdecl: Literal["uint32_t[]"], values: Sequence[int], /) -> U32Array: ...
    @overload
    def new(
        self, cdecl: Literal["struct verity_contents[]"], count: int, /
    ) -> FileContentsArray: ...
    @overload
    def new(self, cdecl: Literal["struct verity_program *"], /) -> ProgramInfo: ...
    @overload
    def new(self, cdecl: Literal["struct verity_link *"], /) -> LinkInfo: ...
    def buffer(self, value: object, /) -> Memory: ...
    def sizeof(self, cdecl: str, /) -> int: ...
    def from_buffer(self, cdecl: str, buffer: Buffer, require_writable: bool = ..., /) -> CData: ...
    def string(self, value: Text, /) -> bytes: ...
    def gc(self, value: CData, destructor: Callable[[CData], None], /) -> CData: ...

class _Lib:
    VERITY_INTERFACE: int
    verity_version: Text

    FS_VERITY_HASH_ALG_SHA256: int
    FS_VERITY_HASH_ALG_SHA512: int
    FS_VERITY_METADATA_TYPE_MERKLE_TREE: int
    FS_VERITY_METADATA_TYPE_DESCRIPTOR: int
    FS_VERITY_METADATA_TYPE_SIGNATURE: int
    VERITY_MAX_SIGNATURE: int
    VERITY_MAX_SALT: int
    VERITY_MAX_DIGEST: int

    STATX_ATTR_VERITY: int
    FS_VERITY_FL: int
    FS_APPEND_FL: int
    FS_IMMUTABLE_FL: int

    VERITY_MAX_BLOCK: int

    VERITY_PART_SIZE: int
    VERITY_TOKEN_ID_SIZE: int
    VERITY_TOKEN_SIZE: int

    FANOTIFY_METADATA_VERSION: int
    FAN_Q_OVERFLOW: int
    VERITY_EVENT_SIZE: int

    def verity_fanotify_open(self) -> int: ...
    def verity_fanotify_watch(self, fd: int, directory: int, /) -> int: ...
    def verity_fanotify_ignore(self, fd: int, file: int, /) -> int: ...
    def verity_keyring_new(self, name: CData | bytes, /) -> int: ...
    def verity_keyring_add(self, keyring: int, certificate: CData, len: int, /) -> int: ...
    def verity_keyring_restrict(self, keyring: int, /) -> int: ...
    def verity_gate_begin(self, len: int, /) -> int: ...
    def verity_gate_put(self, data: CData, len: int, /) -> int: ...
    def verity_gate_commit(self, sigs: CData, lens: U32Array, nsig: int, /) -> int: ...
    def verity_gate_seal(self) -> int: ...
    def verity_gate_unlock(
        self, token: CData, sigs: CData, lens: U32Array, nsig: int, /
    ) -> int: ...
    def verity_gate_relock(self, token_id: CData, /) -> int: ...
    def verity_gate_probe(self) -> int: ...
    def verity_program_next(self, id: int, /) -> int: ...
    def verity_link_next(self, id: int, /) -> int: ...
    def verity_program_read(self, id: int, program: ProgramInfo, /) -> int: ...
    def verity_link_read(self, id: int, link: LinkInfo, /) -> int: ...
    def verity_hash_available(self) -> int: ...
    def verity_hash_path(self, number: int, /) -> Text: ...
    def verity_hash_chosen(self, hash_alg: int, /) -> Text: ...
    def verity_hash_use(self, name: CData | bytes, /) -> int: ...
    def verity_digest_fd(
        self,
        fd: int,
        hash_alg: int,
        salt: CData,
        salt_len: int,
        block_size: int,
        size: int,
        threads: int,
        stop: Int,
        read: U64,
        digest: CData,
        /,
    ) -> int: ...
    def verity_digest_files(
        self,
        count: int,
        names: CData,
        hash_alg: int,
        salt: CData,
        salt_len: int,
        block_size: int,
        threads: int,
        stop: Int,
        digests: CData,
        done: CData,
        /,
    ) -> int: ...
    def verity_hash_blocks(
        self,
        hash_alg: int,
        salt: CData,
        salt_len: int,
        data: CData,
        length: int,
        block_size: int,
        out: CData,
        out_len: int,
        /,
    ) -> int: ...
    def verity_hash_file(
        self,
        fd: int,
        hash_alg: int,
        salt: CData,
        salt_len: int,
        block_size: int,
        limit: int,
        prefix: CData,
        prefix_len: int,
        size: U64,
        root: CData,
        plain: CData,
        /,
    ) -> int: ...
    VERITY_TURNED_ON: int
    VERITY_WAS_ON: int

    def verity_cached(self, fd: int, /) -> int: ...
    def verity_open_below(self, dir: int, name: CData, /) -> int: ...
    def verity_enable_files(
        self,
        count: int,
        dirs: CData,
        names: CData,
        checked: CData,
        expected: CData,
        budget: int,
        stop: CData,
        devices: CData,
        inodes: CData,
        done: CData,
        /,
    ) -> int: ...
    def verity_measure_files(
        self,
        count: int,
        dirs: CData,
        names: CData,
        devices: CData,
        inodes: CData,
        digests: CData,
        done: CData,
        /,
    ) -> int: ...
    def verity_read_files(
        self,
        count: int,
        dirs: CData,
        names: CData,
        named: CData,
        prefix: CData,
        prefix_len: int,
        owner_at: int,
        budget: int,
        contents: FileContentsArray,
        done: CData,
        /,
    ) -> int: ...
    VERITY_NO_LINE: int

    def verity_manifest_open(self, data: CData, len: int, out: Handle, /) -> int: ...
    def verity_manifest_close(self, manifest: CData, /) -> None: ...
    def verity_manifest_lines(self, manifest: CData, /) -> int: ...
    def verity_manifest_start(self, manifest: CData, line: int, /) -> int: ...
    def verity_manifest_find(self, manifest: CData, path: CData, len: int, /) -> int: ...

    VERITY_SEEN: int
    VERITY_AS_SIGNED: int
    VERITY_BY_KERNEL: int
    VERITY_GRANTED: int
    VERITY_BY_HASH: int
    VERITY_PASSED: int
    VERITY_CLOSER: int
    VERITY_NO_VERITY: int
    VERITY_STAYS: int
    VERITY_MOUNT: int
    VERITY_UNOPENED: int
    VERITY_UNLISTED: int

    def verity_walk_start(
        self,
        manifest: CData,
        root: int,
        state: CData,
        state_count: int,
        granted: CData,
        granted_count: int,
        deep: bool,
        threads: int,
        states: CData,
        out: Handle,
        /,
    ) -> int: ...
    def verity_walk_step(
        self, walk: CData, budget: int, records: CData, room: int, used: SizeT, /
    ) -> int: ...
    def verity_walk_passed(self, walk: CData, /) -> int: ...
    def verity_walk_end(self, walk: CData, /) -> None: ...
    def verity_enable(
        self,
        fd: int,
        hash_alg: int,
        block_size: int,
        salt: CData,
        salt_len: int,
        sig: CData,
        sig_len: int,
        /,
    ) -> int: ...
    def verity_measure(self, fd: int, alg: U32, buf: CData, cap: int, /) -> int: ...
    def verity_read_metadata(
        self, fd: int, type: int, offset: int, buf: CData, len: int, /
    ) -> int: ...
    def verity_statx(self, fd: int, attributes: U64, mask: U64, /) -> int: ...
    def verity_getflags(self, fd: int, flags: U32, /) -> int: ...
    def verity_syncfs(self, fd: int, /) -> int: ...

ffi: _FFI
lib: _Lib
