# SPDX-License-Identifier: Apache-2.0
"""The content store: nothing is under a digest that isn't its own, whatever goes wrong."""

import os
from pathlib import Path

import pytest

from verity.formats.fsverity import digest_bytes
from verity.ports.content_store import ContentStore, Source
from verity.values.errors import ContentError, HostError

BIG = bytes(range(256)) * 9000  # more than one piece


def source(path: Path, data: bytes, *, digest: bytes | None = None) -> Source:
    path.write_bytes(data)
    return Source(
        label=path.name,
        digest=digest or digest_bytes(data).value,
        open=lambda: os.open(path, os.O_RDONLY),
    )


def copied(store: ContentStore, digest: bytes, target: Path) -> bytes:
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        store.copy(digest, fd, label="x")
    finally:
        os.close(fd)
    return target.read_bytes()


@pytest.mark.parametrize("data", [b"", b"x", bytes(4096), bytes(4097), BIG])
def test_what_goes_in_comes_out(tmp_path: Path, data: bytes) -> None:
    store = ContentStore(tmp_path / "var/store")
    digest = digest_bytes(data).value
    assert store.add([source(tmp_path / "a", data), source(tmp_path / "b", data)]).new == 1
    assert store.place(digest).stat().st_mode & 0o777 == 0o400
    assert copied(store, digest, tmp_path / "out") == data
    assert store.read(digest, label="x", max_size=len(data)) == data
    assert store.add([source(tmp_path / "a", data)]).new == 0
    assert not list((store.path / "incoming").iterdir())


def test_a_file_that_changed_stores_nothing(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store")
    good = source(tmp_path / "good", b"good")
    with pytest.raises(ContentError, match="b: its contents changed") as caught:
        store.add([good, source(tmp_path / "b", b"b", digest=bytes(32))])
    assert caught.value.code == "changed-while-read"
    assert not (store.path / "sha256").exists()
    assert store.add([good]).new == 1  # what was left half done is no hindrance


def test_damage_is_told_and_mended(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store")
    good = source(tmp_path / "a", b"good")
    store.add([good])
    place = store.place(good.digest)
    place.unlink()
    place.write_bytes(b"evil")
    with pytest.raises(ContentError, match="expected the contents of x") as caught:
        copied(store, good.digest, tmp_path / "out")
    assert caught.value.code == "damaged-content"
    with pytest.raises(ContentError, match="not the contents of x any more"):
        store.read(good.digest, label="x", max_size=9)
    assert store.add([good]).new == 1
    assert copied(store, good.digest, tmp_path / "out") == b"good"


def test_what_is_not_there(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store")
    with pytest.raises(HostError, match="x: its contents") as caught:
        store.read(bytes(32), label="x", max_size=1)
    assert caught.value.code == "no-content"


def test_a_link_in_the_store_is_not_followed(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store")
    one = source(tmp_path / "a", b"good")
    store.add([one])
    store.place(one.digest).unlink()
    store.place(one.digest).symlink_to(tmp_path / "a")
    with pytest.raises(HostError) as caught:
        store.read(one.digest, label="x", max_size=9)
    assert caught.value.code == "no-content"


def test_more_than_asked_for(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store")
    one = source(tmp_path / "a", b"12345")
    store.add([one])
    with pytest.raises(HostError, match="x: more than 4 bytes"):
        store.read(one.digest, label="x", max_size=4)
