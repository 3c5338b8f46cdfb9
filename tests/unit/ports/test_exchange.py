# SPDX-License-Identifier: Apache-2.0
"""A file that several people change in turn: nobody's change is lost."""

import fcntl
import os
import stat
from pathlib import Path

import pytest

from tests.ostree_world import refused
from verity.ports.exchange import exchange
from verity.ports.osfile import replace_file
from verity.values.errors import HostError


def test_replaced_if_it_is_what_was_read(tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_bytes(b"old")
    file.chmod(0o640)
    exchange(file, b"new", expected=b"old")
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["b"]


@pytest.mark.parametrize("found", [b"", b"ol", b"older", b"OLD"])
def test_refused_if_it_is_not(tmp_path: Path, found: bytes) -> None:
    file = tmp_path / "b"
    file.write_bytes(found)
    refused(HostError, "changed-meanwhile", lambda: exchange(file, b"new", expected=b"old"))
    assert file.read_bytes() == found


def test_replaced_by_somebody_while_the_lock_was_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What we hold open is what was read, but the name is another file's by now."""
    file = tmp_path / "b"
    file.write_bytes(b"old")

    def somebody(fd: int, how: int) -> None:
        replace_file(file, b"theirs", mode=0o644)

    monkeypatch.setattr(fcntl, "flock", somebody)
    refused(HostError, "changed-meanwhile", lambda: exchange(file, b"new", expected=b"old"))
    assert file.read_bytes() == b"theirs"


def test_gone(tmp_path: Path) -> None:
    refused(HostError, "not-found", lambda: exchange(tmp_path / "b", b"new", expected=b"old"))
    assert os.listdir(tmp_path) == []
