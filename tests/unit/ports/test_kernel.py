# SPDX-License-Identifier: Apache-2.0
"""Every errno is a named condition; every call meets the real kernel, which may refuse.

The kernel that runs this may have no fs-verity, so nothing here expects success of ``enable``;
the VM tests do.
"""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import verity
from verity.ports import _conditions, kernel
from verity.ports._conditions import (
    CACHED,
    ENABLE,
    GETFLAGS,
    MEASURE,
    OPEN,
    READ,
    READ_METADATA,
    STATX,
    SYNCFS,
    Call,
    shown,
)
from verity.values.digest import HashAlgorithm, VerityParams
from verity.values.errors import CallerError, ContentError, HostError, VerityError

PACKAGE = Path(verity.__file__).parent

ROWS = [
    (ENABLE, errno.EEXIST, HostError, "already-verity"),
    (ENABLE, errno.EBUSY, HostError, "enable-in-progress"),
    (ENABLE, errno.EACCES, HostError, "no-write-permission"),
    (ENABLE, errno.ENOTTY, HostError, "no-verity-filesystem"),
    (ENABLE, errno.EROFS, HostError, "read-only"),
    (ENABLE, errno.EMSGSIZE, CallerError, "too-long"),
    (ENABLE, errno.ENOKEY, HostError, "no-verity-key"),
    (ENABLE, errno.EPERM, HostError, "not-permitted"),
    (ENABLE, errno.ETXTBSY, HostError, "open-for-writing"),
    (ENABLE, errno.EBADF, CallerError, "bad-descriptor"),
    (ENABLE, errno.EOPNOTSUPP, HostError, "no-verity-feature"),
    (ENABLE, errno.EISDIR, CallerError, "is-a-directory"),
    (ENABLE, errno.EINVAL, HostError, "unsupported-parameters"),
    (ENABLE, errno.EKEYREJECTED, ContentError, "bad-signature"),
    (ENABLE, errno.EBADMSG, ContentError, "malformed-signature"),
    (ENABLE, errno.ENOPKG, HostError, "unsupported-algorithm"),
    (ENABLE, errno.EFBIG, HostError, "file-too-large"),
    (ENABLE, errno.EINTR, HostError, "interrupted"),
    (ENABLE, errno.ENOSPC, HostError, "no-space"),
    (ENABLE, errno.EIO, HostError, "io-error"),
    (MEASURE, errno.ENODATA, HostError, "no-verity"),
    (MEASURE, errno.ENOTTY, HostError, "no-verity-filesystem"),
    (MEASURE, errno.EOPNOTSUPP, HostError, "no-verity-feature"),
    (MEASURE, errno.EOVERFLOW, HostError, "digest-too-long"),
    (MEASURE, errno.EBADF, CallerError, "bad-descriptor"),
    (READ_METADATA, errno.ENODATA, HostError, "no-verity-metadata"),
    (READ_METADATA, errno.ENOTTY, HostError, "no-verity-metadata-ioctl"),
    (READ_METADATA, errno.EOPNOTSUPP, HostError, "no-verity-feature"),
    (READ_METADATA, errno.EINVAL, CallerError, "bad-metadata-range"),
    (READ_METADATA, errno.EINTR, HostError, "interrupted"),
    (STATX, errno.EBADF, CallerError, "bad-descriptor"),
    (STATX, errno.ENOSYS, HostError, "no-statx"),
    (GETFLAGS, errno.ENOTTY, HostError, "no-inode-flags"),
    (GETFLAGS, errno.EOPNOTSUPP, HostError, "no-inode-flags"),
    (SYNCFS, errno.EIO, HostError, "write-back-failed"),
    (SYNCFS, errno.EBADF, CallerError, "bad-descriptor"),
    (OPEN, errno.ENOENT, HostError, "not-found"),
    (OPEN, errno.EACCES, HostError, "no-permission"),
    (OPEN, errno.ELOOP, CallerError, "not-a-regular-file"),
    (OPEN, errno.ENXIO, CallerError, "not-a-regular-file"),
    (OPEN, errno.EXDEV, HostError, "outside"),
    (OPEN, errno.ENOSYS, HostError, "no-openat2"),
    (CACHED, errno.ENODEV, HostError, "no-page-cache"),
    (CACHED, errno.EBADF, CallerError, "bad-descriptor"),
    (READ, errno.EIO, HostError, "io-error"),
]

CALLS = [ENABLE, MEASURE, READ_METADATA, STATX, CACHED, GETFLAGS, SYNCFS, OPEN, READ]


@pytest.mark.parametrize(("call", "number", "family", "code"), ROWS)
def test_table(call: Call, number: int, family: type[VerityError], code: str) -> None:
    error = call.error(number, "/some/file")
    assert (type(error), error.code) == (family, code)
    assert error.message.startswith(f"cannot {call.verb} /some/file: ")
    assert error.hint
    assert isinstance(error.__cause__, OSError)
    assert error.__cause__.errno == number


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.verb)
def test_style_of_every_row(call: Call) -> None:
    for number in call.table:
        error = call.error(number, "/f")
        assert error.hint and error.hint[0].islower(), number
        assert "\n" not in error.message + error.hint
        assert error.message[0].islower() and not error.message.endswith(".")
        assert error.code == error.code.lower() and " " not in error.code


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.verb)
@pytest.mark.parametrize("number", [errno.ENOTEMPTY, 99999])
def test_unknown_errno_is_named(call: Call, number: int) -> None:
    error = call.error(number, "/f")
    assert (type(error), error.code) == (HostError, "unexpected-errno")
    assert str(number) in error.message
    assert error.hint


def test_the_hint_for_ext4_names_the_command() -> None:
    hint = ENABLE.error(errno.EOPNOTSUPP, "/f").hint
    assert hint is not None
    assert "`tune2fs -O verity DEVICE` turns it on, for good, without a remount" in hint


def test_labels_stay_on_one_line() -> None:
    assert shown("/plain/\u00e9 x") == "/plain/\u00e9 x"
    assert shown("a\nb\x1b\\") == r"a\x0ab\x1b\x5c"
    assert shown(os.fsdecode(b"\xff")) == r"\xff"


# --- the running kernel --------------------------------------------------------------------

# What a kernel may answer for a fresh file: with fs-verity, without it, or on another system.
ABSENT = {"no-verity-filesystem", "no-verity-feature"}


def places() -> list[Path]:
    """Writable folders on two file systems, where the machine has two."""
    found: dict[int, Path] = {}
    for path in (Path(tempfile.gettempdir()), Path("/dev/shm")):  # noqa: S108 - a mkdtemp in it
        if path.is_dir() and os.access(path, os.W_OK):
            found.setdefault(path.stat().st_dev, path)
    return list(found.values())


@pytest.fixture(params=places(), ids=str)
def fresh(request: pytest.FixtureRequest) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="verity-test-", dir=request.param))
    request.addfinalizer(lambda: shutil.rmtree(folder))
    file = folder / "file"
    file.write_bytes(b"contents")
    return file


def test_a_fresh_file_has_no_verity(fresh: Path) -> None:
    with fresh.open("rb") as file:
        assert kernel.has_verity(file.fileno(), label="f") is False
        try:
            assert kernel.measure(file.fileno(), label="f") is None
        except HostError as error:
            assert error.code in ABSENT


@pytest.mark.parametrize("kind", list(kernel.Metadata))
def test_no_metadata_is_named(fresh: Path, kind: kernel.Metadata) -> None:
    with fresh.open("rb") as file, pytest.raises(HostError) as caught:
        kernel.read_metadata(file.fileno(), kind, label="f")
    assert caught.value.code in {"no-verity-metadata", "no-verity-metadata-ioctl", *ABSENT}


def test_enabling_works_or_is_refused_by_name(fresh: Path) -> None:
    with fresh.open("rb") as file:
        try:
            kernel.enable(file.fileno(), label=str(fresh))
        except HostError as error:
            assert error.code in ABSENT
            assert str(fresh) in error.message
        else:
            assert kernel.has_verity(file.fileno(), label="f") is True


def test_tmpfs_has_no_ioctl() -> None:
    fd = os.memfd_create("verity")  # the kernel's own tmpfs, which is always there
    try:
        with pytest.raises(HostError) as caught:
            kernel.measure(fd, label="f")
        assert caught.value.code == "no-verity-filesystem"
    finally:
        os.close(fd)


def test_proc_has_neither_verity_nor_flags() -> None:
    with open("/proc/version", "rb") as file:
        assert kernel.has_verity(file.fileno(), label="f") is False
        with pytest.raises(HostError, match="no fs-verity") as caught:
            kernel.enable(file.fileno(), label="/proc/version")
        assert caught.value.code == "no-verity-filesystem"
        with pytest.raises(HostError) as caught:
            kernel.inode_flags(file.fileno(), label="/proc/version")
        assert caught.value.code == "no-inode-flags"


@pytest.mark.parametrize("fd", [-1, 999_999])
def test_bad_descriptors(fd: int) -> None:
    for call in (
        lambda: kernel.enable(fd, label="f"),
        lambda: kernel.measure(fd, label="f"),
        lambda: kernel.read_metadata(fd, kernel.Metadata.DESCRIPTOR, label="f"),
        lambda: kernel.has_verity(fd, label="f"),
        lambda: kernel.inode_flags(fd, label="f"),
        lambda: kernel.syncfs(fd, label="f"),
        lambda: kernel.cached_pages(fd, label="f"),
    ):
        with pytest.raises(CallerError) as caught:
            call()
        assert caught.value.code == "bad-descriptor"


def test_c_refuses_long_signatures_before_the_kernel_is_asked(fresh: Path) -> None:
    with fresh.open("rb") as file, pytest.raises(CallerError) as caught:
        kernel.enable(file.fileno(), signature=bytes(16129), label="f")
    assert caught.value.code == "too-long"


def test_salt_and_signature_reach_the_kernel(fresh: Path) -> None:
    params = VerityParams(algorithm=HashAlgorithm.SHA512, block_size=1024, salt=bytes(32))
    with fresh.open("rb") as file, pytest.raises(VerityError) as caught:
        kernel.enable(file.fileno(), params, bytes(16128), label="f")
    # zeros are no DER where there is fs-verity with signatures
    assert caught.value.code in {"malformed-signature", "no-verity-key", "too-long", *ABSENT}


def test_inode_flags_and_sync(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    with file.open("rb") as opened:
        fd = opened.fileno()
        kernel.syncfs(fd, label="f")
        try:
            flags = kernel.inode_flags(fd, label="f")
        except HostError as error:
            assert error.code == "no-inode-flags"
        else:
            assert not flags & (kernel.VERITY_FL | kernel.APPEND_FL | kernel.IMMUTABLE_FL)
        assert kernel.attributes(fd, label="f").verity is False


def test_the_mask_does_not_gate() -> None:
    bit = 0x00100000  # STATX_ATTR_VERITY
    assert kernel.Attributes(attributes=bit, mask=0).verity is True
    assert kernel.Attributes(attributes=0, mask=bit).verity is False


# --- answers that this kernel may not give, put in place of the extension's ------------------


class FakeLib:
    """Answers of a kernel with fs-verity, at the level of the C functions."""

    VERITY_MAX_DIGEST = 64

    def __init__(self, metadata: bytes = b"", size: int = 32, algorithm: int = 1) -> None:
        self.metadata = metadata
        self.size = size
        self.algorithm = algorithm

    def verity_measure(self, fd: int, number: list[int], room: object, cap: int) -> int:
        number[0] = self.algorithm
        kernel.ffi.buffer(room)[: self.size] = b"\x07" * self.size
        return self.size

    def verity_read_metadata(self, fd: int, kind: int, offset: int, room: object, n: int) -> int:
        piece = self.metadata[offset : offset + min(n, 1000)]
        kernel.ffi.buffer(room)[: len(piece)] = piece
        return len(piece)


def test_measure_gives_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "lib", FakeLib(size=64, algorithm=2))
    assert str(kernel.measure(0, label="f")) == "sha512:" + "07" * 64


@pytest.mark.parametrize(("size", "algorithm"), [(32, 2), (32, 3), (0, 1)])
def test_measure_refuses_unknown_algorithms(
    monkeypatch: pytest.MonkeyPatch, size: int, algorithm: int
) -> None:
    monkeypatch.setattr(kernel, "lib", FakeLib(size=size, algorithm=algorithm))
    with pytest.raises(HostError) as caught:
        kernel.measure(0, label="f")
    assert caught.value.code == "unknown-hash-algorithm"


def test_metadata_comes_in_pieces_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    text = bytes(range(256)) * 20
    monkeypatch.setattr(kernel, "lib", FakeLib(metadata=text))
    kind = kernel.Metadata.MERKLE_TREE
    assert kernel.read_metadata(0, kind, label="f") == text
    assert len(list(kernel.iter_metadata(0, kind, label="f"))) == 6
    assert kernel.read_metadata(0, kind, label="f", limit=len(text)) == text
    with pytest.raises(CallerError) as caught:
        kernel.read_metadata(0, kind, label="f", limit=len(text) - 1)
    assert caught.value.code == "metadata-too-large"


# --- the extension itself ------------------------------------------------------------------


def test_stamp() -> None:
    kernel.check_stamp(verity.__version__, kernel.INTERFACE)
    for version, interface in (("0.0.0", kernel.INTERFACE), (verity.__version__, 0)):
        with pytest.raises(kernel.ExtensionError, match="expected") as caught:
            kernel.check_stamp(version, interface)
        assert caught.value.code == "extension-mismatch"
        assert caught.value.hint


def _import_without_extension(folder: Path) -> str:
    """Import the port from a copy of the sources, as the shadowing folder would be."""
    shutil.copytree(
        PACKAGE, folder / "verity", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import verity.ports.kernel"
    done = subprocess.run(  # -S: no site, hence no editable install's hook
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    return done.stderr


def test_a_shadowing_source_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    text = _import_without_extension(tmp_path)
    assert f"the source folder {tmp_path / 'verity'} shadows the installed package" in text
    assert "hint: start Python in another directory" in text


def test_a_missing_extension_is_named(tmp_path: Path) -> None:
    text = _import_without_extension(tmp_path)
    assert f"verity._kernel is missing from {tmp_path / 'verity'}" in text
    assert "needs a C compiler" in text


def test_an_extension_that_does_not_load_is_named(tmp_path: Path) -> None:
    cause = ModuleNotFoundError("No module named '_cffi_backend'", name="_cffi_backend")
    error = kernel._missing(cause, tmp_path)
    assert error.code == "extension-unusable"
    assert "_cffi_backend" in error.message
    assert isinstance(error, ImportError)
    assert isinstance(error, HostError)


def test_the_words_know_no_kernel() -> None:
    assert not hasattr(_conditions, "lib")
