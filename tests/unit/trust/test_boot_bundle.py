# SPDX-License-Identifier: Apache-2.0
"""A boot bundle is checked as the gate will: each rule refused by one change to a good one."""

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
    extension_grants,
    grants_blob,
    held,
    os_grants,
    pin,
    policy,
    revoked,
    signed,
    user_keys,
    vendor_keys,
)
from tests.world import EXPIRES, Signer
from verity.formats import revoke
from verity.formats.grants import (
    Code,
    CodeEntry,
    ConfigEntry,
    ConfigKind,
    ElevateEntry,
    Party,
    Role,
)
from verity.formats.kernel_keys import KeyEntry
from verity.formats.kernel_policy import Stream
from verity.formats.records import RecordKind
from verity.formats.revoke import StreamFloor
from verity.trust.boot_bundle import Labelled, check
from verity.trust.clock import RELEASED, TOLERANCE
from verity.values.errors import CallerError, ContentError, VerityError

ONE = b"\x01" * 32
ELEVATE = ElevateEntry(digest=ONE, set_bits=0o4000, uid=0, gid=0, capabilities=0)
CONFIG = ConfigEntry(path=b"/etc/a", kind=ConfigKind.FILE, digest=ONE)
ETC = Stream(name="etc", party=Party.USER, role=Role.ETC)
OS_STREAM = Stream(name="os", party=Party.VENDOR, role=Role.OS)
TWO_ROOTS = pin(Party.USER, USER_ROOT, SECOND_ROOT, threshold=2)
NOT_ON_THE_CURVE = OS.public.spki[:-32] + bytes(32)


def test_a_good_bundle() -> None:
    bundle = Bundle()
    parts = check(bundle.labelled, bundle.pins, now=NOW)
    assert [(p.label, p.kind, p.party, p.role, p.stream, p.serial, p.signers) for p in parts] == [
        ("v.keys", RecordKind.KEYS, Party.VENDOR, Role.ROOT, "", 3, 1),
        ("u.keys", RecordKind.KEYS, Party.USER, Role.ROOT, "", 3, 1),
        ("policy", RecordKind.POLICY, Party.USER, Role.POLICY, "", 4, 1),
        ("os.grants", RecordKind.GRANTS, Party.VENDOR, Role.OS, "os", 5, 1),
        ("tools.grants", RecordKind.GRANTS, Party.USER, Role.EXTENSION, "tools", 5, 1),
    ]
    assert {part.expires for part in parts} == {EXPIRES}


GOOD = {
    "a user without a vendor": Bundle(keys=[user_keys()], grants=[extension_grants()]),
    "two of two owners": Bundle(
        keys=[vendor_keys(), user_keys(USER_ROOT, SECOND_ROOT)],
        pins={**Bundle().pins, Party.USER: TWO_ROOTS},
    ),
    "one owner with two keys who signs with both": Bundle(
        keys=[vendor_keys(VENDOR_ROOT, SECOND_ROOT), user_keys()],
        pins={**Bundle().pins, Party.VENDOR: pin(Party.VENDOR, VENDOR_ROOT, SECOND_ROOT)},
    ),
    "keys that repeat the root": Bundle(
        keys=[vendor_keys(), user_keys(roles={**USER_KEYS, Role.ROOT: [USER_ROOT]})]
    ),
    "elevations and modules by the vendor": Bundle(
        grants=[os_grants(code=(CodeEntry(ONE, Code(63)),), elevate=(ELEVATE,))]
    ),
    "a policy that names more": Bundle(
        policies=[policy(streams=(ETC, OS_STREAM))], grants=[os_grants()]
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    bundle = GOOD[name]
    assert len(check(bundle.labelled, bundle.pins, now=NOW)) == len(bundle.labelled)


def two_keys_of_one(*signers: Signer) -> tuple[KeyEntry, ...]:
    return tuple(replace(entry, owner=0) for entry in held({Role.ROOT: signers}))


def altered(item: Labelled) -> Labelled:
    """One bit of the blob flipped, in a place that every parser takes: the last digit of issued."""
    at = 40
    blob = bytearray(item.fragment.blob)
    blob[at] ^= 1
    return replace(item, fragment=replace(item.fragment, blob=bytes(blob)))


def garbled(item: Labelled) -> Labelled:
    """Kept kind, broken length."""
    return replace(item, fragment=replace(item.fragment, blob=item.fragment.blob + b"\0"))


REFUSED: dict[str, tuple[Bundle, str, str]] = {
    # signatures
    "keys altered": (Bundle(keys=[altered(vendor_keys()), user_keys()]), "bad-signature", "v.keys"),
    "policy altered": (Bundle(policies=[altered(policy())]), "bad-signature", "policy: signed by"),
    "grants altered": (Bundle(grants=[altered(os_grants())]), "bad-signature", "os.grants"),
    "keys by a stranger": (
        Bundle(keys=[vendor_keys(STRANGER), user_keys()]),
        "bad-signature",
        "v.keys: signed by 0",
    ),
    "keys by the other party's root": (
        Bundle(keys=[vendor_keys(USER_ROOT), user_keys()]),
        "bad-signature",
        "v.keys: signed by 0",
    ),
    "keys by their own role": (
        Bundle(keys=[vendor_keys(OS), user_keys()]),
        "bad-signature",
        "v.keys: signed by 0",
    ),
    "policy by the root": (Bundle(policies=[policy(USER_ROOT)]), "bad-signature", "policy: signed"),
    "grants by the extension's key": (
        Bundle(grants=[os_grants(EXTENSION)]),
        "bad-signature",
        "os.grants: signed by 0",
    ),
    "a stranger beside": (
        Bundle(grants=[os_grants(OS, STRANGER)]),
        "bad-signature",
        "os.grants, signature 2: signed by 0",
    ),
    "one of two owners": (
        Bundle(pins={**Bundle().pins, Party.USER: TWO_ROOTS}),
        "bad-signature",
        "u.keys: signed by 1 of the trusted owners, 2 needed",
    ),
    "one owner twice": (
        Bundle(
            keys=[vendor_keys(), user_keys(USER_ROOT, USER_ROOT)],
            pins={**Bundle().pins, Party.USER: TWO_ROOTS},
        ),
        "bad-signature",
        "u.keys: signed by 1",
    ),
    "two keys of one owner": (
        Bundle(
            keys=[vendor_keys(), user_keys(USER_ROOT, STRANGER)],
            pins={
                **Bundle().pins,
                Party.USER: replace(
                    TWO_ROOTS,
                    keys=tuple(
                        sorted(
                            (
                                *two_keys_of_one(USER_ROOT, STRANGER),
                                replace(held({Role.ROOT: [SECOND_ROOT]})[0], owner=1),
                            ),
                            key=lambda entry: entry.key_id,
                        )
                    ),
                ),
            },
        ),
        "bad-signature",
        "u.keys: signed by 1",
    ),
    # time
    "keys expired": (Bundle(keys=[vendor_keys(), user_keys(expires=NOW)]), "expired", "u.keys"),
    "policy expired": (Bundle(policies=[policy(expires=NOW)]), "expired", "policy: expired at"),
    "grants expired": (Bundle(grants=[os_grants(expires=NOW)]), "expired", "os.grants"),
    # one role for each key
    "a key of both parties": (
        Bundle(keys=[vendor_keys(), user_keys(roles={**USER_KEYS, Role.ETC: [OS]})]),
        "key-twice",
        "vendor os and user etc",
    ),
    "a root key with a role": (
        Bundle(keys=[vendor_keys(), user_keys(roles={**USER_KEYS, Role.ETC: [USER_ROOT]})]),
        "key-twice",
        "user root and user etc",
    ),
    "one root for both parties": (
        Bundle(
            keys=[vendor_keys(USER_ROOT), user_keys()],
            pins={**Bundle().pins, Party.VENDOR: pin(Party.VENDOR, USER_ROOT)},
        ),
        "key-twice",
        "vendor root and user root",
    ),
    # what grants may be
    "a stream that isn't named": (
        Bundle(grants=[os_grants(stream="other")]),
        "wrong-stream",
        "grants for other=vendor:os, the policy names os=vendor:os, tools=user:extension",
    ),
    "a stream of another party": (
        Bundle(grants=[extension_grants(stream="os")]),
        "wrong-stream",
        "grants for os=user:extension",
    ),
    "an extension's elevation": (
        Bundle(grants=[extension_grants(elevate=(ELEVATE,))]),
        "beyond-role",
        "tools.grants: grants: elevations",
    ),
    "an extension's module": (
        Bundle(grants=[extension_grants(code=(CodeEntry(ONE, Code.EXEC | Code.MODULE),))]),
        "beyond-role",
        "code flags 4 are beyond the role extension",
    ),
    "an extension's interpreter": (
        Bundle(grants=[extension_grants(code=(CodeEntry(ONE, Code.INTERPRETER),))]),
        "beyond-role",
        "code flags 8",
    ),
    "an extension's configuration": (
        Bundle(grants=[extension_grants(config=(CONFIG,))]),
        "beyond-role",
        "configuration is beyond the role extension",
    ),
    "the vendor's configuration": (
        Bundle(grants=[os_grants(config=(CONFIG,))]),
        "beyond-role",
        "configuration is beyond the role os",
    ),
    # keys that are missing, or none
    "no keys of the vendor": (Bundle(keys=[user_keys()]), "no-keys", "os.grants: no keys"),
    "no keys of the user": (Bundle(keys=[vendor_keys()]), "no-keys", "policy: no keys"),
    "no keys for the policy": (
        Bundle(keys=[vendor_keys(), user_keys(roles={Role.EXTENSION: [EXTENSION]})]),
        "no-keys",
        "for the role policy",
    ),
    "a point beside the curve": (
        Bundle(
            keys=[
                vendor_keys(keys=(KeyEntry(role=Role.OS, owner=0, spki=NOT_ON_THE_CURVE),)),
                user_keys(),
            ]
        ),
        "bad-key",
        "not a public key",
    ),
    # what a parser refuses has the name of its file
    "keys garbled": (Bundle(keys=[garbled(vendor_keys())]), "bad-keys", "v.keys: keys: the header"),
    "policy garbled": (Bundle(policies=[garbled(policy())]), "bad-policy", "policy: policy: the"),
    "grants garbled": (Bundle(grants=[garbled(os_grants())]), "bad-grants", "os.grants: grants: "),
}

MISUSED = {
    "no pin": (
        Bundle(pins={Party.USER: Bundle().pins[Party.USER]}),
        "no-pin",
        "v.keys: no pin of the party vendor",
    ),
    "two keys blobs of a party": (
        Bundle(keys=[vendor_keys(), user_keys(), user_keys()]),
        "bad-arguments",
        "u.keys: a second keys blob of the party user",
    ),
    "no policy": (Bundle(policies=[]), "bad-arguments", "0 policies"),
    "two policies": (Bundle(policies=[policy(), policy()]), "bad-arguments", "2 policies"),
    "no grants": (Bundle(grants=[]), "bad-arguments", "no grants"),
    "a stream twice": (
        Bundle(grants=[os_grants(), os_grants(serial=6)]),
        "bad-arguments",
        "a second grants blob of the stream os",
    ),
}


def caught(bundle: Bundle) -> VerityError:
    with pytest.raises(VerityError) as found:
        check(bundle.labelled, bundle.pins, now=NOW)
    return found.value


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    bundle, code, words = REFUSED[name]
    error = caught(bundle)
    assert isinstance(error, ContentError)
    assert (error.code, words in error.message) == (code, True), error.message


@pytest.mark.parametrize("name", MISUSED)
def test_misused(name: str) -> None:
    bundle, code, words = MISUSED[name]
    error = caught(bundle)
    assert isinstance(error, CallerError)
    assert (error.code, words in error.message) == (code, True), error.message


def test_etc_fills_configuration_alone() -> None:
    keys = [user_keys(roles={**USER_KEYS, Role.ETC: [STRANGER]})]

    def etc(**changes: object) -> Bundle:
        blob = grants_blob(Party.USER, Role.ETC, "etc", **changes)
        return Bundle(
            keys=keys,
            policies=[policy(POLICY, streams=(ETC,))],
            grants=[signed("etc.grants", RecordKind.GRANTS, blob, STRANGER)],
        )

    good = etc(code=(), config=(CONFIG,))
    assert check(good.labelled, good.pins, now=NOW)[-1].stream == "etc"
    assert "code flags 1 are beyond the role etc" in caught(etc()).message
    assert "elevations" in caught(etc(code=(), elevate=(ELEVATE,))).message


# --- revocations

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


TO_COME: dict[str, Any] = {"issued": RELEASED + 2 * TOLERANCE, "expires": RELEASED + 9 * TOLERANCE}
TIMED = {
    "keys": Bundle(keys=[vendor_keys(**TO_COME), user_keys(expires=TO_COME["expires"])]),
    "policy": Bundle(policies=[policy(**TO_COME)]),
    "grants": Bundle(grants=[os_grants(**TO_COME)]),
    "revocations": Bundle(revocations=[by_root(Party.USER, issued=TO_COME["issued"])]),
}


@pytest.mark.parametrize("name", TIMED)
def test_what_is_ahead_of_the_clock(name: str) -> None:
    """Expiry would be judged by its time, by the gate and by every floor."""
    bundle = TIMED[name]
    with pytest.raises(ContentError, match=r"issued at .*, more than a day ahead of") as caught:
        check(bundle.labelled, bundle.pins, now=RELEASED)
    assert caught.value.code == "issued-ahead"
    # It is within a day of a clock that is right, and a clock that was never set says nothing.
    for now in (RELEASED + TOLERANCE, NOW):
        assert check(bundle.labelled, bundle.pins, now=now)


def test_expiry_is_at_the_second() -> None:
    bundle = Bundle(grants=[os_grants(expires=NOW + 1)])
    assert check(bundle.labelled, bundle.pins, now=NOW)
