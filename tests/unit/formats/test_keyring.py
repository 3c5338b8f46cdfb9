# SPDX-License-Identifier: Apache-2.0
"""The keyring document: what is written reads back, and each way to be wrong is refused."""

import base64
import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.world import (
    EXPIRES,
    FIRST_KEYRING,
    ISSUED,
    OTHER,
    ROOT,
    ROOT2,
    THIRD,
    VENDOR,
    keyring_fields,
    keyring_of,
)
from verity.formats import keyring, strictjson
from verity.formats.grants import Party, Role
from verity.formats.keyring import Keyring, Revoked, RoleRule
from verity.values.errors import ContentError

USER = keyring_of(
    (Role.ROOT, "ann", ROOT),
    (Role.ROOT, "bob", ROOT2),
    (Role.ETC, "ann", OTHER),
    (Role.ETC, "bob", THIRD),
    (Role.POLICY, "ann", VENDOR),
    thresholds={Role.ROOT: 2},
    streams=("etc-*", "tools"),
    party=Party.USER,
    version=7,
    revoked=Revoked(keys=("ab" * 32,), digests=(b"\1" * 32, b"\2" * 32), serials={"any": 2}),
)


def test_round_trip() -> None:
    for value in (FIRST_KEYRING, USER):
        data = keyring.encode(value)
        assert keyring.parse(data) == value
        assert keyring.encode(keyring.parse(data)) == data


def test_a_window_round_trips() -> None:
    keys = tuple(
        replace(key, valid_from=ISSUED, valid_until=EXPIRES) if key.owner == "vendor" else key
        for key in FIRST_KEYRING.keys
    )
    value = replace(FIRST_KEYRING, keys=keys)
    assert keyring.parse(keyring.encode(value)) == value


def test_the_keys_of_a_role() -> None:
    assert {key.owner for key in USER.of_role(Role.ROOT)} == {"ann", "bob"}
    assert USER.of_role(Role.UNLOCK) == ()


@pytest.mark.parametrize(
    ("pattern", "stream", "meant"),
    [
        ("os", "os", True),
        ("os", "os2", False),
        ("os*", "os2", True),
        ("os*", "os", True),
        ("os*", "o", False),
        ("*", "anything", True),
    ],
)
def test_patterns_of_streams(pattern: str, stream: str, meant: bool) -> None:
    assert keyring.matches(pattern, stream) is meant


@dataclass(frozen=True)
class Wrong:
    """A change to the fields of a keyring, and what the refusal says."""

    change: Callable[[Any], object]
    words: str
    base: Keyring = FIRST_KEYRING


def put(*path: Any, value: Any) -> Callable[[Any], object]:
    """Set a field; the last of the path is its name."""

    def change(fields: Any) -> None:
        for name in path[:-1]:
            fields = fields[name]
        fields[path[-1]] = value

    return change


def drop(*path: Any) -> Callable[[Any], object]:
    def change(fields: Any) -> None:
        for name in path[:-1]:
            fields = fields[name]
        del fields[path[-1]]

    return change


def of_algorithm(fields: Any) -> None:
    fields["keys"][0]["algorithm"] = "ed25519"


def other_spki(fields: Any) -> None:
    fields["keys"][0]["spki"] = base64.b64encode(THIRD.public.spki).decode()


def in_two_roles(fields: Any) -> None:
    fields["roles"]["os"]["keys"] = fields["roles"]["root"]["keys"]


def twice_in_a_list(fields: Any) -> None:
    fields["roles"]["os"]["keys"] *= 2


def reverse(*path: Any) -> Callable[[Any], object]:
    def change(fields: Any) -> None:
        for name in path:
            fields = fields[name]
        fields.reverse()

    return change


def revoke_used(fields: Any) -> None:
    fields["revoked"]["keys"] = fields["roles"]["os"]["keys"]


def window_of_root(fields: Any) -> None:
    root = fields["roles"]["root"]["keys"][0]
    (key,) = (key for key in fields["keys"] if key["id"] == root)
    key["until"] = "2030-01-01T00:00:00Z"


def backward_window(fields: Any) -> None:
    fields["keys"][0]["from"] = "2030-01-01T00:00:00Z"
    fields["keys"][0]["until"] = "2030-01-01T00:00:00Z"


def one_owner_twice(fields: Any) -> None:
    for key in fields["keys"]:
        key["owner"] = "ann"


WRONG = {
    "unknown-party": Wrong(put("party", value="someone"), "unknown party 'someone'"),
    "party-in-capitals": Wrong(put("party", value="VENDOR"), "unknown party"),
    "party-that-folds-to-one": Wrong(put("party", value="u\u017fer"), "unknown party"),
    "version-0": Wrong(put("version", value=0), "the version 0 is below 1"),
    "version-below-0": Wrong(put("version", value=-1), "the version -1"),
    "version-too-large": Wrong(put("version", value=2**53), "beyond 2^53-1"),
    "float": Wrong(put("version", value=1.5), "the float 1.5"),
    "float-that-is-whole": Wrong(put("version", value=1.0), "the float 1.0"),
    "boolean-version": Wrong(put("version", value=True), "'version' is a boolean"),
    "text-version": Wrong(put("version", value="1"), "'version' is a string"),
    "expires-with-issued": Wrong(put("expires", value="2023-11-14T22:13:20Z"), "does not expire"),
    "time-with-offset": Wrong(put("issued", value="2023-11-14T22:13:20+00:00"), "not of the form"),
    "time-that-does-not-exist": Wrong(put("issued", value="2023-02-30T00:00:00Z"), "not exist"),
    "unknown-field": Wrong(put("note", value="x"), "unknown field 'note'"),
    "unknown-field-of-a-key": Wrong(put("keys", 0, "note", value="x"), "unknown field 'note'"),
    "unknown-field-of-a-role": Wrong(put("roles", "os", "note", value="x"), "unknown field 'note'"),
    "unknown-field-of-revoked": Wrong(put("revoked", "all", value=[]), "unknown field 'all'"),
    "missing-keys": Wrong(drop("keys"), "'keys' is missing"),
    "missing-revoked": Wrong(drop("revoked"), "'revoked' is missing"),
    "missing-threshold": Wrong(drop("roles", "os", "threshold"), "'threshold' is missing"),
    "missing-streams": Wrong(drop("roles", "os", "streams"), "'streams' is missing"),
    "empty-key-list": Wrong(put("keys", value=[]), "0 keys, expected 1 to 64"),
    "empty-key-list-of-a-role": Wrong(put("roles", "os", "keys", value=[]), "keys is empty"),
    "empty-list-of-streams": Wrong(put("roles", "os", "streams", value=[]), "streams is empty"),
    "too-many-keys": Wrong(put("keys", value=[{}] * 65), "65 keys"),
    "threshold-0": Wrong(put("roles", "os", "threshold", value=0), "a threshold of 0 with 1"),
    "threshold-below-0": Wrong(put("roles", "os", "threshold", value=-1), "a threshold of -1"),
    "threshold-above-the-owners": Wrong(
        put("roles", "os", "threshold", value=2), "role os has a threshold of 2 with 1 owners"
    ),
    "one-owner-with-two-keys-against-a-threshold-of-two": Wrong(
        one_owner_twice, "role root has a threshold of 2 with 1 owners", USER
    ),
    "unknown-role": Wrong(put("roles", "admin", value={}), "unknown role 'admin'"),
    "role-in-capitals": Wrong(put("roles", "OS", value={}), "unknown role 'OS'"),
    "no-root": Wrong(drop("roles", "root"), "has no role"),
    "role-without-a-right": Wrong(
        lambda fields: fields["roles"].update(etc=fields["roles"].pop("os")),
        "the vendor has no right to the role etc",
    ),
    "streams-of-a-role-without": Wrong(
        put("roles", "root", "streams", value=["os"]), "unknown field 'streams'"
    ),
    "pattern-in-the-middle": Wrong(put("roles", "os", "streams", value=["a*b"]), "is no stream"),
    "pattern-in-capitals": Wrong(put("roles", "os", "streams", value=["OS"]), "is no stream"),
    "pattern-that-is-empty": Wrong(put("roles", "os", "streams", value=[""]), "is no stream"),
    "patterns-twice": Wrong(put("roles", "os", "streams", value=["a", "a"]), "there twice"),
    "unknown-algorithm": Wrong(of_algorithm, "unknown algorithm 'ed25519'"),
    "key-id-of-another-key": Wrong(other_spki, "is not the SHA-256 of the key"),
    "key-that-is-no-spki": Wrong(put("keys", 0, "spki", value="AAAA"), "SubjectPublicKeyInfo"),
    "key-that-is-no-base64": Wrong(put("keys", 0, "spki", value="***"), "standard base64"),
    "key-that-is-not-ascii": Wrong(put("keys", 0, "spki", value="é"), "standard base64"),
    "key-in-two-roles": Wrong(in_two_roles, "it has the roles"),
    "key-twice-in-a-role": Wrong(twice_in_a_list, "there twice"),
    "key-without-a-role": Wrong(drop("roles", "policy"), "it has no role", USER),
    "key-that-is-not-there": Wrong(
        put("roles", "os", "keys", value=["ab" * 32]), "which is no key here"
    ),
    "keys-twice": Wrong(lambda fields: fields["keys"].append(fields["keys"][-1]), "there twice"),
    "keys-out-of-order": Wrong(reverse("keys"), "not in the order"),
    "key-id-that-is-a-number": Wrong(
        put("roles", "os", "keys", value=[1]), "an element is not a string"
    ),
    "owner-that-is-empty": Wrong(put("keys", 0, "owner", value=""), "the owner ''"),
    "owner-that-is-not-ascii": Wrong(put("keys", 0, "owner", value="ü"), "the owner 'ü'"),
    "owner-with-a-newline": Wrong(put("keys", 0, "owner", value="a\n"), "the owner 'a\\n'"),
    "window-backwards": Wrong(backward_window, "not after from"),
    "window-of-a-root-key": Wrong(window_of_root, "a root key has no from and until"),
    "revoked-key-in-use": Wrong(revoke_used, "it is revoked, and has a role"),
    "revoked-digest-of-another-length": Wrong(
        put("revoked", "digests", value=["ab"]), "'ab' is not a SHA-256"
    ),
    "revoked-digest-in-capitals": Wrong(
        put("revoked", "digests", value=["AB" * 32]), "is not a SHA-256"
    ),
    "revoked-digests-out-of-order": Wrong(reverse("revoked", "digests"), "not in the order", USER),
    "revoked-key-that-is-none": Wrong(put("revoked", "keys", value=["x"]), "is not a SHA-256"),
    "floor-that-revokes-nothing": Wrong(
        put("revoked", "serials", value={"os": 1}), "nothing is below the serial 1"
    ),
    "floor-of-no-stream": Wrong(put("revoked", "serials", value={"O S": 2}), "'O S' is no stream"),
    "vendor-revokes-a-stream-of-another": Wrong(
        put("revoked", "serials", value={"etc-host": 2}), "can't revoke serials of etc-host"
    ),
    "list-for-an-object": Wrong(put("roles", value=[]), "'roles' is a list"),
    "not-an-object": Wrong(lambda fields: fields["keys"].__setitem__(0, 1), "an integer"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    wrong = WRONG[name]
    fields = keyring_fields(wrong.base)
    before = copy.deepcopy(fields)
    wrong.change(fields)
    assert fields != before or type(fields["version"]) is not int
    with pytest.raises(ContentError) as caught:
        keyring.parse(strictjson.canonical(fields))
    assert caught.value.code == "bad-document"
    assert wrong.words in caught.value.message


def test_swapped_roles() -> None:
    # Well-formed: that the wrong key holds the role shows when a signature is judged.
    fields = keyring_fields(keyring_of((Role.ROOT, "a", ROOT), (Role.OS, "b", VENDOR)))
    roles = fields["roles"]
    roles["root"]["keys"], roles["os"]["keys"] = roles["os"]["keys"], roles["root"]["keys"]
    found = keyring.parse(strictjson.canonical(fields))
    assert [key.owner for key in found.of_role(Role.ROOT)] == ["b"]


DATA = keyring.encode(FIRST_KEYRING)

BAD_BYTES = {
    "duplicate-key": (DATA.replace(b'{"expires"', b'{"version":1,"expires"', 1), "there twice"),
    "duplicate-role": (
        DATA.replace(b'"roles":{', b'"roles":{"os":{},', 1),
        "'os' stands there twice",
    ),
    "deep-nesting": (b"[" * 40 + b"]" * 40, "nested deeper than 32"),
    "very-deep-nesting": (b'{"a":' * 60_000, "bytes, at most"),
    "oversize": (DATA + b" " * keyring.MAX_KEYRING, "bytes, at most 65536"),
    "non-utf-8": (DATA.replace(b'"vendor"', b'"vend\xffr"', 1), "not UTF-8"),
    "lone-surrogate": (DATA.replace(b'"owner":"root"', b'"owner":"\\ud800"'), "lone surrogate"),
    "nan": (DATA.replace(b'"version":1', b'"version":NaN'), "NaN is not allowed"),
    "empty": (b"", "not JSON"),
    "cut": (DATA[:-1], "not JSON"),
    "more-behind": (DATA + b"{}", "not JSON"),
    "a-list": (b"[]", "expected an object"),
    "a-space": (DATA.replace(b":", b": ", 1), "not the canonical JSON"),
    "a-newline": (DATA + b"\n", "not the canonical JSON"),
    "an-escape": (DATA.replace(b'"root"', b'"\\u0072oot"', 1), "not the canonical JSON"),
    "order-of-fields": (
        json.dumps(dict(reversed(json.loads(DATA).items())), separators=(",", ":")).encode(),
        "not the canonical JSON",
    ),
}


@pytest.mark.parametrize("name", BAD_BYTES)
def test_bad_bytes(name: str) -> None:
    data, words = BAD_BYTES[name]
    assert data != DATA
    with pytest.raises(ContentError, match=words) as caught:
        keyring.parse(data)
    assert caught.value.code == "bad-document"


def test_only_root_and_evidence_is_nothing_for_the_kernel() -> None:
    value = keyring_of((Role.ROOT, "a", ROOT), (Role.EVIDENCE, "a", OTHER), party=Party.USER)
    with pytest.raises(ContentError, match="beside root that the kernel"):
        keyring.encode(value)


def test_what_is_not_readable_is_not_written() -> None:
    with pytest.raises(ContentError, match="version 0"):
        keyring.encode(replace(FIRST_KEYRING, version=0))
    rules = {**FIRST_KEYRING.roles, Role.OS: RoleRule(threshold=1, keys=(), streams=("os",))}
    with pytest.raises(ContentError, match="empty"):
        keyring.encode(replace(FIRST_KEYRING, roles=rules))


@given(at=st.integers(0, len(DATA) - 1), value=st.integers(0, 255))
def test_any_changed_byte_is_refused_or_means_another_keyring(at: int, value: int) -> None:
    data = DATA[:at] + bytes([value]) + DATA[at + 1 :]
    try:
        found = keyring.parse(data)
    except ContentError as error:
        assert error.code == "bad-document"
        return
    assert (found == FIRST_KEYRING) == (data == DATA)
