# SPDX-License-Identifier: Apache-2.0
"""The chain of keyrings from the pin: one thing changed, one right refusal."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.world import (
    EXPIRES,
    FIRST_KEYRING,
    ISSUED,
    OTHER,
    ROOT,
    ROOT2,
    ROOT3,
    THIRD,
    VENDOR,
    Signer,
    World,
    envelope,
    keyring_envelope,
    keyring_of,
)
from verity.formats import kernel_keys, keyring
from verity.formats.grants import Party, Role
from verity.formats.kernel_keys import Pin, sorted_keys
from verity.formats.keyring import Keyring, Revoked
from verity.trust.clock import RELEASED
from verity.trust.keyring import PinPrint, VerifiedKeyring, check_parties, pin_of, verify_chain
from verity.trust.revocations import Revocations
from verity.trust.verified import verify_grants, verify_manifest, verify_statement
from verity.values.errors import ContentError

PIN = pin_of(FIRST_KEYRING)
V1 = keyring_envelope(FIRST_KEYRING, ROOT)


def second(**changes: Any) -> Keyring:
    """Version 2: the root key is replaced by another one."""
    base = keyring_of((Role.ROOT, "root", ROOT2), (Role.OS, "vendor", VENDOR), version=2)
    return replace(base, **changes)


V2 = keyring_envelope(second(), ROOT, ROOT2)
V3 = keyring_envelope(
    keyring_of((Role.ROOT, "root", ROOT3), (Role.OS, "vendor", OTHER), version=3), ROOT2, ROOT3
)


def refused(code: str, versions: Sequence[bytes], pin: Pin | PinPrint = PIN) -> str:
    with pytest.raises(ContentError) as caught:
        verify_chain(versions, pin)
    assert caught.value.code == code
    return caught.value.message


def test_one_version() -> None:
    found = verify_chain([V1], PIN)
    assert (found.keyring, found.first, set(found.signers)) == (FIRST_KEYRING, 1, {"root"})
    assert found.payload == keyring.encode(FIRST_KEYRING)


def test_the_pin_that_lockdown_makes_of_the_same_root_keys() -> None:
    keys = sorted_keys({Role.ROOT: {"whoever": [ROOT.public.spki]}})
    assert PIN == Pin(party=Party.VENDOR, threshold=1, keys=keys)


def test_a_fingerprint_is_as_good_as_the_pin() -> None:
    prints = PinPrint(
        party=Party.VENDOR, fingerprint=kernel_keys.fingerprint(kernel_keys.encode_pin(PIN))
    )
    assert verify_chain([V1, V2], prints).keyring.version == 2


def test_an_old_host_walks_every_rotation() -> None:
    found = verify_chain([V1, V2, V3], PIN)
    assert (found.keyring.version, found.first) == (3, 1)
    assert [key.key_id for key in found.keyring.of_role(Role.OS)] == [OTHER.public.key_id]


def test_a_pin_of_later_roots_starts_there() -> None:
    later = pin_of(second())
    assert verify_chain([V2, V3], later).first == 2
    # What is before needs no good signature and gives nothing.
    assert verify_chain([keyring_envelope(FIRST_KEYRING, OTHER), V2, V3], later).first == 2
    # From the pin on, it does.
    assert "root owners of version 3" in refused("bad-signature", [V2, _third(ROOT2)], later)


def _third(*signers: Signer) -> bytes:
    value = keyring_of((Role.ROOT, "root", ROOT3), (Role.OS, "vendor", OTHER), version=3)
    return keyring_envelope(value, *signers)


def test_no_version() -> None:
    refused("no-keyring", [])


def test_a_version_skipped() -> None:
    assert "version 3 follows version 1, expected version 2" in refused("bad-chain", [V1, V3])


def test_a_version_twice() -> None:
    refused("bad-chain", [V1, V1])


def test_two_different_versions_of_one_number() -> None:
    other = keyring_envelope(second(issued=ISSUED + 1), ROOT, ROOT2)
    assert "two different versions 2" in refused("bad-chain", [V1, V2, other])


def test_versions_out_of_order() -> None:
    refused("bad-chain", [V2, V1])


def test_version_1_by_a_foreign_key() -> None:
    refused("bad-signature", [keyring_envelope(FIRST_KEYRING, OTHER)])


def test_version_1_by_a_key_of_another_role() -> None:
    refused("bad-signature", [keyring_envelope(FIRST_KEYRING, VENDOR)])


def test_swapped_roles() -> None:
    swapped = keyring_of((Role.ROOT, "root", VENDOR), (Role.OS, "vendor", ROOT))
    refused("wrong-pin", [keyring_envelope(swapped, ROOT, VENDOR)])
    after = keyring_envelope(replace(swapped, version=2), ROOT)
    assert "root owners of version 2" in refused("bad-signature", [V1, after])


def test_signed_only_by_the_old_root() -> None:
    message = refused("bad-signature", [V1, keyring_envelope(second(), ROOT)])
    assert "version 2: signed by 0 root owners of version 2, 1 needed" in message


def test_signed_only_by_the_new_root() -> None:
    message = refused("bad-signature", [V1, keyring_envelope(second(), ROOT2)])
    assert "version 2: signed by 0 root owners of version 1, 1 needed" in message


def test_another_pin() -> None:
    other = pin_of(second())
    message = refused("wrong-pin", [V1], other)
    assert PinPrint.of(other).fingerprint in message
    assert PinPrint.of(PIN).fingerprint in message


def test_a_pin_with_another_threshold_is_another_pin() -> None:
    two = keyring_of((Role.ROOT, "a", ROOT), (Role.ROOT, "b", ROOT2), (Role.OS, "v", VENDOR))
    strict = replace(pin_of(two), threshold=2)
    refused("wrong-pin", [keyring_envelope(two, ROOT, ROOT2)], strict)


def test_another_party() -> None:
    user = keyring_of((Role.ROOT, "root", ROOT), (Role.ETC, "ann", VENDOR), party=Party.USER)
    data = keyring_envelope(user, ROOT)
    assert "of the user, the pin is of the vendor" in refused("wrong-party", [data])
    refused("wrong-party", [V1, keyring_envelope(replace(user, version=2), ROOT)])
    assert verify_chain([data], pin_of(user)).keyring == user


ROOTS = ((Role.ROOT, "ann", ROOT), (Role.ROOT, "bob", ROOT2), (Role.ROOT, "ann", ROOT3))
TWO = keyring_of(*ROOTS, (Role.OS, "vendor", VENDOR), thresholds={Role.ROOT: 2})


def test_a_root_threshold_of_two() -> None:
    pin = pin_of(TWO)
    assert set(verify_chain([keyring_envelope(TWO, ROOT, ROOT2)], pin).signers) == {"ann", "bob"}
    refused("bad-signature", [keyring_envelope(TWO, ROOT)], pin)


def test_one_owner_with_two_keys_against_a_threshold_of_two() -> None:
    pin = pin_of(TWO)
    message = refused("bad-signature", [keyring_envelope(TWO, ROOT, ROOT3)], pin)
    assert "signed by 1 root owners of version 1, 2 needed" in message
    refused("bad-signature", [keyring_envelope(TWO, ROOT, ROOT)], pin)


def test_a_signature_by_no_root_key_is_skipped_and_reported() -> None:
    found = verify_chain([V1, keyring_envelope(second(), THIRD, ROOT, ROOT2)], PIN)
    assert found.keyring.version == 2
    assert found.skipped == ("signature 1 of keyring version 2: by no root key",)


def test_a_malformed_signature_in_front_is_skipped_and_reported() -> None:
    bad = ({"keyid": "x", "sig": "***"},)
    data = envelope(
        keyring.encode(FIRST_KEYRING), ROOT, payload_type=keyring.PAYLOAD_TYPE, extra=bad
    )
    found = verify_chain([data], PIN)
    assert found.skipped == ("signature 1 of keyring version 1: malformed base64",)


def test_a_statement_is_no_keyring() -> None:
    assert "the payload type is" in refused("bad-document", [World().envelope])


def test_the_signature_is_over_the_payload_type_too() -> None:
    other = envelope(keyring.encode(FIRST_KEYRING), ROOT, payload_type="application/vnd.verity.x")
    kind = keyring.PAYLOAD_TYPE.encode()
    refused("bad-signature", [other.replace(b"application/vnd.verity.x", kind)])


def test_a_key_off_its_curve() -> None:
    off = bytearray(VENDOR.public.spki)
    off[-1] ^= 1
    (root,) = (key for key in FIRST_KEYRING.keys if key.owner == "root")
    bad = keyring.KeyringKey(spki=bytes(off), owner="vendor")
    rules = dict(FIRST_KEYRING.roles)
    rules[Role.OS] = replace(rules[Role.OS], keys=(bad.key_id,))
    keys = tuple(sorted((root, bad), key=lambda key: key.key_id))
    value = replace(FIRST_KEYRING, keys=keys, roles=rules)
    refused("bad-key", [keyring_envelope(value, ROOT)])


def test_expiry_is_told_and_refuses_no_chain() -> None:
    long_ago = keyring_envelope(replace(FIRST_KEYRING, issued=1, expires=2), ROOT)
    found = verify_chain([long_ago, V2], PIN)
    assert not found.expired(EXPIRES - 1)
    assert found.expired(EXPIRES)
    assert verify_chain([long_ago], PIN).expired(2)


def test_a_clock_set_back_does_not_revive_an_expired_keyring() -> None:
    late = replace(FIRST_KEYRING, issued=EXPIRES - 1, expires=EXPIRES)
    found = verify_chain([keyring_envelope(late, ROOT)], PIN)
    assert found.reference_time(0) == EXPIRES - 1
    assert not found.expired(0)
    assert verify_chain([keyring_envelope(replace(late, issued=1, expires=2), ROOT)], PIN).expired(
        0
    )


def test_a_time_ahead_is_taken_back_by_the_next_version() -> None:
    far = EXPIRES + 10**9
    ahead = keyring_envelope(replace(FIRST_KEYRING, issued=far, expires=far + 1), ROOT)
    assert verify_chain([ahead], PIN).reference_time(0) == far
    assert verify_chain([ahead], PIN).reference_time(EXPIRES) == EXPIRES
    found = verify_chain([ahead, V2], PIN)
    assert found.reference_time(0) == RELEASED
    assert not found.expired(0)


def test_none_is_made_by_hand() -> None:
    found = verify_chain([V1], PIN)
    with pytest.raises(TypeError, match="by verifying"):
        VerifiedKeyring(**{**vars(found), "proof": object()})
    with pytest.raises(ValueError, match="proof"):
        replace(found, keyring=second())  # type: ignore[call-arg]  # that is the point


def test_a_key_of_both_parties() -> None:
    user = keyring_of((Role.ROOT, "root", ROOT3), (Role.ETC, "ann", VENDOR), party=Party.USER)
    with pytest.raises(ContentError, match="both parties") as caught:
        check_parties([FIRST_KEYRING, user])
    assert caught.value.code == "key-twice"
    check_parties([FIRST_KEYRING, second()])


# --- what a keyring trusts, and revokes


def verified(value: Keyring, *roots: Signer) -> VerifiedKeyring:
    return verify_chain([keyring_envelope(value, *(roots or (ROOT,)))], pin_of(value))


def statement_refused(code: str, world: World, value: Keyring) -> str:
    with pytest.raises(ContentError) as caught:
        verify_statement([world.envelope], verified(value).trusted(Role.OS))
    assert caught.value.code == code
    return caught.value.message


def test_the_whole_chain_under_a_keyring() -> None:
    world = World()
    trusted = verified(FIRST_KEYRING).trusted(Role.OS, "os")
    source = verify_statement([world.envelope], trusted)
    manifest = verify_manifest(world.manifest, source)
    assert verify_grants(world.grants, world.grants_signatures, manifest, trusted).signers


def test_a_role_that_is_not_there() -> None:
    with pytest.raises(ContentError, match="it has no role etc") as caught:
        verified(FIRST_KEYRING).trusted(Role.ETC)
    assert caught.value.code == "no-role"


def test_a_key_of_another_role() -> None:
    statement_refused("bad-signature", World(signers=(ROOT,)), FIRST_KEYRING)


def test_streams() -> None:
    value = keyring_of(
        (Role.ROOT, "root", ROOT), (Role.OS, "vendor", VENDOR), streams=("debian-*", "os2")
    )
    assert "of the stream os, these keys sign in debian-*, os2" in statement_refused(
        "wrong-stream", World(), value
    )
    with pytest.raises(ContentError, match="not in os") as caught:
        verified(value).trusted(Role.OS, "os")
    assert caught.value.code == "wrong-stream"
    world = World(statement_changes={"stream": "debian-trixie"})
    one = verified(value).trusted(Role.OS, "debian-forky")
    with pytest.raises(ContentError, match="sign in debian-forky"):
        verify_statement([world.envelope], one)
    good = verify_statement([world.envelope], verified(value).trusted(Role.OS, "debian-trixie"))
    assert good.statement.stream == "debian-trixie"


def windows(*, valid_from: int | None = None, valid_until: int | None = None) -> Keyring:
    keys = tuple(
        replace(key, valid_from=valid_from, valid_until=valid_until)
        if key.owner == "vendor"
        else key
        for key in FIRST_KEYRING.keys
    )
    return replace(FIRST_KEYRING, keys=keys)


def test_an_expired_key() -> None:
    message = statement_refused("bad-signature", World(), windows(valid_until=ISSUED))
    assert f"signature by key {VENDOR.public.key_id}: valid until" in message


def test_a_key_that_is_not_valid_yet() -> None:
    message = statement_refused("bad-signature", World(), windows(valid_from=ISSUED + 1))
    assert f"signature by key {VENDOR.public.key_id}: valid from" in message


def test_a_key_within_its_time() -> None:
    trusted = verified(windows(valid_from=ISSUED, valid_until=ISSUED + 1)).trusted(Role.OS)
    world = World()
    source = verify_statement([world.envelope], trusted)
    manifest = verify_manifest(world.manifest, source)
    assert verify_grants(world.grants, world.grants_signatures, manifest, trusted).signers


def test_an_overlap_counts_the_key_that_was_valid() -> None:
    value = keyring_of(
        (Role.ROOT, "root", ROOT), (Role.OS, "vendor", VENDOR), (Role.OS, "vendor", OTHER)
    )
    until = {VENDOR.public.key_id: ISSUED}
    keys = tuple(replace(key, valid_until=until.get(key.key_id)) for key in value.keys)
    trusted = verified(replace(value, keys=keys)).trusted(Role.OS)
    for signers in ((VENDOR, OTHER), (OTHER, VENDOR)):
        world = World(signers=signers)
        found = verify_statement([world.envelope], trusted)
        assert found.signers == {"vendor": OTHER.public}


REVOKED_DIGEST = World().entries[1].digest or b""


def revoking(**what: Any) -> Revocations:
    return Revocations(**what)


def test_a_signature_by_a_revoked_key_does_not_count_and_is_told() -> None:
    two = keyring_of((Role.ROOT, "root", ROOT), (Role.OS, "a", VENDOR), (Role.OS, "b", THIRD))
    also = revoking(keys=frozenset({VENDOR.public.key_id}))
    trusted = verified(two).trusted(Role.OS, also=also)
    with pytest.raises(ContentError, match=f"{VENDOR.public.key_id}: revoked") as caught:
        verify_statement([World().envelope], trusted)
    assert caught.value.code == "bad-signature"
    found = verify_statement([World(signers=(VENDOR, THIRD)).envelope], trusted)
    assert set(found.signers) == {"b"}
    assert found.skipped == (f"signature by key {VENDOR.public.key_id}: revoked",)


@pytest.mark.parametrize("revoked", ["pinned", "later"])
def test_a_root_that_another_party_revoked_carries_no_version(revoked: str) -> None:
    rotated = replace(
        keyring_of((Role.ROOT, "root", OTHER), (Role.OS, "vendor", VENDOR)), version=2
    )
    versions = [keyring_envelope(FIRST_KEYRING, ROOT), keyring_envelope(rotated, ROOT, OTHER)]
    assert verify_chain(versions, PIN).keyring.version == 2
    key = {"pinned": ROOT, "later": OTHER}[revoked].public
    with pytest.raises(ContentError, match=f"{key.key_id}: revoked") as caught:
        verify_chain(versions, PIN, revoked=frozenset({key.key_id}))
    assert caught.value.code == "bad-signature"
    # The way out: the pin of the new roots, for which the old ones are not asked.
    later = pin_of(rotated)
    found = verify_chain(versions, later, revoked=frozenset({ROOT.public.key_id}))
    assert found.first == 2


def test_a_revoked_key_of_an_owner_hides_no_good_one() -> None:
    two = keyring_of((Role.ROOT, "root", ROOT), (Role.OS, "a", VENDOR), (Role.OS, "a", THIRD))
    trusted = verified(two).trusted(Role.OS, also=revoking(keys=frozenset({VENDOR.public.key_id})))
    for signers in ((VENDOR, THIRD), (THIRD, VENDOR)):
        found = verify_statement([World(signers=signers).envelope], trusted)
        assert found.signers == {"a": THIRD.public}


def test_grants_by_a_revoked_key() -> None:
    two = keyring_of((Role.ROOT, "root", ROOT), (Role.OS, "a", VENDOR), (Role.OS, "b", THIRD))
    trusted = verified(two).trusted(Role.OS, also=revoking(keys=frozenset({VENDOR.public.key_id})))
    world = World(signers=(THIRD,), grants_signers=(VENDOR,))
    manifest = verify_manifest(world.manifest, verify_statement([world.envelope], trusted))
    with pytest.raises(ContentError, match=f"{VENDOR.public.key_id}: revoked") as caught:
        verify_grants(world.grants, world.grants_signatures, manifest, trusted)
    assert caught.value.code == "bad-signature"


def test_grants_by_a_key_out_of_its_time() -> None:
    value = keyring_of((Role.ROOT, "root", ROOT), (Role.OS, "a", VENDOR), (Role.OS, "b", THIRD))
    until = {VENDOR.public.key_id: ISSUED}
    keys = tuple(replace(key, valid_until=until.get(key.key_id)) for key in value.keys)
    trusted = verified(replace(value, keys=keys)).trusted(Role.OS)
    world = World(signers=(THIRD,), grants_signers=(VENDOR,))
    manifest = verify_manifest(world.manifest, verify_statement([world.envelope], trusted))
    with pytest.raises(ContentError, match="valid until"):
        verify_grants(world.grants, world.grants_signatures, manifest, trusted)


@pytest.mark.parametrize(("floor", "good"), [(5, True), (6, False)])
def test_a_revoked_serial(floor: int, good: bool) -> None:
    value = replace(FIRST_KEYRING, revoked=Revoked(serials={"os": floor}))
    if good:
        found = verify_statement([World().envelope], verified(value).trusted(Role.OS))
        assert found.statement.serial == floor
        return
    message = statement_refused("revoked-serial", World(), value)
    assert "serial 5 of the stream os is revoked, the lowest that counts is 6" in message


def test_the_serials_of_another_stream_are_not_meant() -> None:
    value = replace(FIRST_KEYRING, revoked=Revoked(serials={"os": 6}))
    rules = dict(value.roles)
    rules[Role.OS] = replace(rules[Role.OS], streams=("*",))
    world = World(statement_changes={"stream": "os2"})
    trusted = verified(replace(value, roles=rules)).trusted(Role.OS)
    assert verify_statement([world.envelope], trusted).statement.serial == 5


@pytest.mark.parametrize("subject", ["boot", "commit", "grants", "manifest"])
def test_a_revoked_subject(subject: str) -> None:
    world = World()
    trusted = verified(FIRST_KEYRING).trusted(Role.OS)
    digest = verify_statement([world.envelope], trusted).statement.subjects[subject]
    value = replace(FIRST_KEYRING, revoked=Revoked(digests=(digest,)))
    assert f"its subject {subject} has the digest {digest.hex()}" in statement_refused(
        "revoked-digest", world, value
    )


def test_a_revoked_file_in_the_manifest() -> None:
    value = replace(FIRST_KEYRING, revoked=Revoked(digests=(REVOKED_DIGEST,)))
    world = World()
    source = verify_statement([world.envelope], verified(value).trusted(Role.OS))
    with pytest.raises(ContentError, match="manifest: the file /tool has the digest") as caught:
        verify_manifest(world.manifest, source)
    assert caught.value.code == "revoked-digest"


def test_a_revoked_file_that_only_the_grants_name() -> None:
    world = World(entries=World().entries[:1])
    trusted = verified(FIRST_KEYRING).trusted(
        Role.OS, also=revoking(digests=frozenset({REVOKED_DIGEST}))
    )
    manifest = verify_manifest(world.manifest, verify_statement([world.envelope], trusted))
    with pytest.raises(ContentError, match="grants: an entry has the digest") as caught:
        verify_grants(world.grants, world.grants_signatures, manifest, trusted)
    assert caught.value.code == "revoked-digest"


def test_revocations_add_up() -> None:
    one = revoking(keys=frozenset({"a"}), serials={"os": 3, "x": 2})
    two = revoking(keys=frozenset({"b"}), digests=frozenset({b"d"}), serials={"os": 2, "y": 9})
    assert one | two == revoking(
        keys=frozenset({"a", "b"}),
        digests=frozenset({b"d"}),
        serials={"os": 3, "x": 2, "y": 9},
    )
