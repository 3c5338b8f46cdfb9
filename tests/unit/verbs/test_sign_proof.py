# SPDX-License-Identifier: Apache-2.0
"""From signatures to documents: only by keys of the party and role that sign this."""

from tests.bundles import BundleWorld
from tests.ostree_world import refused
from tests.world import OTHER, THIRD, VENDOR, trusted
from verity.formats import sign_payloads
from verity.formats.grants import Role
from verity.formats.sign_payloads import Opened
from verity.values.errors import CallerError, ContentError
from verity.verbs.sign_proof import prove


def opened() -> Opened:
    bundle = BundleWorld().bundle(VENDOR, OTHER)
    return Opened(bundle=bundle, said=sign_payloads.read(bundle))


def test_two_owners() -> None:
    proven = prove(opened(), trusted(("ann", VENDOR), ("bob", OTHER), threshold=2))
    assert sorted(proven.key_ids) == sorted((VENDOR.public.key_id, OTHER.public.key_id))
    assert proven.left_out == ()


def test_two_keys_of_one_owner_count_once() -> None:
    keys = trusted(("ann", VENDOR), ("ann", OTHER), ("bob", THIRD), threshold=2)
    error = refused(ContentError, "too-few-signatures", lambda: prove(opened(), keys))
    assert error.message == "sign bundle: 1 of 2 owners have signed"


def test_nobody_has_signed() -> None:
    bundle = BundleWorld().bundle()
    nothing = Opened(bundle=bundle, said=sign_payloads.read(bundle))
    keys = trusted(("ann", VENDOR), ("bob", OTHER), threshold=2)
    error = refused(ContentError, "too-few-signatures", lambda: prove(nothing, keys))
    assert error.message == "sign bundle: 0 of 2 owners have signed"


def test_keys_of_another_role() -> None:
    keys = trusted(("ann", VENDOR), role=Role.EXTENSION)
    error = refused(CallerError, "wrong-role", lambda: prove(opened(), keys))
    assert "signed by the vendor's role os, the keys given are of the vendor's role" in (
        error.message
    )


def test_no_key_that_counts() -> None:
    keys = trusted(("zoe", THIRD))
    error = refused(ContentError, "bad-signature", lambda: prove(opened(), keys))
    assert "none of its 2 signatures is by a key that counts" in error.message
