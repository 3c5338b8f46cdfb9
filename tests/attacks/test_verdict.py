# SPDX-License-Identifier: Apache-2.0
"""What is said of an act that a peer was to stop; the acts are of this host's shell, harmless."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import cast

import pytest

from tests.vm import Machine

from .attack import Attack, TroubleError
from .peers import NOT_STOPPED, PREPARING, STOPPED, STOPS_SIGNED, verdict

_REFUSED = "echo open: EPERM; exit 1"
_RAN = "echo ran"
_NOT_PERMITTED = "echo 'trouble: /file: Operation not permitted' >&2; exit 2"


class _Here:
    """Runs on this host what a machine would."""

    def run(
        self, script: str, *, env: Mapping[str, str], check: bool, timeout_s: float
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            ["sh", "-c", script], env=env, check=check, timeout=timeout_s, capture_output=True
        )
        done.status = done.returncode  # type: ignore[attr-defined]  # as Completed has it
        return done


@pytest.mark.parametrize(
    ("setup", "act", "signed", "said"),
    [
        (":", _RAN, "", NOT_STOPPED),
        (":", _REFUSED, "", STOPPED),
        (":", _REFUSED, _RAN, STOPPED),
        (":", _REFUSED, _REFUSED, STOPS_SIGNED),
        (":", _NOT_PERMITTED, _RAN, PREPARING),
        (":", _NOT_PERMITTED, _NOT_PERMITTED, STOPS_SIGNED),
        ("false", _RAN, "", PREPARING),
        # The control has the setup of the act.
        ("false", _RAN, _RAN, STOPS_SIGNED),
    ],
)
def test_what_is_said(setup: str, act: str, signed: str, said: str) -> None:
    row = Attack(group=1, name="a", setup=setup, act=act, signed=signed, reason="")
    assert verdict(cast(Machine, _Here()), row) == said


def test_any_other_trouble_of_a_tool_says_nothing() -> None:
    row = Attack(group=1, name="a", act="echo trouble: no memory >&2; exit 2", reason="")
    with pytest.raises(TroubleError, match="no memory"):
        verdict(cast(Machine, _Here()), row)
