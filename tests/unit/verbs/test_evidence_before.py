# SPDX-License-Identifier: Apache-2.0
"""What went back since the capsule before, and capsules that were damaged on the way."""

import base64
import json
from typing import Any

import pytest

from tests.evidence_world import (
    MADE,
    USER_ROOT,
    Made,
    by_pins,
    once,
    policy,
    user_keyring,
    vendor_keyring,
    version,
)
from tests.unit.verbs.test_evidence_verify import basis, checks, verify
from tests.world import ROOT, VENDOR, World
from verity.formats.grants import Party
from verity.trust.evidence import Demands
from verity.values.errors import ContentError
from verity.verbs import evidence_verify
from verity.verbs.evidence_said import Basis


def before(**changes: Any) -> Made:
    return Made(changes={"issued": MADE - 100, **changes})


LATER_VENDOR = (
    version(vendor_keyring(), ROOT),
    version(vendor_keyring(version=2), ROOT),
)
WENT_BACK: dict[str, tuple[str, dict[str, Any]]] = {
    "a stream": (
        "stream os",
        {"statements": (once(World(statement_changes={"serial": 6}).statement, VENDOR),)},
    ),
    "a keyring": (
        "keyring of the vendor",
        {
            "keyrings": {
                Party.VENDOR: LATER_VENDOR,
                Party.USER: (version(user_keyring(), USER_ROOT),),
            }
        },
    ),
    "the policy": ("policy", {"policy": policy(5)}),
}


@pytest.mark.parametrize("name", WENT_BACK)
def test_what_went_back(name: str) -> None:
    what, changes = WENT_BACK[name]
    first = before(**changes).verified
    second = Made(changes={"previous": first.digest})
    judged = verify(second, demands=Demands(previous=first))
    assert [(one.check, one.object) for one in judged.findings] == [("rolled-back", what)]
    forward = Made(changes={**changes, "previous": before().verified.digest})
    judged = verify(forward, demands=Demands(previous=before().verified))
    assert checks(judged) == []
    assert basis(judged, "the capsule before")[0] is Basis.SIGNATURES


def test_one_before_that_nobody_has_proves_nothing() -> None:
    judged = verify(Made(changes={"previous": b"\x01" * 32}))
    assert basis(judged, "the capsule before")[0] is Basis.HOST_KEY


def test_the_highest_of_two_of_a_stream_counts() -> None:
    higher = once(World(statement_changes={"serial": 6}).statement, VENDOR)
    first = before(statements=(higher, once(World().statement, VENDOR))).verified
    judged = verify(Made(changes={"previous": first.digest}), demands=Demands(previous=first))
    assert [(one.check, one.expected) for one in judged.findings] == [("rolled-back", "6 or more")]


def test_a_stream_that_is_gone_went_back() -> None:
    first = before().verified
    judged = verify(
        Made(changes={"previous": first.digest, "statements": ()}),
        demands=Demands(previous=first),
    )
    assert [(one.check, one.found) for one in judged.findings] == [("rolled-back", "none")]


# --- damage


def test_no_byte_of_a_capsule_can_be_changed() -> None:
    """Every one of its payload, one after the other: refused, and never as anything else."""
    sealed = json.loads(Made().capsule)
    payload = base64.b64decode(sealed["payload"])
    accepted = by_pins()
    for at in range(0, len(payload), 37):
        data = bytearray(payload)
        data[at] ^= 1
        changed = {**sealed, "payload": base64.b64encode(bytes(data)).decode()}
        with pytest.raises(ContentError):
            evidence_verify.verify(json.dumps(changed).encode(), accepted, Demands(), now=MADE)


def test_cut_anywhere() -> None:
    data = Made().capsule
    for size in range(0, len(data), 97):
        with pytest.raises(ContentError):
            evidence_verify.verify(data[:size], by_pins(), Demands(), now=MADE)
