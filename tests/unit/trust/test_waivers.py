# SPDX-License-Identifier: Apache-2.0
"""A waiver counts for what it names and for nothing else, by whose signature it takes."""

import hashlib
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tests.ostree_world import refused
from tests.world import EXPIRES, ISSUED, OTHER, THIRD, VENDOR, Signer, envelope
from verity.formats import waiver
from verity.formats.grants import Party, Role
from verity.formats.waiver import Waiver
from verity.trust.revocations import Revocations
from verity.trust.trusted import TrustedKey, TrustedSet
from verity.trust.waivers import VerifiedWaiver, verify_waiver
from verity.values.errors import CallerError, ContentError

HOST, DIGEST = "ab" * 32, b"\x01" * 32
WAIVER = Waiver(
    host=HOST,
    check="mode",
    path=b"/usr/bin/old",
    digest=DIGEST,
    reason="ticket 4711",
    issued=ISSUED,
    expires=EXPIRES,
)
FOUND: dict[str, Any] = {
    "host": HOST,
    "check": "mode",
    "path": b"/usr/bin/old",
    "digest": DIGEST,
    "now": ISSUED,
}


def policy_keys(*owners: tuple[str, Signer], **changes: Any) -> TrustedSet:
    made = TrustedSet(
        party=Party.USER,
        role=Role.POLICY,
        keys=tuple(TrustedKey(key=signer.public, owner=owner) for owner, signer in owners),
        threshold=1,
    )
    return replace(made, **changes)


def signed(*signers: Signer, value: Waiver = WAIVER, **more: Any) -> bytes:
    return envelope(waiver.encode(value), *signers, payload_type=waiver.PAYLOAD_TYPE, **more)


def verified(value: Waiver = WAIVER) -> VerifiedWaiver:
    return verify_waiver(signed(VENDOR, value=value), policy_keys(("ann", VENDOR)))


def test_it_covers_what_it_names() -> None:
    assert verified().covers(**FOUND)
    assert verified(replace(WAIVER, host="*")).covers(**{**FOUND, "host": "cd" * 32})


OTHERS: dict[str, Any] = {
    "host": "cd" * 32,
    "check": "owner",
    "path": b"/usr/bin/old2",
    "digest": b"\x02" * 32,
    "now": EXPIRES,
}


@pytest.mark.parametrize("name", OTHERS)
def test_it_covers_nothing_else(name: str) -> None:
    assert not verified().covers(**{**FOUND, name: OTHERS[name]})
    assert verified().covers(**{**FOUND, "now": EXPIRES - 1})


def test_two_owners() -> None:
    keys = policy_keys(("ann", VENDOR), ("bob", OTHER), threshold=2)
    found = verify_waiver(signed(VENDOR, OTHER), keys)
    assert sorted(found.signers) == ["ann", "bob"]
    for signers in ((VENDOR,), (VENDOR, THIRD), (VENDOR, VENDOR)):
        data = signed(*signers)
        error = refused(ContentError, "bad-signature", partial(verify_waiver, data, keys))
        assert "waiver: signed by 1 of the trusted owners, 2 needed" in error.message


def test_two_keys_of_one_owner_count_once() -> None:
    keys = policy_keys(("ann", VENDOR), ("ann", OTHER), ("bob", THIRD), threshold=2)
    refused(ContentError, "bad-signature", lambda: verify_waiver(signed(VENDOR, OTHER), keys))


@pytest.mark.parametrize(
    "changes",
    [{"role": Role.ETC}, {"role": Role.ROOT}, {"party": Party.VENDOR, "role": Role.POLICY}],
)
def test_keys_of_another_role(changes: dict[str, Any]) -> None:
    keys = policy_keys(("ann", VENDOR), **changes)
    refused(CallerError, "wrong-role", lambda: verify_waiver(signed(VENDOR), keys))


def test_another_type_with_the_same_bytes() -> None:
    data = envelope(waiver.encode(WAIVER), VENDOR)
    error = refused(
        ContentError, "bad-document", lambda: verify_waiver(data, policy_keys(("ann", VENDOR)))
    )
    assert "waiver: the payload type is 'application/vnd.in-toto+json'" in error.message


REVOKED = {
    "the file": (Revocations(digests=frozenset({DIGEST})), "revoked-digest"),
    "the waiver": (
        Revocations(digests=frozenset({hashlib.sha256(waiver.encode(WAIVER)).digest()})),
        "revoked-digest",
    ),
    "the key": (Revocations(keys=frozenset({VENDOR.public.key_id})), "bad-signature"),
}


@pytest.mark.parametrize("name", REVOKED)
def test_revoked(name: str) -> None:
    revocations, code = REVOKED[name]
    keys = policy_keys(("ann", VENDOR), revocations=revocations)
    refused(ContentError, code, lambda: verify_waiver(signed(VENDOR), keys))


def test_a_key_that_was_not_valid_when_it_was_issued() -> None:
    late = TrustedKey(key=VENDOR.public, owner="ann", valid_from=ISSUED + 1)
    keys = policy_keys(("ann", VENDOR), keys=(late,))
    error = refused(ContentError, "bad-signature", lambda: verify_waiver(signed(VENDOR), keys))
    assert "valid from" in error.message


def test_a_malformed_signature_hides_no_good_one() -> None:
    data = signed(VENDOR, extra=({"keyid": "", "sig": "?"},))
    found = verify_waiver(data, policy_keys(("ann", VENDOR)))
    assert found.skipped == ("signature 1 of the waiver: malformed base64",)


def test_nobody_builds_one_by_hand() -> None:
    with pytest.raises(TypeError, match="made by verifying"):
        VerifiedWaiver(waiver=WAIVER, signers={}, skipped=(), proof=None)
    with pytest.raises((TypeError, ValueError)):
        replace(verified(), skipped=())  # type: ignore[call-arg]  # that is what is refused


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reason": "a\udcff"}, "the reason is not one line"),
        ({"reason": ""}, "the reason is not one line"),
        ({"path": b"etc/motd"}, "is not absolute"),
        ({"path": b"/etc/\0"}, "is not absolute"),
        ({"digest": b"\x01"}, "has 32 bytes"),
        ({"host": ""}, "neither 64"),
        ({"check": "a b"}, "the check"),
        ({"expires": ISSUED}, "does not expire after"),
        ({"expires": 2**60}, "seconds are not between"),
    ],
)
def test_what_is_not_readable_is_not_written(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ContentError) as caught:
        waiver.encode(replace(WAIVER, **changes))
    assert words in caught.value.message
