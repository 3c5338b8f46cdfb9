# SPDX-License-Identifier: Apache-2.0
"""What IMA is tried with, as far as a host without its policy shows it."""

import os
from pathlib import Path

import pytest

from verity.ports import ima
from verity.values.errors import HostError


def test_a_file_of_less_than_a_page_is_mapped_whole(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(b"#!/bin/true\n")
    ima.map_code(str(script))
    with pytest.raises(HostError):
        ima.map_code(str(tmp_path / "missing"))


def test_each_rule_is_a_write_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel takes the first rule of a write, and no more."""
    policy = tmp_path / ima.POLICY
    policy.parent.mkdir(parents=True)
    policy.touch()
    taken = []

    def first_rule(fd: int, data: bytes) -> int:
        rule, end, _ = data.partition(b"\n")
        taken.append(rule)
        return len(rule + end)

    monkeypatch.setattr(os, "write", first_rule)
    ima.write_policy("one\ntwo\n", tmp_path)
    assert taken == [b"one", b"two"]
