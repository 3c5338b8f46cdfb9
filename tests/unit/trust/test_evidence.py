# SPDX-License-Identifier: Apache-2.0
"""A capsule counts by the role evidence, and only for the request that it was made for."""

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tests.evidence_world import (
    GOOD,
    HEAD,
    HOST,
    HOST_KEY,
    MADE,
    NONCE,
    STRANGERS,
    Made,
    by_key,
    sealed,
)
from tests.ostree_world import refused
from tests.world import OTHER, THIRD, envelope
from verity.formats import evidence, waiver
from verity.formats.grants import Role
from verity.trust.clock import RELEASED
from verity.trust.evidence import Demands, VerifiedEvidence, hold, payload_of, verify_evidence
from verity.trust.revocations import Revocations
from verity.trust.trusted import TrustedKey
from verity.values.errors import CallerError, ContentError


def test_by_the_key_that_is_named() -> None:
    found = Made().verified
    assert found.evidence == Made().evidence
    assert found.digest == evidence.digest(Made().payload)
    assert list(found.signers.values()) == [HOST_KEY.public]


def test_one_role_of_several_is_enough_and_a_stranger_beside_it_harms_nothing() -> None:
    capsule = sealed(Made().payload, OTHER, HOST_KEY)
    found = verify_evidence(capsule, [by_key(THIRD), by_key(HOST_KEY)])
    assert list(found.signers.values()) == [HOST_KEY.public]


def test_as_many_owners_as_the_role_says() -> None:
    two = replace(by_key(HOST_KEY, OTHER), threshold=2)
    assert len(verify_evidence(Made(signers=(HOST_KEY, OTHER)).capsule, [two]).signers) == 2
    error = refused(ContentError, "bad-signature", lambda: verify_evidence(Made().capsule, [two]))
    assert "signed by 1 of the trusted owners, 2 needed" in error.message


def altered(payload: bytes) -> bytes:
    """The payload of a capsule replaced, its signature left as it was."""
    fields = json.loads(Made().capsule)
    changed = json.loads(sealed(payload, HOST_KEY))
    return json.dumps({**changed, "signatures": fields["signatures"]}).encode()


CUT = Made().capsule
BAD: dict[str, tuple[str, bytes]] = {
    "altered": ("bad-signature", altered(Made(audit=replace(GOOD, state="0" * 64)).payload)),
    "by a stranger": ("bad-signature", Made(signers=STRANGERS).capsule),
    "truncated": ("bad-document", CUT[: len(CUT) // 2]),
    "empty": ("bad-document", b""),
    "a waiver": (
        "bad-document",
        envelope(Made().payload, HOST_KEY, payload_type=waiver.PAYLOAD_TYPE),
    ),
    "signed nonsense": ("bad-document", sealed(b"{}", HOST_KEY)),
    "another spelling": ("bad-document", sealed(Made().payload + b" ", HOST_KEY)),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str) -> None:
    code, data = BAD[name]
    refused(ContentError, code, lambda: verify_evidence(data, [by_key()]))


def test_a_signature_is_judged_before_what_it_is_over_is_read() -> None:
    refused(
        ContentError, "bad-signature", lambda: verify_evidence(sealed(b"{}", OTHER), [by_key()])
    )


def test_a_revoked_key_and_a_revoked_capsule() -> None:
    key = replace(by_key(), revocations=Revocations(keys=frozenset({HOST_KEY.public.key_id})))
    error = refused(ContentError, "bad-signature", lambda: verify_evidence(Made().capsule, [key]))
    assert "revoked" in error.message
    digest = evidence.digest(Made().payload)
    capsule = replace(by_key(), revocations=Revocations(digests=frozenset({digest})))
    refused(ContentError, "revoked-digest", lambda: verify_evidence(Made().capsule, [capsule]))


def test_a_key_that_was_not_valid_then() -> None:
    late = TrustedKey(key=HOST_KEY.public, owner="web-1", valid_from=MADE + 1)
    keys = replace(by_key(), keys=(late,))
    error = refused(ContentError, "bad-signature", lambda: verify_evidence(Made().capsule, [keys]))
    assert "valid from" in error.message
    in_time = replace(keys, keys=(replace(late, valid_from=MADE),))
    assert verify_evidence(Made().capsule, [in_time]).signers


def test_keys_of_another_role_and_no_keys() -> None:
    for accepted in ([], [replace(by_key(), role=Role.POLICY)]):
        with pytest.raises(CallerError, match="role evidence") as caught:
            verify_evidence(Made().capsule, accepted)
        assert caught.value.code == "bad-trust"


def test_nobody_makes_one_by_hand() -> None:
    found = Made().verified
    with pytest.raises(TypeError):
        VerifiedEvidence(
            evidence=found.evidence, digest=b"", signers={}, skipped=(), proof=object()
        )


def test_the_keyrings_are_found_before_anybody_verified() -> None:
    assert payload_of(Made(signers=STRANGERS).capsule) == Made().payload


# --- the one that was asked for


FIRST = Made(changes={"issued": MADE - 100}).verified
SECOND = Made(changes={"previous": FIRST.digest}).verified
OTHER_HOST = Made(
    audit=replace(GOOD, head=replace(HEAD, host_id="ab" * 32)),
    changes={"previous": FIRST.digest},
).verified
EARLIER = Made(changes={"previous": FIRST.digest, "issued": MADE - 101}).verified


@pytest.mark.parametrize(
    "demands",
    [
        Demands(),
        Demands(nonce=NONCE, host=HOST, max_age=60, previous=FIRST),
    ],
)
def test_what_was_asked_for(demands: Demands) -> None:
    hold(SECOND, demands, MADE + 60)


@pytest.mark.parametrize(
    ("code", "found", "demands"),
    [
        ("wrong-nonce", SECOND, Demands(nonce=NONCE[:-1] + b"\0")),
        ("wrong-nonce", Made(changes={"nonce": b""}).verified, Demands(nonce=NONCE)),
        ("wrong-host", SECOND, Demands(host="ab" * 32)),
        ("too-old", SECOND, Demands(max_age=59)),
        ("wrong-previous", FIRST, Demands(previous=SECOND)),
        ("wrong-previous", Made().verified, Demands(previous=FIRST)),
        ("wrong-previous", OTHER_HOST, Demands(previous=FIRST)),
        ("wrong-previous", EARLIER, Demands(previous=FIRST)),
    ],
    ids=[
        *("nonce", "no nonce", "host", "age", "previous", "no previous"),
        *("previous of another host", "earlier than the previous"),
    ],
)
def test_not_what_was_asked_for(code: str, found: VerifiedEvidence, demands: Demands) -> None:
    refused(ContentError, code, lambda: hold(found, demands, MADE + 60))


def test_made_ahead_of_the_clock() -> None:
    now = RELEASED + 10
    ahead = Made(changes={"issued": now + 86401}).verified
    refused(ContentError, "issued-ahead", lambda: hold(ahead, Demands(), now))
    in_time: Any = partial(hold, Made(changes={"issued": now + 86400}).verified, Demands(), now)
    assert in_time() is None
    with pytest.raises(ContentError):
        hold(ahead, Demands(nonce=NONCE), now)
