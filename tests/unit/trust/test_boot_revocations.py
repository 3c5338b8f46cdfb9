# SPDX-License-Identifier: Apache-2.0
"""Revocations in a boot bundle are judged as the gate will: what they end, and what they spare."""

from dataclasses import replace
from typing import Any

import pytest

from tests.boot import (
    EXTENSION,
    NOW,
    OS,
    POLICY,
    SECOND_ROOT,
    STRANGER,
    USER_KEYS,
    USER_ROOT,
    VENDOR_ROOT,
    Bundle,
    altered,
    caught,
    garbled,
    pin,
    revoked,
    signed,
    two_keys_of_one,
    user_keys,
    vendor_keys,
)
from tests.world import Signer
from verity.formats import revoke
from verity.formats.grants import Party, Role
from verity.formats.records import RecordKind
from verity.formats.revoke import StreamFloor
from verity.trust.boot_bundle import Labelled, check

ONE = b"\x01" * 32  # in the grants of tests.boot
ROOT_OF = {Party.VENDOR: VENDOR_ROOT, Party.USER: USER_ROOT}
FIVE_IS_GONE = {
    "streams": (StreamFloor(stream="os", lowest=6), StreamFloor(stream="tools", lowest=6))
}
OS_KEY = {"keys": (bytes.fromhex(OS.public.key_id),)}


def by_root(party: Party, **changes: object) -> Labelled:
    return revoked(party, Role.ROOT, ROOT_OF[party], **changes)


def test_revocations_that_spare_what_is_there() -> None:
    lists = [
        by_root(Party.VENDOR, digests=(ONE,), streams=(StreamFloor(stream="os", lowest=5),)),
        revoked(Party.VENDOR, Role.OS, OS, serial=9),
        by_root(Party.USER, keys=(bytes.fromhex(STRANGER.public.key_id),)),
    ]
    bundle = Bundle(revocations=lists)
    parts = [
        part
        for part in check(bundle.labelled, bundle.pins, now=NOW)
        if part.kind is RecordKind.REVOKE
    ]
    assert [(part.party, part.role, part.serial, part.expires) for part in parts] == [
        (Party.VENDOR, Role.ROOT, 2, None),
        (Party.VENDOR, Role.OS, 9, None),
        (Party.USER, Role.ROOT, 2, None),
    ]


HOLDS = {
    "the vendor's for the vendor": ([by_root(Party.VENDOR, **FIVE_IS_GONE)], "os.grants"),
    "the role's for itself": ([revoked(Party.VENDOR, Role.OS, OS, **FIVE_IS_GONE)], "os.grants"),
    "the user's for the vendor, too": ([by_root(Party.USER, **FIVE_IS_GONE)], "os.grants"),
    "a user's role's for itself alone": (
        [revoked(Party.USER, Role.EXTENSION, EXTENSION, **FIVE_IS_GONE)],
        "tools.grants",
    ),
}


@pytest.mark.parametrize("name", HOLDS)
def test_grants_with_a_revoked_serial(name: str) -> None:
    lists, label = HOLDS[name]
    error = caught(Bundle(revocations=lists))
    assert error.code == "revoked-serial"
    assert error.message.startswith(f"{label}: serial 5 of the stream ")


@pytest.mark.parametrize("party", Party)
def test_grants_by_a_revoked_key(party: Party) -> None:
    error = caught(Bundle(revocations=[by_root(party, **OS_KEY)]))
    assert error.code == "bad-signature"
    assert "os.grants: signed by 0" in error.message
    assert f"signature by key {OS.public.key_id}: revoked" in error.message


def test_a_users_role_revokes_nothing_of_the_vendors() -> None:
    bundle = Bundle(revocations=[revoked(Party.USER, Role.EXTENSION, EXTENSION, **OS_KEY)])
    assert check(bundle.labelled, bundle.pins, now=NOW)


BAD_LISTS = {
    "by another role": ([revoked(Party.VENDOR, Role.OS, EXTENSION)], "bad-signature"),
    "root's by the role": ([revoked(Party.VENDOR, Role.ROOT, OS)], "bad-signature"),
    "by the other party's root": ([revoked(Party.VENDOR, Role.ROOT, USER_ROOT)], "bad-signature"),
    "by a role without keys": ([revoked(Party.USER, Role.ETC, STRANGER)], "no-keys"),
    "altered": ([altered(by_root(Party.USER))], "bad-signature"),
    "garbled": ([garbled(by_root(Party.USER))], "bad-revoke"),
    "two of one role": ([by_root(Party.USER), by_root(Party.USER, serial=3)], "bad-arguments"),
}


def names(signer: Signer) -> dict[str, tuple[bytes, ...]]:
    return {"keys": (bytes.fromhex(signer.public.key_id),)}


def digests(tag: int, number: int = revoke.MAX_DIGESTS) -> dict[str, tuple[bytes, ...]]:
    return {"digests": tuple(bytes([tag]) + n.to_bytes(31, "big") for n in range(number))}


def key_ids(tag: int, number: int = revoke.MAX_KEYS) -> dict[str, tuple[bytes, ...]]:
    return {"keys": digests(tag, number)["digests"]}


ENDED = {
    "who signed the policy": ([by_root(Party.USER, **names(POLICY))], "policy: signed by 0"),
    "who signed the vendor's keys": (
        [by_root(Party.USER, **names(VENDOR_ROOT))],
        "v.keys: signed by 0",
    ),
    "who signed the user's keys": ([by_root(Party.USER, **names(USER_ROOT))], "u.keys: signed by"),
    "the vendor's root by itself": (
        [by_root(Party.VENDOR, **names(VENDOR_ROOT))],
        "v.keys: signed by 0",
    ),
    "who signed a later list": (
        [by_root(Party.USER, **names(VENDOR_ROOT)), by_root(Party.VENDOR)],
        "vendor.root.revoke: signed by 0",
    ),
    "who signed a later list of a role": (
        [by_root(Party.VENDOR, **OS_KEY), revoked(Party.VENDOR, Role.OS, OS)],
        "vendor.os.revoke: signed by 0",
    ),
}


@pytest.mark.parametrize("name", ENDED)
def test_what_revocations_leave_nothing_of(name: str) -> None:
    """The gate would refuse the later list, or its seal."""
    lists, words = ENDED[name]
    error = caught(Bundle(revocations=lists))
    assert (error.code, error.message.startswith(words)) == ("revoked-key", True), error.message
    assert lists[0].fragment.blob[64:96].hex() in error.message
    assert error.hint is not None


def test_who_signed_a_list_before_is_revoked_too_late_for_it() -> None:
    """The gate has taken it by then; what rests on the key is told of itself."""
    lists = [revoked(Party.VENDOR, Role.OS, OS), by_root(Party.VENDOR, **OS_KEY)]
    error = caught(Bundle(revocations=lists))
    assert (error.code, "os.grants" in error.message) == ("bad-signature", True)


def test_a_users_role_ends_nobodys_documents() -> None:
    for signer in (VENDOR_ROOT, USER_ROOT, POLICY):
        lists = [revoked(Party.USER, Role.EXTENSION, EXTENSION, **names(signer))]
        bundle = Bundle(revocations=lists)
        assert check(bundle.labelled, bundle.pins, now=NOW)


@pytest.mark.parametrize(("threshold", "good"), [(1, True), (2, False)])
def test_the_others_who_signed_count_on(threshold: int, good: bool) -> None:
    roots = pin(Party.USER, USER_ROOT, SECOND_ROOT, threshold=threshold)
    bundle = Bundle(
        keys=[vendor_keys(), user_keys(USER_ROOT, SECOND_ROOT)],
        pins={**Bundle().pins, Party.USER: roots},
    )
    blob = by_root(Party.USER, **names(SECOND_ROOT)).fragment.blob
    bundle.revocations = [signed("r", RecordKind.REVOKE, blob, USER_ROOT, SECOND_ROOT)]
    if good:
        assert check(bundle.labelled, bundle.pins, now=NOW)
    else:
        assert "u.keys: signed by 1 of" in caught(bundle).message


def test_of_an_owner_with_two_keys_the_first_that_signed_counts() -> None:
    """As the gate keeps it: the other signature isn't asked when the first is revoked."""
    both = replace(pin(Party.VENDOR, VENDOR_ROOT), keys=two_keys_of_one(VENDOR_ROOT, SECOND_ROOT))
    for first, second, good in (
        (VENDOR_ROOT, SECOND_ROOT, False),
        (SECOND_ROOT, VENDOR_ROOT, True),
    ):
        bundle = Bundle(
            keys=[vendor_keys(first, second), user_keys()],
            pins={**Bundle().pins, Party.VENDOR: both},
            revocations=[by_root(Party.USER, **names(VENDOR_ROOT))],
        )
        if good:
            assert check(bundle.labelled, bundle.pins, now=NOW)
        else:
            assert caught(bundle).code == "revoked-key"


def three(vendor: Any, os: Any, user: Any) -> list[Labelled]:
    return [
        by_root(Party.VENDOR, **vendor),
        revoked(Party.VENDOR, Role.OS, OS, **os),
        by_root(Party.USER, **user),
    ]


ROOM = {
    "two full lists": (three(digests(2), {}, digests(3)), True),
    "the same digests again": (three(digests(2), digests(2), digests(3)), True),
    "one digest more": (three(digests(2), digests(4, 1), digests(3)), False),
    "three full lists": (three(digests(2), digests(3), digests(4)), False),
    "three lists of keys": (three(key_ids(2), key_ids(3), key_ids(4)), True),
}


@pytest.mark.parametrize("name", ROOM)
def test_room_for_revocations(name: str) -> None:
    lists, fits = ROOM[name]
    bundle = Bundle(revocations=lists)
    if fits:
        assert check(bundle.labelled, bundle.pins, now=NOW)
        return
    error = caught(bundle)
    assert (error.code, error.message) == (
        "too-many-revoked",
        f"user.root.revoke: with it the bundle revokes {8193 if 'one' in name else 12288} digests,"
        " the gate holds 8192",
    )
    assert error.hint is not None


def test_room_for_revoked_keys() -> None:
    """All five roles that may revoke fill it."""
    ext = revoked(Party.USER, Role.EXTENSION, EXTENSION, **key_ids(5))
    etc = revoked(Party.USER, Role.ETC, STRANGER, **key_ids(6, 1))
    keys = [vendor_keys(), user_keys(roles={**USER_KEYS, Role.ETC: [STRANGER]})]
    full = [*three(key_ids(2), key_ids(3), key_ids(4)), ext]
    bundle = Bundle(keys=keys, revocations=full)
    assert check(bundle.labelled, bundle.pins, now=NOW)
    error = caught(Bundle(keys=keys, revocations=[*full, etc]))
    assert (error.code, "revokes 1025 keys, the gate holds 1024" in error.message) == (
        "too-many-revoked",
        True,
    )


@pytest.mark.parametrize("name", BAD_LISTS)
def test_revocations_that_are_refused(name: str) -> None:
    lists, code = BAD_LISTS[name]
    assert caught(Bundle(revocations=lists)).code == code
