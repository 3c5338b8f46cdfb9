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
    altered,
    caught,
    extension_grants,
    garbled,
    grants_blob,
    held,
    os_grants,
    pin,
    policy,
    revoked,
    signed,
    two_keys_of_one,
    user_keys,
    vendor_keys,
)
from tests.world import EXPIRES
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
from verity.formats.kernel_policy import ActSet, Stream
from verity.formats.records import RecordKind
from verity.trust.boot_bundle import by_pin, check
from verity.trust.clock import RELEASED, TOLERANCE
from verity.values.errors import CallerError, ContentError

ONE = b"\x01" * 32
ELEVATE = ElevateEntry(digest=ONE, set_bits=0o4000, uid=0, gid=0, capabilities=0)
CONFIG = ConfigEntry(path=b"/etc/a", kind=ConfigKind.FILE, digest=ONE)
ETC = Stream(name="etc", party=Party.USER, role=Role.ETC)
OS_STREAM = Stream(name="os", party=Party.VENDOR, role=Role.OS)


def streams(*names: str) -> tuple[Stream, ...]:
    return tuple(Stream(name=name, party=Party.VENDOR, role=Role.OS) for name in names)


def many(number: int) -> tuple[ConfigEntry, ...]:
    """So many paths, none of which is that of CONFIG."""
    return tuple(replace(CONFIG, path=b"/usr/%05d" % one) for one in range(number))


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
    "configuration by the vendor": Bundle(grants=[os_grants(config=(CONFIG,))]),
    "configuration by the vendor that is not the owner's": Bundle(
        policies=[policy(streams=(ETC, OS_STREAM))],
        grants=[os_grants(config=(replace(CONFIG, path=b"/usr/etc/a"),))],
    ),
    "two streams for a path, and all the room there is": Bundle(
        policies=[policy(streams=streams("a", "b", "c"))],
        grants=[
            os_grants(stream="a", config=(CONFIG,)),
            os_grants(stream="b", config=many(8191)),
            os_grants(stream="c", config=many(8191)),
        ],
    ),
    "modules by an extension, as the policy lets it": Bundle(
        policies=[policy(observed_acts=ActSet.EXTENSION_MODULES)],
        grants=[extension_grants(code=(CodeEntry(ONE, Code.EXEC | Code.MODULE),))],
    ),
    "a policy that names more": Bundle(
        policies=[policy(streams=(ETC, OS_STREAM))], grants=[os_grants()]
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    bundle = GOOD[name]
    assert len(check(bundle.labelled, bundle.pins, now=NOW)) == len(bundle.labelled)


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
        "tools.grants: grants: kernel modules, which the policy",
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
    "the vendor's configuration where the owner has a stream": (
        Bundle(policies=[policy(streams=(ETC, OS_STREAM))], grants=[os_grants(config=(CONFIG,))]),
        "owners-path",
        "os.grants: it grants the configuration /etc/a, which is the stream etc's to grant",
    ),
    "a third stream for a path": (
        Bundle(
            policies=[policy(streams=streams("a", "b", "c"))],
            grants=[os_grants(stream=name, config=(CONFIG,)) for name in "abc"],
        ),
        "third-stream",
        "os.grants: /etc/a is granted by 3 streams, the gate holds 2",
    ),
    "more paths than there is room for": (
        Bundle(
            policies=[policy(streams=streams("a", "b"))],
            grants=[
                os_grants(stream="a", config=(CONFIG,)),
                os_grants(stream="b", config=many(8192)),
            ],
        ),
        "too-many-paths",
        "os.grants: with it 8193 configuration paths, the gate holds 8192",
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


TO_COME: dict[str, Any] = {"issued": RELEASED + 2 * TOLERANCE, "expires": RELEASED + 9 * TOLERANCE}
TIMED = {
    "keys": Bundle(keys=[vendor_keys(**TO_COME), user_keys(expires=TO_COME["expires"])]),
    "policy": Bundle(policies=[policy(**TO_COME)]),
    "grants": Bundle(grants=[os_grants(**TO_COME)]),
    "revocations": Bundle(
        revocations=[revoked(Party.USER, Role.ROOT, USER_ROOT, issued=TO_COME["issued"])]
    ),
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


def test_what_a_host_has_already_expires_for_nothing_but_new_parts() -> None:
    old, late = vendor_keys(), EXPIRES + 1
    bundle = Bundle(keys=[vendor_keys(), user_keys()])
    kept = frozenset(one.fragment.blob for one in bundle.labelled)
    with pytest.raises(ContentError, match="expired"):
        check(bundle.labelled, bundle.pins, now=late)
    assert check(bundle.labelled, bundle.pins, now=late, accepted=kept)
    # Signed anew, by keys that have expired: under new ones it would do.
    fresh: dict[str, Any] = {"serial": 6, "issued": EXPIRES, "expires": EXPIRES + 99}
    bundle.grants[0] = os_grants(**fresh)
    with pytest.raises(ContentError, match="by the keys of the vendor, which have expired"):
        check(bundle.labelled, bundle.pins, now=late, accepted=kept)
    bundle.keys[0] = vendor_keys(version=4, issued=EXPIRES, expires=EXPIRES + 99)
    assert bundle.keys[0] != old
    assert check(bundle.labelled, bundle.pins, now=late, accepted=kept)


def test_signatures_by_roots_that_the_pin_has_not() -> None:
    """As behind a change of root keys, and under a pin of the new ones alone."""
    pins = {Party.VENDOR: pin(Party.VENDOR, SECOND_ROOT), Party.USER: pin(Party.USER, USER_ROOT)}
    both = vendor_keys(VENDOR_ROOT, SECOND_ROOT)
    kept = by_pin(both, pins)
    assert kept.fragment.signatures == both.fragment.signatures[1:]
    # What nobody of the pin signed is refused as it is, and nothing else is touched.
    strange = vendor_keys(STRANGER)
    assert by_pin(strange, pins) is strange
    extra = signed("policy", RecordKind.POLICY, policy().fragment.blob, POLICY, STRANGER)
    assert by_pin(extra, pins) is extra
