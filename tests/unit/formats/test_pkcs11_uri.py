# SPDX-License-Identifier: Apache-2.0
"""PKCS#11 URIs: what they name, and that none of what is refused is quoted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verity.formats import pkcs11_uri
from verity.formats.pkcs11_uri import Pkcs11Uri
from verity.values.errors import CallerError

GOOD = {
    "pkcs11:object=release": Pkcs11Uri(object="release"),
    "PKCS11:object=release": Pkcs11Uri(object="release"),
    "pkcs11:id=%01%ff": Pkcs11Uri(id=b"\x01\xff"),
    "pkcs11:id=A": Pkcs11Uri(id=b"A"),
    "pkcs11:token=build%20hsm;object=a;type=private": Pkcs11Uri(token="build hsm", object="a"),
    "pkcs11:object=%c3%bc;serial=1;model=m;manufacturer=x": Pkcs11Uri(
        object="ü", serial="1", model="m", manufacturer="x"
    ),
    "pkcs11:object=a?module-path=/usr/lib/m.so": Pkcs11Uri(object="a", module_path="/usr/lib/m.so"),
    "pkcs11:object=a?pin-source=file:/p&module-path=/m": Pkcs11Uri(
        object="a", module_path="/m", pin_file="/p"
    ),
    "pkcs11:object=a?pin-source=file:///p": Pkcs11Uri(object="a", pin_file="/p"),
    "pkcs11:object=a?pin-source=/p": Pkcs11Uri(object="a", pin_file="/p"),
    "pkcs11:object=%25%3b": Pkcs11Uri(object="%;"),
}

SECRET = "4711-0815"
BAD = {
    "pkcs11:": "neither object nor id",
    "pkcs11:token=t": "neither object nor id",
    "pkcs11:object": "attribute 1 before the ?",
    f"pkcs11:{SECRET}": "attribute 1 before the ?",
    f"pkcs11:object=a;{SECRET}": "attribute 2 before the ?",
    f"pkcs11:object=a?{SECRET}": "attribute 1 after the ?",
    f"pkcs11:object=a?pin={SECRET}": "attribute 1 after the ?",
    "pkcs11:object=a;": "attribute 2 before the ?",
    "pkcs11:object=a;object=a": "object is there twice",
    "pkcs11:object=": "object: the value is empty",
    "pkcs11:object=a b": "object: the value is empty, or has",
    "pkcs11:object=ü": "object: the value is empty, or has",
    "pkcs11:object=a%2": "object: the value is empty, or has",
    "pkcs11:object=a%zz": "object: the value is empty, or has",
    "pkcs11:object=%ff": "object: not UTF-8",
    "pkcs11:object=%00": "object: has a NUL",
    "pkcs11:object=a;type=public": "has the type private",
    "pkcs11:object=a;slot-id=1": "attribute 2 before the ?",
    "pkcs11:object=a;x-mine=1": "attribute 2 before the ?",
    "pkcs11:module-path=/m;object=a": "attribute 1 before the ?",
    "pkcs11:object=a?module-path=m.so": "module-path: expected an absolute path",
    "pkcs11:object=a?module-name=m": "attribute 1 after the ?",
    f"pkcs11:object=a?pin-source={SECRET}": "pin-source: expected file:/path",
    "pkcs11:object=a?pin-source=file:p": "pin-source: expected file:/path",
    "pkcs11:object=a?pin-source=%7ccat": "pin-source: expected file:/path",
    "pkcs11:object=a?pin-source=https://x/p": "pin-source: expected file:/path",
    "pkcs11:object=" + "a" * 5000: "5014 characters",
}


@pytest.mark.parametrize("uri", GOOD)
def test_what_is_named(uri: str) -> None:
    assert pkcs11_uri.is_one(uri)
    assert pkcs11_uri.parse(uri) == GOOD[uri]


@pytest.mark.parametrize("uri", BAD)
def test_what_is_refused(uri: str) -> None:
    with pytest.raises(CallerError) as caught:
        pkcs11_uri.parse(uri)
    assert caught.value.code == "bad-uri"
    assert caught.value.message.startswith("pkcs11: ")
    assert BAD[uri] in caught.value.message
    assert "RFC 7512" in (caught.value.hint or "")
    assert SECRET not in repr(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        f"pkcs11:object=a?pin-value={SECRET}",
        f"pkcs11:object=a?PIN-VALUE={SECRET}",
        f"pkcs11:object=a;pin-value={SECRET}",
        f"pkcs11:nonsense=;;?&pin-value={SECRET}",
        f"pkcs11:object=a?pin-value={SECRET}&pin-source=file:/p",
    ],
)
def test_a_pin_in_an_argument_is_refused_whatever_else_is_wrong(uri: str) -> None:
    with pytest.raises(CallerError) as caught:
        pkcs11_uri.parse(uri)
    assert caught.value.code == "secret-in-argument"
    assert "every process" in caught.value.message
    assert "pin-source=file:" in (caught.value.hint or "")
    assert SECRET not in repr(caught.value) + str(caught.value.hint)


def test_its_text_says_nothing_about_pins() -> None:
    uri = pkcs11_uri.parse("pkcs11:token=t;id=%0a;object=o?pin-source=file:/secret&module-path=/m")
    assert str(uri) == "pkcs11:token=t;object=o;id=0a"


@given(st.binary(min_size=1, max_size=40))
def test_every_id_can_be_written(identity: bytes) -> None:
    uri = "pkcs11:id=" + "".join(f"%{byte:02x}" for byte in identity)
    assert pkcs11_uri.parse(uri).id == identity


@given(st.text(max_size=60))
def test_other_text_is_refused_by_our_error_only(text: str) -> None:
    try:
        found = pkcs11_uri.parse(f"pkcs11:{text}")
    except CallerError as error:
        assert error.code in {"bad-uri", "secret-in-argument"}
    else:
        assert found.object is not None or found.id is not None
