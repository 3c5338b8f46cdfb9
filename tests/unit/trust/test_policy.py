# SPDX-License-Identifier: Apache-2.0
"""Verifying a policy: each step refuses what it is there for."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.formats.test_policy_document import POLICY
from tests.world import EXPIRES, ISSUED, Signer, envelope
from verity.formats import kernel_policy, pkcs7, policy_document, policy_gate
from verity.formats.grants import Party, Role
from verity.trust.policy import VerifiedPolicy, verify_blob, verify_policy
from verity.trust.revocations import Revocations
from verity.trust.trusted import TrustedKey, TrustedSet
from verity.values.errors import CallerError, ContentError

ANN, BOB, EVE = Signer(21), Signer(22), Signer(23)
PAYLOAD = policy_document.encode(POLICY)


def keys(*owners: tuple[str, Signer], threshold: int = 1, **changes: Any) -> TrustedSet:
    made = TrustedSet(
        party=Party.USER,
        role=Role.POLICY,
        keys=tuple(TrustedKey(key=signer.public, owner=owner) for owner, signer in owners),
        threshold=threshold,
    )
    return replace(made, **changes)


ONE = keys(("ann", ANN))
BOTH = keys(("ann", ANN), ("bob", BOB), threshold=2)


def signed(*signers: Signer, payload: bytes = PAYLOAD) -> bytes:
    return envelope(payload, *signers, payload_type=policy_document.PAYLOAD_TYPE)


def test_verified() -> None:
    found = verify_policy(signed(ANN), ONE)
    assert found.policy == POLICY
    assert found.sha256 == hashlib.sha256(PAYLOAD).digest()
    assert set(found.signers) == {"ann"}
    assert not found.expired(EXPIRES - 1)
    assert found.expired(EXPIRES)
    assert set(verify_policy(signed(ANN, BOB), BOTH).signers) == {"ann", "bob"}


def windowed(*, valid_from: int | None = None, valid_until: int | None = None) -> TrustedSet:
    key = replace(ONE.keys[0], valid_from=valid_from, valid_until=valid_until)
    return replace(ONE, keys=(key,))


def altered(change: Callable[[Any], Any]) -> bytes:
    value = json.loads(signed(ANN))
    change(value)
    return json.dumps(value).encode()


LOOSER = PAYLOAD.replace(b'"class":"mutable"', b'"class":"ignored"')
REFUSED: dict[str, tuple[bytes, TrustedSet, str, str]] = {
    "a foreign key": (signed(EVE), ONE, "bad-signature", "signed by 0 of"),
    "short of the threshold": (signed(ANN, EVE), BOTH, "bad-signature", "signed by 1 of"),
    "one owner twice": (
        signed(ANN, BOB),
        keys(("ann", ANN), ("ann", BOB), ("eve", EVE), threshold=2),
        "bad-signature",
        "signed by 1 of",
    ),
    "altered": (
        altered(lambda v: v.update(payload=base64.b64encode(LOOSER).decode())),
        ONE,
        "bad-signature",
        "signed by 0 of",
    ),
    "another payload type": (
        envelope(PAYLOAD, ANN),
        ONE,
        "bad-document",
        "the payload type is 'application/vnd.in-toto+json'",
    ),
    "a revoked key": (
        signed(ANN),
        replace(ONE, revocations=Revocations(keys=frozenset({ANN.public.key_id}))),
        "bad-signature",
        "revoked",
    ),
    "a key that was not valid yet": (
        signed(ANN),
        windowed(valid_from=ISSUED + 1),
        "bad-signature",
        "valid from",
    ),
    "a key that was not valid any more": (
        signed(ANN),
        windowed(valid_until=ISSUED),
        "bad-signature",
        "valid until",
    ),
    "a revoked document": (
        signed(ANN),
        replace(
            ONE, revocations=Revocations(digests=frozenset({hashlib.sha256(PAYLOAD).digest()}))
        ),
        "revoked-digest",
        "policy: it has the digest",
    ),
    "signed nonsense": (signed(ANN, payload=b"{}"), ONE, "bad-document", "'lines' is missing"),
    "what the gate can't hold": (
        signed(ANN, payload=PAYLOAD.replace(b'"seconds":3600', b'"seconds":604801')),
        ONE,
        "bad-policy",
        "604801",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    data, trusted, code, reason = REFUSED[name]
    with pytest.raises(ContentError) as caught:
        verify_policy(data, trusted)
    assert (caught.value.code, reason in caught.value.message) == (code, True), caught.value


@pytest.mark.parametrize(
    "other", [{"role": Role.EXTENSION}, {"party": Party.VENDOR, "role": Role.OS}], ids=str
)
def test_keys_of_another_role_do_not_count(other: dict[str, Any]) -> None:
    with pytest.raises(CallerError, match="the user's role policy"):
        verify_policy(signed(ANN), replace(ONE, **other))


def test_a_malformed_signature_beside_a_good_one_is_told() -> None:
    data = altered(lambda v: v["signatures"].insert(0, {"sig": "?"}))
    assert verify_policy(data, ONE).skipped == ("signature 1 of the policy: malformed base64",)


def test_it_is_made_by_verifying_only() -> None:
    found = verify_policy(signed(ANN), ONE)
    with pytest.raises(TypeError):
        replace(found, proof=None)
    with pytest.raises(TypeError):
        VerifiedPolicy(policy=POLICY, sha256=b"", signers={}, skipped=(), proof=object())


# --- the gate's blob ----------------------------------------------------------------------------

BLOB = kernel_policy.encode(policy_gate.project(POLICY))


def by(signer: Signer, blob: bytes = BLOB) -> bytes:
    return pkcs7.encode(key_id=signer.public.key_id, signature=signer.sign(blob))


def test_the_blob_of_a_policy() -> None:
    verify_blob(BLOB, [by(ANN)], verify_policy(signed(ANN), ONE), ONE)


def test_the_blob_of_another_policy_is_refused() -> None:
    other = kernel_policy.encode(policy_gate.project(replace(POLICY, serial=5)))
    with pytest.raises(ContentError) as caught:
        verify_blob(other, [by(ANN, other)], verify_policy(signed(ANN), ONE), ONE)
    assert caught.value.code == "wrong-policy"


@pytest.mark.parametrize(
    "signatures",
    [[], [by(EVE)], [by(ANN, BLOB[:-1])]],
    ids=["nobody's", "a stranger's", "of other bytes"],
)
def test_a_blob_that_is_not_signed_is_refused(signatures: list[bytes]) -> None:
    with pytest.raises(ContentError) as caught:
        verify_blob(BLOB, signatures, verify_policy(signed(ANN), ONE), ONE)
    assert caught.value.code == "bad-signature"
