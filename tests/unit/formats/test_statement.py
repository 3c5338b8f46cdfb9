# SPDX-License-Identifier: Apache-2.0
"""Statements and envelopes: one reading per document, or a refusal with its reason."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as LibraryEnvelope

from verity.formats import statement, strictjson
from verity.formats.statement import Kind, Statement
from verity.values.errors import ContentError

SAMPLE = Statement(
    kind=Kind.OS,
    stream="debian-trixie",
    serial=3,
    issued=1_700_000_000,
    expires=1_800_000_000,
    subjects={
        name: bytes([i]) * 32 for i, name in enumerate(("manifest", "grants", "commit", "boot"))
    },
)


def document() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(statement.encode(SAMPLE))
    return value


def test_round_trip() -> None:
    assert statement.parse(statement.encode(SAMPLE)) == SAMPLE


def changed(path: str, value: Any) -> bytes:
    """The sample with one field set (or removed, with None); ``path`` is dotted."""
    top = document()
    *way, last = path.split(".")
    place: Any = top
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    if value is None:
        del place[last]
    else:
        place[int(last) if last.isdigit() else last] = value
    return json.dumps(top).encode()


REFUSED = {
    "empty": (b"", "not JSON"),
    "not UTF-8": (b'{"a":"\xff"}', "not UTF-8"),
    "a list": (b"[]", "expected an object"),
    "duplicate key": (b'{"_type":1,"_type":2}', "there twice"),
    "float": (changed("predicate.serial", 1.0), "float"),
    "NaN": (b'{"a":NaN}', "NaN"),
    "large integer": (changed("predicate.serial", 2**53), "beyond 2^53-1"),
    "million digits": (b'{"a":' + b"1" * 60000 + b"}", "beyond 2^53-1"),
    "lone surrogate": (b'{"a":"\\ud800"}', "surrogate"),
    "deep": (b"[" * 1000 + b"]" * 1000, "nested deeper"),
    "too large": (b" " * 70000, "at most 65536"),
    "type": (changed("_type", "x"), "expected 'https://in-toto.io/Statement/v1'"),
    "predicate type": (changed("predicateType", "x"), "predicateType"),
    "no predicate": (changed("predicate", None), "'predicate' is missing"),
    "unknown field": (changed("extra", 1), "unknown field 'extra'"),
    "unknown predicate field": (changed("predicate.extra", 1), "unknown field 'extra'"),
    "unknown digest": (changed("subject.0.digest.sha512", "00"), "unknown field 'sha512'"),
    "upper-case digest": (changed("subject.0.digest.sha256", "A" * 64), "lower-case"),
    "short digest": (changed("subject.0.digest.sha256", "a" * 63), "lower-case"),
    "subject twice": (changed("subject.0.name", "manifest"), "there twice"),
    "subject unknown": (changed("subject.0.name", "oci"), "has exactly"),
    "subject missing": (changed("subject", []), "has exactly"),
    "subject no object": (changed("subject.0", 1), "expected an object"),
    "kind": (changed("predicate.kind", "usr"), "unknown kind"),
    "etc with a commit": (changed("predicate.kind", "etc"), "has exactly"),
    "stream": (changed("predicate.stream", "a/b"), "stream"),
    "stream empty": (changed("predicate.stream", ""), "stream"),
    "stream long": (changed("predicate.stream", "a" * 64), "stream"),
    "stream newline": (changed("predicate.stream", "a\n"), "stream"),
    "serial 0": (changed("predicate.serial", 0), "below 1"),
    "serial true": (changed("predicate.serial", True), "a boolean, expected an integer"),
    "serial text": (changed("predicate.serial", "1"), "a string, expected an integer"),
    "time zone": (changed("predicate.issued", "2023-11-14T22:13:20+00:00"), "not of the form"),
    "time fraction": (changed("predicate.issued", "2023-11-14T22:13:20.0Z"), "not of the form"),
    "time newline": (changed("predicate.issued", "2023-11-14T22:13:20Z\n"), "not of the form"),
    "time that is none": (changed("predicate.issued", "2023-02-30T00:00:00Z"), "does not exist"),
    "time before 1970": (changed("predicate.issued", "1969-12-31T23:59:59Z"), "before 1970"),
    "expires first": (changed("predicate.expires", "2000-01-01T00:00:00Z"), "expire"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    data, reason = REFUSED[name]
    with pytest.raises(ContentError) as caught:
        statement.parse(data)
    assert caught.value.code == "bad-document"
    assert reason in caught.value.message


def envelope(**fields: Any) -> bytes:
    base = {
        "payload": base64.b64encode(b"x").decode(),
        "payloadType": statement.PAYLOAD_TYPE,
        "signatures": [{"keyid": "k", "sig": "AAAA"}],
    }
    return json.dumps({name: v for name, v in {**base, **fields}.items() if v is not None}).encode()


def test_envelope() -> None:
    found = statement.parse_envelope(envelope())
    assert (found.payload, found.signatures[0].key_id_hint) == (b"x", "k")
    assert found.signatures[0].value == b"\0\0\0"


BAD_ENVELOPES = {
    "payload": (envelope(payload="*"), "base64"),
    "unpadded": (envelope(payload="eA"), "base64"),
    "spare bits": (envelope(payload="eB=="), "base64"),
    "no signatures": (envelope(signatures=[]), "0 signatures"),
    "many signatures": (envelope(signatures=[{"sig": ""}] * 65), "65 signatures"),
    "signature no object": (envelope(signatures=["x"]), "expected an object"),
    "no type": (envelope(payloadType=None), "missing"),
    "unknown field": (envelope(x=1), "unknown field"),
    "sig missing": (envelope(signatures=[{"keyid": "k"}]), "'sig' is missing"),
}


@pytest.mark.parametrize("name", BAD_ENVELOPES)
def test_envelope_refused(name: str) -> None:
    data, reason = BAD_ENVELOPES[name]
    with pytest.raises(ContentError, match="DSSE") as caught:
        statement.parse_envelope(data)
    assert reason in caught.value.message


def test_a_malformed_signature_is_kept_as_such() -> None:
    found = statement.parse_envelope(envelope(signatures=[{"sig": "*"}, {"sig": "AAAA"}]))
    assert [signature.value for signature in found.signatures] == [None, b"\0\0\0"]


@given(st.binary(max_size=50), st.text(max_size=20))
def test_pae_counts_bytes_as_the_library_does(payload: bytes, kind: str) -> None:
    assert statement.pae(payload, kind) == LibraryEnvelope(payload, kind, {}).pae()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x, max_size=3),
        max_leaves=8,
    )
)
def test_strict_json_reads_what_it_writes(value: Any) -> None:
    assert strictjson.parse(strictjson.canonical(value), what="x", max_size=10**6) == value


@given(st.binary(max_size=200))
def test_strict_json_refuses_or_reads_any_bytes(data: bytes) -> None:
    try:
        strictjson.parse(data, what="x", max_size=1000)
    except ContentError as error:
        assert error.code == "bad-document"
