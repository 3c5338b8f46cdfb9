# SPDX-License-Identifier: Apache-2.0
"""What an initramfs holds: every part that the kernel unpacks, in each compression, or an error."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.formats.test_cpio import archive, entry
from verity.ports import initramfs
from verity.values.errors import ContentError

ONE, OTHER = archive(entry(b"etc/pin", b"one")), archive(entry(b"etc/pin", b"other"))
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


def read(path: Path, data: bytes) -> list[bytes]:
    (path / "initrd.img").write_bytes(data)
    return [file.data for file in initramfs.files(path / "initrd.img")]


@pytest.mark.parametrize("name", PACKERS)
def test_every_part_is_read(name: str, tmp_path: Path) -> None:
    """What a later part says counts, and the kernel unpacks as many as there are."""
    packed = PACKERS[name](OTHER)
    assert read(tmp_path, ONE + packed) == [b"one", b"other"]
    assert read(tmp_path, packed + bytes(512) + ONE) == [b"other", b"one"]
    assert read(tmp_path, PACKERS[name](ONE) + bytes(4) + packed) == [b"one", b"other"]


@pytest.mark.parametrize("name", PACKERS)
def test_what_is_cut_is_no_end(name: str, tmp_path: Path) -> None:
    packed = PACKERS[name](OTHER)
    for data in (ONE + packed[:-9], ONE + packed[:8], ONE + packed + packed[:20]):
        with pytest.raises(ContentError) as caught:
            read(tmp_path, data)
        assert caught.value.code == "bad-initramfs"


NONE = {
    "empty": b"",
    "zeros": bytes(512),
    "other bytes behind it": ONE + b"\x99\x88",
    "other bytes in what is packed": gzip.compress(ONE + b"x"),
}


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_initramfs(name: str, tmp_path: Path) -> None:
    with pytest.raises(ContentError) as caught:
        read(tmp_path, NONE[name])
    assert caught.value.code == "bad-initramfs"


def test_no_more_is_unpacked_than_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initramfs, "MOST", 1000)
    big = gzip.compress(archive(entry(b"a", bytes(600))))
    assert len(read(tmp_path, big)) == 1
    with pytest.raises(ContentError, match="more than 1000 bytes"):
        read(tmp_path, big + big)
