# SPDX-License-Identifier: Apache-2.0
"""A counter in a TPM: swtpm, asked by tpm2-tools. It only ever goes up."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tpm as tpms
from tests.tpm import Tpm
from verity.ports import tpm_counter
from verity.ports.tpm_counter import ATTRIBUTES, INDEX, TpmCounter
from verity.values.errors import HostError

COUNTER = TpmCounter()


@pytest.fixture
def tpm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tpm]:
    """A TPM that is on, in the place of this machine's."""
    with tpms.made() as made:
        made.start()
        made.stand_in(monkeypatch)
        yield made


def stub(folder: Path, program: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program in the place of that one."""
    (folder / program).write_text(f"#!/bin/sh\n{text}\n")
    (folder / program).chmod(0o755)
    monkeypatch.setattr(tpm_counter, "_PATH", f"{folder}:/usr/bin:/bin")


def test_it_counts_and_outlives_the_power(tpm: Tpm) -> None:
    assert COUNTER.read() is None
    COUNTER.define()
    assert COUNTER.read() == 0
    for _ in range(3):
        COUNTER.increment()
    assert COUNTER.read() == tpm.value == 3
    tpm.stop()
    tpm.start()
    assert COUNTER.read() == 3


@pytest.mark.parametrize("how", [("tpm2_nvundefine", "-C", "o", INDEX), ("tpm2_clear", "-c", "p")])
def test_one_that_is_made_anew_goes_on_above(tpm: Tpm, how: tuple[str, ...]) -> None:
    """What makes it hard to lower: no way back by removing it, nor by clearing the TPM."""
    COUNTER.define()
    for _ in range(5):
        COUNTER.increment()
    tpm.tool(*how)
    assert COUNTER.read() is None
    COUNTER.define()
    COUNTER.increment()
    assert COUNTER.read() == 6


def test_what_is_no_counter_counts_as_none(tpm: Tpm) -> None:
    """Else whoever has the TPM's owner could write the number that they want."""
    plain = ATTRIBUTES.replace("|nt=counter", "")
    tpm.tool("tpm2_nvdefine", "-C", "o", "-s", "8", "-a", plain, INDEX)
    (tpm.path / "eight").write_bytes((7).to_bytes(8, "big"))
    tpm.tool("tpm2_nvwrite", "-i", f"{tpm.path}/eight", INDEX)
    assert tpm.value == 7
    assert COUNTER.read() is None
    with pytest.raises(HostError, match="already defined") as refused:
        COUNTER.define()
    assert refused.value.code == "tpm-failed"


def test_an_owner_with_a_password(tpm: Tpm) -> None:
    """What the hint says is what makes it, and then nobody needs the password."""
    tpm.tool("tpm2_changeauth", "-c", "owner", "secret")
    with pytest.raises(HostError, match="owner has set a password") as refused:
        COUNTER.define()
    assert refused.value.code == "tpm-owner"
    hint = (refused.value.hint or "").removeprefix("once, with it: ").partition(";")[0]
    tpm.tool(*shlex.split(hint.replace("PASSWORD", "secret")))
    COUNTER.increment()
    assert COUNTER.read() == 1


def test_no_tpm(tpm: Tpm) -> None:
    tpm.stop()
    for ask in (COUNTER.read, COUNTER.increment, COUNTER.define):
        with pytest.raises(HostError) as refused:
            ask()
        assert (refused.value.code, refused.value.message) == ("no-tpm", "no TPM 2.0 answers")


def test_only_the_kernel_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what the environment names, which tpm2-tools would. A TPM of this machine isn't asked."""
    assert tpm_counter._DEVICE == "device:/dev/tpmrm0"
    monkeypatch.setattr(tpm_counter, "_DEVICE", "device:/nowhere/tpmrm0")
    with tpms.made() as made:
        made.start()
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(HostError) as refused:
            COUNTER.read()
    assert refused.value.code == "no-tpm"


def test_no_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tpm_counter, "_PATH", str(tmp_path))
    with pytest.raises(HostError) as refused:
        COUNTER.read()
    assert (refused.value.code, refused.value.hint) == (
        "no-tpm2-tools",
        "apt-get install tpm2-tools",
    )


def test_a_tool_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(tmp_path, "tpm2_nvreadpublic", "exec sleep 60", monkeypatch)
    monkeypatch.setattr(tpm_counter, "_TIMEOUT_S", 0.2)
    with pytest.raises(HostError, match="not done after"):
        COUNTER.read()


def test_a_tool_that_dies_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(tmp_path, "tpm2_nvreadpublic", "exit 139", monkeypatch)
    with pytest.raises(HostError, match="tpm2_nvreadpublic: exit status 139"):
        COUNTER.read()


def test_a_value_that_is_cut(tpm: Tpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    COUNTER.define()
    COUNTER.increment()
    stub(tmp_path, "tpm2_nvread", "printf 1234", monkeypatch)
    with pytest.raises(HostError, match="4 bytes, expected 8"):
        COUNTER.read()


def test_only_the_root_that_runs_has_this_tpm(tmp_path: Path) -> None:
    assert tpm_counter.of(Path("/")) is not None
    assert tpm_counter.of(Path("/usr/..")) is not None
    assert tpm_counter.of(tmp_path) is None
    assert tpm_counter.of(tmp_path / "missing") is None
