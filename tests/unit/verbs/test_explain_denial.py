# SPDX-License-Identifier: Apache-2.0
"""Each act and reason of the gate has words, and each refusal a way out."""

import re

import pytest

from verity.formats.gate_status import Act, Reason
from verity.verbs.explain_denial import ACTS, REASONS, REMEDIES


def test_every_act_and_reason_has_words() -> None:
    assert list(ACTS) == list(Act)
    assert list(REASONS) == list(REMEDIES) == list(Reason)
    assert len(set(REASONS.values())) == len(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_way_out(reason: Reason) -> None:
    assert bool(REMEDIES[reason]) is (reason is not Reason.ALLOW)
    for text in (REASONS[reason], *REMEDIES[reason]):
        assert re.fullmatch(r"[a-z].*[^.]", text)


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (Reason.NO_DIGEST, "verity enable {path}"),
        (Reason.NOT_GRANTED, "verity extension sign "),
        (Reason.STALE, "start it again"),
        (Reason.ANONYMOUS, "policy"),
        (Reason.GATE_PIN, "reboot"),
        (Reason.GATE_OBJECT, "none: "),
    ],
)
def test_the_way_out_fits(reason: Reason, word: str) -> None:
    assert any(word in remedy for remedy in REMEDIES[reason])
