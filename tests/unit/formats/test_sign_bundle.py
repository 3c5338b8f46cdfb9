# SPDX-License-Identifier: Apache-2.0
"""The sign bundle: one spelling, exactly the payloads of its kind, bounded, or a refusal."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bundles import BundleWorld, signature
from tests.world import OTHER, THIRD, VENDOR, Signer
from verity.formats import kernel_keys, kernel_policy, sign_bundle, strictjson
from verity.formats.sign_bundle import Bundle, BundleKind
from verity.values.errors import ContentError

SAMPLE = BundleWorld().bundle(VENDOR, OTHER)
POLICY = Bundle(kind=BundleKind.POLICY, blob=kernel_policy.KIND + bytes(64), payload=b"{}")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def document(bundle: Bundle = SAMPLE) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(sign_bundle.encode(bundle))
    return value


def changed(path: str, value: Any, bundle: Bundle = SAMPLE) -> bytes:
    """The canonical document with one field set (or removed, with None); ``path`` is dotted."""
    top = document(bundle)
    *way, last = path.split(".")
    place: Any = top
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    if value is None:
        del place[last]
    else:
        place[int(last) if last.isdigit() else last] = value
    return strictjson.canonical(top) + b"\n"


def swapped(data: Callable[[dict[str, Any]], None]) -> bytes:
    top = document()
    data(top)
    return strictjson.canonical(top) + b"\n"


def reverse_signatures(top: dict[str, Any]) -> None:
    top["signatures"].reverse()


def sign_twice(top: dict[str, Any]) -> None:
    top["signatures"].append(top["signatures"][-1])


GOOD = sign_bundle.encode(SAMPLE)
PACKED = base64.b64decode(document()["manifest"])
REFUSED = {
    "empty": (b"", "not JSON"),
    "a list": (b"[]\n", "expected an object"),
    "without a line feed": (GOOD[:-1], "canonical"),
    "with something behind": (GOOD + b" ", "canonical"),
    "with spaces": (json.dumps(document(), sort_keys=True).encode() + b"\n", "canonical"),
    "keys not sorted": (
        json.dumps(dict(reversed(document().items())), separators=(",", ":")).encode() + b"\n",
        "canonical",
    ),
    "a key twice": (b'{"_type":"a","_type":"b"}\n', "there twice"),
    "not UTF-8": (b'{"a":"\xff"}\n', "not UTF-8"),
    "another type": (changed("_type", "application/json"), "its _type"),
    "unknown field": (changed("summary", "harmless"), "unknown field 'summary'"),
    "missing kind": (changed("kind", None), "'kind' is missing"),
    "unknown kind": (changed("kind", "token"), "the kind 'token' is unknown"),
    "another kind's payloads": (changed("kind", "policy"), "not of the kind verity-policy1"),
    "an extension with a commit": (changed("kind", "extension"), "unknown field 'commit'"),
    "a policy with a manifest": (changed("manifest", "QQ==", POLICY), "unknown field"),
    "a policy without its document": (changed("payload", None, POLICY), "'payload' is missing"),
    "a statement for a policy": (
        changed("payloadType", "application/vnd.in-toto+json", POLICY),
        "its payloadType is not application/vnd.verity.policy.v1+json",
    ),
    "a commit without its object": (changed("commit", None), "'commit' is missing"),
    "without a statement": (changed("payload", None), "'payload' is missing"),
    "an empty statement": (changed("payload", ""), "payload is not 1 to"),
    "a statement that is too long": (changed("payload", b64(bytes(65537))), "payload is not 1"),
    "another payload type": (changed("payloadType", "text/plain"), "its payloadType"),
    "base64 without padding": (changed("commit", "QQ"), "commit is not 1 to"),
    "base64 with spare bits": (changed("commit", "QR=="), "commit is not 1 to"),
    "base64 of the other alphabet": (changed("commit", "__8="), "commit is not 1 to"),
    "a blob that is no text": (changed("blob", 5), "is an integer"),
    "a blob of another kind": (changed("blob", b64(kernel_policy.KIND)), "verity-grants1"),
    "a commit that is too long": (changed("commit", b64(bytes(2**20 + 1))), "commit is not"),
    "a manifest without its size": (changed("manifest", "QQ=="), "at most"),
    "a manifest that lies about its size": (
        changed("manifest", b64((7).to_bytes(8, "little") + PACKED[8:])),
        "7 bytes stated",
    ),
    "a manifest of 2^62 bytes": (
        changed("manifest", b64((2**62).to_bytes(8, "little") + PACKED[8:])),
        "at most",
    ),
    "a manifest with a tail": (changed("manifest", b64(PACKED + b"x")), "another number"),
    "a damaged manifest": (changed("manifest", b64(PACKED[:8] + b"xx")), "damaged"),
    "signatures not sorted": (swapped(reverse_signatures), "not sorted"),
    "a key twice among the signatures": (swapped(sign_twice), "or a key is there twice"),
    "a key id of another key": (changed("signatures.0.keyid", "00" * 32), "has the id"),
    "a signature without its PAE": (changed("signatures.0.sig", None), "'sig' is missing"),
    "a signature with a comment": (changed("signatures.0.note", "x"), "unknown field"),
    "a signature that is too long": (
        changed("signatures.0.pkcs7", b64(bytes(2**14 + 1))),
        "pkcs7 is not 1",
    ),
    "an OpenPGP signature that is none": (changed("gpg", [""]), "gpg is not 1 to"),
    "a number for an OpenPGP signature": (changed("gpg", [7]), "gpg is not 1 to"),
    "nine OpenPGP signatures": (changed("gpg", ["QQ=="] * 9), "more than 8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    data, reason = REFUSED[name]
    with pytest.raises(ContentError, match=r"sign bundle|manifest") as caught:
        sign_bundle.parse(data)
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


def test_nine_signatures_are_more_than_the_gate_takes() -> None:
    many = BundleWorld().bundle(*(Signer(number) for number in range(20, 29)))
    with pytest.raises(ContentError, match="more than 8"):
        sign_bundle.encode(many)


def test_too_large() -> None:
    with pytest.raises(ContentError, match="at most 134217728"):
        sign_bundle.parse(bytes(sign_bundle.MAX_SIZE + 1))


def test_the_order_of_signing_leaves_no_trace() -> None:
    world = BundleWorld()
    signatures = [signature(world.bundle(), signer) for signer in (VENDOR, OTHER, THIRD)]
    spelled = set()
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        made = world.bundle()
        for number in order:
            made = made.with_signature(signatures[number])
        spelled.add(sign_bundle.encode(made))
    assert len(spelled) == 1


def test_a_bundle_of_one_blob() -> None:
    made = Bundle(kind=BundleKind.KEYS, blob=kernel_keys.KEYS_KIND + bytes(64))
    assert sign_bundle.parse(sign_bundle.encode(made)) == made
    assert made.pae is None


@given(
    commit=st.binary(min_size=1, max_size=99),
    manifest=st.binary(max_size=300),
    payload=st.binary(min_size=1, max_size=99),
    gpg=st.lists(st.binary(min_size=1, max_size=20), max_size=3),
)
def test_round_trip(commit: bytes, manifest: bytes, payload: bytes, gpg: list[bytes]) -> None:
    made = replace(SAMPLE, commit=commit, manifest=manifest, payload=payload, gpg=tuple(gpg))
    data = sign_bundle.encode(made)
    assert sign_bundle.parse(data) == made
    assert sign_bundle.encode(sign_bundle.parse(data)) == data
