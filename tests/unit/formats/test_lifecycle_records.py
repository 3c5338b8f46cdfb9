# SPDX-License-Identifier: Apache-2.0
"""The small records of a host's life cycle: trial, what came of the seal, installation."""

from dataclasses import replace

import pytest

from verity.formats import host_record, seal_said, trial_record
from verity.formats.host_record import Installation
from verity.formats.seal_said import Late
from verity.values.errors import ContentError

TRIAL = b"verity-trial 1\nserial 7\nboot 0b1c2d3e-0000-4000-8000-000000000001\n"
SAID = b"verity-seal 1\nstate observe\nwhy late\nserial 3\ntext a\\x20b\n"
SAID += b"late 12 a\\x20b /opt/x not-granted\n"
INSTALLATION = Installation(
    self_vendor=True,
    complete=False,
    streams=("system-1", "etc-1", "tools-1"),
    files=("etc/verity/host-id", "var/lib/verity/policy.json"),
    links=("etc/systemd/system/sysinit.target.wants/verity-gate.service",),
)


def test_a_trial() -> None:
    found = trial_record.parse(TRIAL)
    assert (found.serial, found.boot) == (7, "0b1c2d3e000040008000000000000001")


def test_a_trial_that_came_up() -> None:
    found = trial_record.parse_came_up(TRIAL + b"bundle " + b"0a" * 32 + b"\n")
    assert (found.trial, found.bundle) == (trial_record.parse(TRIAL), b"\x0a" * 32)


@pytest.mark.parametrize("rest", [b"", b"bundle \n", b"bundle " + b"0a" * 32, b"x\n"])
def test_no_record_of_one_that_came_up(rest: bytes) -> None:
    for data in (TRIAL + rest, rest + b"\n" + TRIAL, rest):
        with pytest.raises(ContentError) as caught:
            trial_record.parse_came_up(data)
        assert caught.value.code == "bad-trial" and caught.value.hint


@pytest.mark.parametrize(
    "bad", [b"", TRIAL[:-1], TRIAL + b"x", TRIAL.replace(b"7", b"0"), TRIAL.replace(b" 1", b" 2")]
)
def test_no_trial(bad: bytes) -> None:
    with pytest.raises(ContentError, match="the record of the trial is none") as caught:
        trial_record.parse(bad)
    assert caught.value.hint


def test_what_came_of_the_seal() -> None:
    found = seal_said.parse(SAID)
    assert (found.state, found.why, found.serial, found.text) == ("observe", "late", 3, "a b")
    assert found.late == Late(pid=12, comm="a b", file="/opt/x", reason="not-granted")
    sealed = seal_said.parse(b"verity-seal 1\nstate sealed\nwhy sealed\nserial 3\ntext -\n")
    assert (sealed.late, sealed.text) == (None, "")


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        SAID[:-1],
        SAID.replace(b"serial 3", b"serial x"),
        SAID.replace(b"why late\n", b""),
        SAID.replace(b"why late", b"why \x1b[2J"),
        SAID.replace(b"late 12", b"late"),
    ],
)
def test_a_damaged_word(bad: bytes) -> None:
    with pytest.raises(ContentError, match="is damaged"):
        seal_said.parse(bad)


def test_every_word_of_the_loader_has_an_explanation() -> None:
    """As policy/gate/loader/ uses them."""
    words = {"asked", "not-yet", "policy", "refused", "late", "trial-over", "trial-unwritten"}
    assert set(seal_said.WHY) == {*words, "sealed", "trial"}


def test_an_installation_survives() -> None:
    assert host_record.parse(host_record.encode(INSTALLATION)) == INSTALLATION


@pytest.mark.parametrize(
    "changes",
    [
        {"files": ("etc/passwd",)},
        {"files": ("etc/verity/../passwd",)},
        {"links": ("/etc/verity/x",)},
        {"files": ("var/lib/verity//x",)},
        {"streams": ("a", "b")},
    ],
)
def test_what_an_installation_never_takes_away(changes: dict[str, tuple[str, ...]]) -> None:
    """A record that was tampered with leads to nothing else on the disk."""
    data = host_record.encode(replace(INSTALLATION, **changes))  # type: ignore[arg-type]  # bad ones
    with pytest.raises(ContentError, match="record of the installation"):
        host_record.parse(data)
