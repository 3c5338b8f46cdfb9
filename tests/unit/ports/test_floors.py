# SPDX-License-Identifier: Apache-2.0
"""The files of serial floors: whole or not there, and one writer at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from verity.ports.floors import STATE, FloorStore, has_state
from verity.values.errors import ContentError, HostError


def store(path: Path, *envelopes: bytes) -> FloorStore:
    found = FloorStore(path / "floors")
    with found.locked():
        found.write("vendor.os.s", envelopes)
    return found


def test_what_is_written_is_read(tmp_path: Path) -> None:
    found = store(tmp_path, b"{one}", b"\0")
    assert found.read("vendor.os.s") == (b"{one}", b"\0")
    with found.locked():
        found.write("vendor.os.s", [b"two"])
    assert found.read("vendor.os.s") == (b"two",)
    assert found.read("vendor.os.t") is None
    assert sorted(os.listdir(found.directory)) == ["vendor.os.s"]
    assert found.path("vendor.os.s").stat().st_mode & 0o777 == 0o644


def test_the_bytes_are_a_variant(tmp_path: Path) -> None:
    found = store(tmp_path, b"ab", b"c")
    assert found.path("vendor.os.s").read_bytes() == b"abc\x02\x03"


@pytest.mark.parametrize("data", [b"\x09", b"ab\x03", b"abc\x02\x03\x09"], ids=["far", "off", "up"])
def test_damaged(tmp_path: Path, data: bytes) -> None:
    found = store(tmp_path)
    found.path("vendor.os.s").write_bytes(data)
    with pytest.raises(ContentError) as caught:
        found.read("vendor.os.s")
    assert caught.value.code == "bad-floor"
    assert "vendor.os.s" in caught.value.message


def test_what_cannot_be_read_is_not_missing(tmp_path: Path) -> None:
    found = store(tmp_path)
    found.path("vendor.os.s").unlink()
    found.path("vendor.os.s").mkdir()
    with pytest.raises(ContentError, match="is a directory") as caught:
        found.read("vendor.os.s")
    assert caught.value.code == "bad-floor"


def test_no_place_for_it(tmp_path: Path) -> None:
    found = FloorStore(tmp_path / "no" / "floors")
    with pytest.raises(HostError, match="does not exist"), found.locked():
        pass
    assert os.listdir(tmp_path) == []


_SECOND = """
import sys
from pathlib import Path
from verity.ports.floors import FloorStore
with FloorStore(Path(sys.argv[1])).locked():
    print("in", flush=True)
"""


def test_a_second_writer_waits(tmp_path: Path) -> None:
    found = store(tmp_path)
    with found.locked():
        command = [sys.executable, "-c", _SECOND, str(found.directory)]
        second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(1)
    out, _ = second.communicate(timeout=60)
    assert (second.returncode, out) == (0, "in\n")


def test_what_is_a_host(tmp_path: Path) -> None:
    assert not has_state(tmp_path)
    (tmp_path / "var").write_bytes(b"")
    assert not has_state(tmp_path)
    (tmp_path / "var").unlink()
    (tmp_path / STATE).mkdir(parents=True)
    assert has_state(tmp_path)
    (tmp_path / STATE).rmdir()
    (tmp_path / STATE).symlink_to(STATE.name)
    with pytest.raises(HostError, match="symbolic link"):
        has_state(tmp_path)
